"""Real napari windows: on a display where there is one, off screen otherwise."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

os.environ["QT_QPA_PLATFORM"] = "xcb" if os.environ.get("DISPLAY") else "offscreen"
os.environ.setdefault("NAPARI_CONFIG", "")

from fake_engine import FakeRunner

from napari_sslseg._dock import SegmentationDock
from sslseg.core.geometry import Plane
from sslseg.storage.images import describe
from sslseg.storage.store import ProjectStore

NO_SCREEN = sys.platform == "linux" and not os.environ.get("DISPLAY")

SHAPE = (24, 20, 16)
SPACING = (1.0, 1.2, 2.0)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what draws a window where nothing can be drawn on."""
    for item in items:
        if NO_SCREEN and "make_napari_viewer" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.skip(reason="needs a screen: run under xvfb-run"))


@pytest.fixture(autouse=True)
def _quick_collections() -> None:
    """Spare the collector what was there before: napari runs it whenever a layer goes.

    Every viewer leaves some objects behind; looking through all of them makes late tests slow.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture
def volumes(tmp_path: Path) -> list[Path]:
    """Three small NIfTI volumes with a bright ball each."""
    import nibabel

    rng = np.random.default_rng(0)
    paths = []
    for name in ("anna", "ben", "carl"):
        data = rng.normal(100, 5, SHAPE).astype(np.float32)
        data[8:16, 6:14, 5:11] += 60
        path = tmp_path / f"{name}.nii.gz"
        nibabel.save(nibabel.Nifti1Image(data, np.diag((*SPACING, 1.0))), path)
        paths.append(path)
    return paths


@pytest.fixture
def project(tmp_path: Path, volumes: list[Path]) -> Path:
    """A project of three cases and two classes, nothing labelled."""
    folder = tmp_path / "project"
    with ProjectStore.create(folder, ["liver", "tumour"]) as store:
        for path in volumes:
            store.add_case(describe(path))
    return folder


@pytest.fixture
def runner() -> FakeRunner:
    return FakeRunner()


@pytest.fixture
def dock(
    make_napari_viewer: Callable[..., Any], runner: FakeRunner, qtbot: Any
) -> Iterator[SegmentationDock]:
    """The dock in a shown napari window, with the fake engine."""
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1400, 1000)
    made = SegmentationDock(viewer, lambda: runner)
    viewer.window.add_dock_widget(made, name="SSL Segmentation", area="right")
    yield made
    made.shut()


@pytest.fixture
def labelling(dock: SegmentationDock, project: Path) -> SegmentationDock:
    """The dock with the project open and its first case on the screen."""
    dock.open_project(project)
    return dock


@pytest.fixture
def on_disk(project: Path) -> Callable[[str], np.ndarray]:
    """Read the annotation of a case with a store of our own, as after a crash."""

    def read(case: str = "anna") -> np.ndarray:
        with ProjectStore.open(project, read_only=True) as store:
            return store.annotation(case).labels

    return read


@pytest.fixture
def state_on_disk(project: Path) -> Callable[[Plane, int], str]:
    def read(plane: Plane, index: int, case: str = "anna") -> str:
        with ProjectStore.open(project, read_only=True) as store:
            states = store.annotation(case).states
        return str(states.get((plane, index), "none"))

    return read
