"""A project as it was: later strokes, classes and cases are not there, and nothing is written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from phantoms import write_nifti

from sslseg.core.annotation import SliceState
from sslseg.core.errors import SslsegError
from sslseg.core.geometry import Plane
from sslseg.storage.images import describe
from sslseg.storage.snapshot import Snapshot
from sslseg.storage.store import ProjectStore


def annotate(store: ProjectStore, index: int, value: int) -> None:
    labels = np.full((4, 5), value, np.uint8)
    store.save_slices("head", Plane.AXIAL, {index: (labels, SliceState.COMPLETE)})


def test_what_comes_later_is_not_there(project: ProjectStore, tmp_path: Path) -> None:
    annotate(project, 1, 1)
    past = Snapshot(project)
    records, labels = past.slices("head"), past.annotation("head").labels
    cases, classes = past.cases(), past.classes
    annotate(project, 1, 2)
    annotate(project, 3, 1)
    project.add_class("c")
    project.add_case(describe(write_nifti(tmp_path / "tail.nii.gz")))
    assert past.slices() == past.slices("head") == records
    assert np.array_equal(past.annotation("head").labels, labels)
    assert (past.cases(), past.classes) == (cases, classes)
    assert past.revision() == 1 < project.revision()
    assert len(project.slices("head")) == 2


def test_it_writes_nothing_and_leaves_the_store_open(project: ProjectStore) -> None:
    with Snapshot(project) as past:
        assert past.read_only
        with pytest.raises(SslsegError, match="reading only"):
            annotate(past, 0, 1)
    annotate(project, 0, 1)
    assert project.revision() == 1
