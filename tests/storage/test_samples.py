"""The project made of the sample volumes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sslseg.core.annotation import SliceState
from sslseg.core.errors import SslsegError
from sslseg.core.geometry import Plane
from sslseg.storage import samples
from sslseg.storage.images import read_volume
from sslseg.storage.store import ProjectStore


def test_sample_project_holds_all_cases_and_three_slices_of_two(tmp_path: Path) -> None:
    project = samples.make_sample_project(tmp_path / "project")
    with ProjectStore.open(project, read_only=True) as store:
        assert [case.name for case in store.cases()] == [f"sample_{i:02d}" for i in range(1, 9)]
        assert [label.name for label in store.classes] == ["nucleus", "capsule"]
        assert {case.geometry.shape for case in store.cases()} == {(56, 64, 48)}
        records = store.slices()
        assert {record.key.case for record in records} == {"sample_01", "sample_02"}
        assert len(records) == 6
        assert {(r.key.plane, r.state) for r in records} == {(Plane.AXIAL, SliceState.COMPLETE)}
        truth = read_volume(samples.sample_labels()[0]).data
        index = records[0].key.index
        annotation = store.annotation("sample_01")
        np.testing.assert_array_equal(annotation.labels[:, :, index], truth[:, :, index])
        assert set(np.unique(annotation.target()[:, :, index])) == {0, 1, 2}
        assert all(store.source_path(case.name).is_file() for case in store.cases())


def test_slices_spread_over_the_structure(tmp_path: Path) -> None:
    project = samples.make_sample_project(tmp_path)
    with ProjectStore.open(project, read_only=True) as store:
        indices = [r.key.index for r in store.slices("sample_02")]
    shown = np.flatnonzero(read_volume(samples.sample_labels()[1]).data.any(axis=(0, 1)))
    assert indices == sorted(set(indices))
    assert shown[0] < indices[0] < shown[len(shown) // 3]
    assert shown[2 * len(shown) // 3] < indices[2] < shown[-1]


def test_sample_project_without_annotations(tmp_path: Path) -> None:
    project = samples.make_sample_project(tmp_path, slices=0)
    with ProjectStore.open(project, read_only=True) as store:
        assert len(store.cases()) == 8
        assert store.slices() == ()


def test_folder_with_a_project_is_refused(tmp_path: Path) -> None:
    samples.make_sample_project(tmp_path, slices=0)
    with pytest.raises(SslsegError, match="already"):
        samples.make_sample_project(tmp_path)


def test_samples_that_are_not_installed_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(samples.resources, "files", lambda _: tmp_path / "src" / "sslseg")
    with pytest.raises(SslsegError, match="sample_data"):
        samples.sample_images()
