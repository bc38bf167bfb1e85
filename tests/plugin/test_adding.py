"""Volumes that are added or fetched beside the window, whatever else goes on."""

from __future__ import annotations

import threading

import pytest
from engine_talk import settle

from napari_sslseg import _samples
from sslseg.core.commands import Suggest


@pytest.fixture
def gate():
    """Closed at first; opened at the end, so that no thread waits for ever."""
    made = threading.Event()
    yield made
    made.set()


def hold_up(dock, gate):
    """Let the thread that reads files wait at the gate."""
    dock.controller.threads.adding.submit(lambda: gate.wait(20), lambda _: None)


def suggestions_asked_for(runner):
    return sum(isinstance(command, Suggest) for command in runner.sent)


def test_the_last_volume_is_the_last_whatever_else_is_read_after_it(
    dock, runner, volumes, tmp_path, qtbot, gate
):
    dock.controller.new_project(tmp_path / "first", ["spleen"])
    settle(qtbot, dock)
    dock.controller.add_images(volumes)
    hold_up(dock, gate)
    qtbot.waitUntil(lambda: suggestions_asked_for(runner) == 1, timeout=5000)
    assert dock.cases.table.rowCount() == 3
    assert dock.controller.threads.adding.busy


def test_volumes_that_another_project_leaves_behind_are_told(
    dock, runner, volumes, tmp_path, qtbot, gate, monkeypatch
):
    told = []
    monkeypatch.setattr("napari_sslseg.adding.show_warning", told.append)
    dock.controller.new_project(tmp_path / "first", ["spleen"])
    hold_up(dock, gate)
    dock.controller.add_images(volumes)
    dock.controller.new_project(tmp_path / "second", ["spleen"])
    assert told == [
        "3 volumes not added to first: it was closed before they were read."
        " Open first again and add them once more."
    ]
    gate.set()
    settle(qtbot, dock)
    dock.controller.add_images(volumes[:1])
    qtbot.waitUntil(lambda: suggestions_asked_for(runner) == 1, timeout=5000)
    assert dock.cases.table.rowCount() == 1, "counted anew"
    dock.open_project(tmp_path / "first")
    assert len(told) == 1


def test_a_download_neither_holds_up_reading_nor_is_forgotten(
    labelling, volumes, tmp_path, qtbot, gate, monkeypatch
):
    def fetch(cache):
        assert gate.wait(20)
        return tuple(volumes)

    controller, rows = labelling.controller, labelling.cases.table.rowCount
    monkeypatch.setattr(_samples, "fetch_hippocampus", fetch)
    monkeypatch.setattr(_samples, "new_folder", lambda name: tmp_path / f"a {name}")
    _samples.open_sample(labelling, "hippocampus")
    controller.new_project(tmp_path / "other", ["organ"])
    controller.add_images(volumes[:1])
    qtbot.waitUntil(lambda: rows() == 1, timeout=5000)
    gate.set()
    qtbot.waitUntil(lambda: controller.store.path.name == "a hippocampus", timeout=5000)
    qtbot.waitUntil(lambda: rows() == 3, timeout=5000)
