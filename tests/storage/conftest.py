"""A project with one case."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from phantoms import write_nifti

from sslseg.storage.images import describe
from sslseg.storage.store import ProjectStore


@pytest.fixture
def project(tmp_path: Path) -> Iterator[ProjectStore]:
    """A project with classes a and b and the case "head" of 4 x 5 x 6 voxels."""
    image = write_nifti(tmp_path / "head.nii.gz")
    with ProjectStore.create(tmp_path / "project", ["a", "b"]) as store:
        store.add_case(describe(image))
        yield store
