"""``python -m napari_sslseg``: what a newcomer's first command opens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import napari
import pytest

from napari_sslseg import __main__ as program
from napari_sslseg._dock import SegmentationDock
from sslseg.storage.store import ProjectStore


def test_sample_project_is_made_once_and_kept(tmp_path: Path) -> None:
    project = program.sample_project(tmp_path)
    with ProjectStore.open(project) as store:
        store.set_setting("mine", 1)
    assert program.sample_project(tmp_path) == project
    with ProjectStore.open(project, read_only=True) as store:
        assert store.setting("mine") == 1
        assert len(store.cases()) == 8


def test_folder_without_a_project_ends_with_one_line_and_no_window(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(napari, "Viewer", lambda **_: pytest.fail("a window was opened"))
    with pytest.raises(SystemExit) as ended:
        program.main([str(tmp_path)])
    assert "no project" in str(ended.value)
    assert "\n" not in str(ended.value)


@pytest.mark.slow
def test_window_opens_with_the_dock_and_the_first_case(
    project: Path, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[tuple[napari.Viewer, SegmentationDock]] = []
    start = program.start
    monkeypatch.setattr(program, "start", lambda path: opened.append(start(path)))
    monkeypatch.setattr(napari, "run", lambda: None)
    program.main([str(project)])
    ((viewer, dock),) = opened
    try:
        assert "SSL Segmentation: project" in viewer.title
        qtbot.waitUntil(dock.isVisible, timeout=10_000)
        qtbot.waitUntil(lambda: "image" in viewer.layers, timeout=10_000)
        assert viewer.layers["image"].data.shape == (24, 20, 16)
    finally:
        dock.shut()
        viewer.close()
