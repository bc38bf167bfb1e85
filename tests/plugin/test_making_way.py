"""The window's own news makes way for a stroke; the dock fits a small screen."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest
from qtpy.QtCore import QPoint
from qtpy.QtWidgets import QScrollArea, QWidget
from strokes import (
    Mouse,
    drag,
    mouse_move_callbacks,
    mouse_press_callbacks,
    mouse_release_callbacks,
)

from napari_sslseg import bridge, labels_adapter
from napari_sslseg.summaries import CaseSummary
from napari_sslseg.widgets.case_table import CaseTable
from sslseg.core.events import CommandDone, Validated


class Clock:
    """Seconds that only pass when a test says so."""

    def __init__(self, monkeypatch):
        self.seconds = time.monotonic()
        fake = SimpleNamespace(monotonic=lambda: self.seconds)
        for module in (bridge, labels_adapter):
            monkeypatch.setattr(module, "time", fake)


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


@pytest.fixture
def heard(clock, labelling, runner, monkeypatch):
    """One event waits in the engine; the list tells when the dock has heard it."""
    labelling.controller._bridge._timer.stop()  # the tests look by themselves
    clock.seconds += 1.0  # the drawing of the newly opened case is over
    look(labelling)
    waiting, found = [CommandDone(command="open")], []
    monkeypatch.setattr(runner, "poll", lambda: [waiting.pop()] if waiting else [])
    labelling.controller.told.connect(found.append)
    return found


def look(dock):
    """Do what the timer does every 50 ms."""
    dock.controller._bridge._timer.timeout.emit()


@pytest.fixture
def brush(labelling):
    """Yield press, move and release of a brush on the slice on the screen."""
    layer = labelling.controller.view.layers.annotation
    layer.mode, layer.brush_size = "paint", 2
    mouse = Mouse("mouse_press", (2, 9.6, 16), None, list(labelling._viewer.dims.displayed))

    def move(x):
        mouse.type, mouse.is_dragging, mouse.position = "mouse_move", True, (x, 9.6, 16)
        mouse_move_callbacks(layer, mouse)

    def release():
        mouse.type, mouse.is_dragging = "mouse_release", False
        mouse_release_callbacks(layer, mouse)

    return SimpleNamespace(
        press=lambda: mouse_press_callbacks(layer, mouse), move=move, release=release
    )


def test_news_waits_for_the_end_of_a_stroke(labelling, brush, heard, clock):
    clock.seconds += 1.0
    brush.press()
    for x in (3, 5, 7):
        clock.seconds += 0.2
        brush.move(x)
        look(labelling)
    assert not heard
    brush.release()
    look(labelling)
    assert not heard
    clock.seconds += labels_adapter.STROKE_S + 0.01
    look(labelling)
    assert len(heard) == 1


def test_news_does_not_wait_for_ever(labelling, brush, heard, clock):
    brush.press()
    begun = clock.seconds
    for x in range(3, 22):
        clock.seconds += 0.15
        brush.move(x)
        look(labelling)
        if heard:
            break
    assert clock.seconds - begun == pytest.approx(bridge.LONGEST_WAIT_S, abs=0.16)
    brush.release()


def test_a_stroke_is_saved_while_news_waits(labelling, heard, on_disk, qtbot):
    layer = labelling.controller.view.layers.annotation
    layer.mode, layer.brush_size = "paint", 3
    drag(labelling._viewer, layer, [(8, 8, 8), (12, 9, 8)])
    qtbot.waitUntil(lambda: on_disk()[10, 8, 8] == 1, timeout=1000)
    look(labelling)
    assert not heard


def test_only_rows_that_changed_are_written_anew(qtbot):
    table = CaseTable()
    qtbot.addWidget(table)
    cases = [CaseSummary("anna"), CaseSummary("ben"), CaseSummary("carl")]
    table.set_value(cases, "anna")
    table.item(0, 0).setText("as it was")
    table.set_value([cases[0], CaseSummary("ben", slices=2), cases[2]], "ben")
    assert [table.item(row, 0).text() for row in range(3)] == ["as it was", "ben", "carl"]
    assert table.item(1, 1).text() == "started"
    assert table.item(1, 2).text() == "2"
    assert table.currentRow() == 1
    table.set_value([CaseSummary("dora")], None)
    assert table.rowCount() == 1
    assert table.item(0, 0).text() == "dora"
    assert not table.selectedItems()


def test_the_table_begins_at_the_top_once_there_is_room(qtbot):
    table = CaseTable()
    qtbot.addWidget(table)
    table.resize(400, 80)
    table.show()
    table.set_value([CaseSummary(f"case {n}") for n in range(8)], "case 6")
    qtbot.waitUntil(lambda: table.verticalScrollBar().value() > 0, timeout=1000)
    table.resize(400, 400)
    qtbot.waitUntil(lambda: table.verticalScrollBar().value() == 0, timeout=1000)
    table.resize(400, 80)
    assert table.viewport().rect().contains(table.visualItemRect(table.item(6, 0)).center())


def test_all_of_the_dock_fits_a_window_of_1000_lines(labelling, qtbot, runner):
    window = labelling._viewer.window._qt_window
    window.resize(1600, 1000)
    qtbot.waitUntil(lambda: window.height() == 1000, timeout=5000)
    labelling.look.toggle_confidence()
    labelling.train.train_button.click()
    qtbot.waitUntil(lambda: "completed" in labelling.train.bar.text(), timeout=20000)
    area = labelling.findChild(QScrollArea)
    qtbot.waitUntil(lambda: area.verticalScrollBar().maximum() == 0, timeout=5000)
    curves = labelling.train.curves
    assert curves.isVisible()
    assert labelling.look._below.isVisible()
    below = labelling.suggestions.mapTo(labelling, QPoint(0, 0))
    known = {"dice": {}, "without": (0.7, 0.8), "known": True, "source": True}
    curves.add_validation(Validated(run="r", step=20, mean=0.75, slices=23, **known))
    qtbot.waitUntil(lambda: curves._dice_label.height() > 20, timeout=5000)
    assert area.verticalScrollBar().maximum() == 0, "words of two lines move nothing"
    assert labelling.suggestions.mapTo(labelling, QPoint(0, 0)) == below
    visible = labelling.status.visibleRegion().boundingRect()
    assert visible.height() == labelling.status.height()


def test_what_is_used_all_the_time_is_in_sight_in_napari_s_own_window(labelling, qtbot, runner):
    window = labelling._viewer.window._qt_window
    window.resize(1090, 630)
    qtbot.waitUntil(lambda: window.height() == 630, timeout=5000)
    labelling.train.train_button.click()
    qtbot.waitUntil(lambda: "completed" in labelling.train.bar.text(), timeout=20000)
    names = ["case_list", "slice_state", "class_1", "complete_slice", "accept_prediction"]
    names += ["next_suggestion", "method", "minutes", "train", "stop", "status"]
    parts = {name: labelling.findChild(QWidget, name) for name in names}
    parts["progress"] = labelling.train.bar
    seen = {
        name: part.visibleRegion().boundingRect() == part.rect() for name, part in parts.items()
    }
    assert all(seen.values()), seen


def test_long_names_are_shortened_and_told_in_full(labelling):
    words = labelling.annotate._words
    assert words.toolTip() == words.text() == "anna · axial 8 / 15"
    words.setText("a very long name of a case " * 9)
    assert labelling.annotate.minimumSizeHint().width() <= labelling.width()


def test_nothing_is_cut_off_at_the_right(labelling, qtbot):
    """There is no scroll bar for the width; after a training all parts are in sight."""
    labelling.train.train_button.click()
    qtbot.waitUntil(lambda: "completed" in labelling.train.bar.text(), timeout=20000)
    area = labelling.findChild(QScrollArea)
    assert area.widget().minimumSizeHint().width() <= area.viewport().width()
