"""The list of what to label next, from the clinician's side."""

from __future__ import annotations

import threading

import numpy as np
from engine_talk import predict
from qtpy.QtCore import Qt
from strokes import press, type_key

from napari_sslseg import pictures
from napari_sslseg.background import Background
from napari_sslseg.pictures import Pictures
from napari_sslseg.suggestions import key_of
from napari_sslseg.widgets.suggestions import ENDED, LOOKING, NOTHING, PAGE, STARTING
from sslseg.core.commands import Suggest
from sslseg.core.geometry import Plane, take_slice
from sslseg.core.suggestion import Suggestion
from sslseg.runner import RunnerState, RunnerStatus
from sslseg.storage.store import ProjectStore


def caption(dock):
    viewer = dock._viewer
    canvas = getattr(viewer, "canvas", None)
    return (viewer.text_overlay if canvas is None else canvas.overlays.text).text


def pictured(qtbot, dock):
    """Wait until all pictures of the list are there."""
    qtbot.waitUntil(lambda: bool(dock.controller.queue.items), timeout=3000)
    qtbot.waitUntil(lambda: not dock.controller.threads.pictures.busy, timeout=5000)


def shades(item):
    """Count the colours on a line across a picture; a black one has one."""
    image = item.icon().pixmap(56, 56).toImage()
    return len({image.pixel(x, 28) for x in range(56)})


def test_next_goes_through_the_suggestions_and_over_cases(labelling, qtbot):
    dock = labelling
    qtbot.waitUntil(lambda: bool(dock.controller.queue.items), timeout=3000)
    first, second = dock.controller.queue.items[:2]
    press(qtbot, dock, "next_suggestion")
    view = dock.controller.view
    assert (view.case.name, view.slices.plane, view.slices.index) == (
        first.case,
        first.plane,
        first.slice,
    )
    assert dock._viewer.dims.order[0] == first.plane.axis
    press(qtbot, dock, "complete_slice")
    assert first not in dock.controller.queue.items
    type_key(qtbot, dock._viewer, Qt.Key.Key_N)
    assert (view.case.name, view.slices.index) == (second.case, second.slice)


def test_a_partly_labelled_suggestion_leaves_the_list_when_she_goes_on(labelling, qtbot):
    dock = labelling
    controller = dock.controller
    qtbot.waitUntil(lambda: bool(controller.queue.items), timeout=3000)
    first, second = controller.queue.items[:2]
    press(qtbot, dock, "next_suggestion")
    view = controller.view
    take_slice(view.layers.annotation.data, first.plane, first.slice)[3:5, 3:5] = 1
    view.flush()
    assert first in controller.queue.items, "more strokes may follow"
    view.slices.go_to(first.plane, first.slice + 1)
    assert first not in controller.queue.items
    controller.go_to(second)
    take_slice(view.layers.annotation.data, second.plane, second.slice)[3:5, 3:5] = 1
    controller.show_case(next(n for n in controller.worklist.summaries if n != second.case))
    assert second not in controller.queue.items


def test_new_suggestions_are_asked_for_when_few_are_left(labelling, qtbot, runner):
    dock = labelling
    queue = dock.controller.queue
    qtbot.waitUntil(lambda: len(queue.items) > 3, timeout=3000)
    qtbot.waitUntil(lambda: not dock.controller.awaits("suggest"), timeout=3000)
    queue.set(queue.items[:3])
    asked = [command.kind for command in runner.sent].count("suggest")
    press(qtbot, dock, "next_suggestion")
    press(qtbot, dock, "complete_slice")
    qtbot.waitUntil(lambda: len(queue.items) > 3, timeout=3000)
    assert [command.kind for command in runner.sent].count("suggest") == asked + 1


def test_a_new_list_answers_what_was_wanted_while_it_was_made(labelling, qtbot, runner):
    controller = labelling.controller
    qtbot.waitUntil(lambda: len(controller.queue.items) > 3, timeout=3000)
    qtbot.waitUntil(lambda: not controller.awaits("suggest"), timeout=3000)
    full = controller.queue.items
    controller.queue.set(full[:3])
    controller.send(Suggest(count=12))
    press(qtbot, labelling, "next_suggestion")
    press(qtbot, labelling, "complete_slice")
    qtbot.waitUntil(lambda: not controller.awaits("suggest"), timeout=3000)
    for _ in range(3):  # whatever would be asked for now would be asked at a tick
        controller._bridge.tick()
    assert [command.kind for command in runner.sent].count("suggest") == 2
    assert not controller.awaits("suggest")


def test_a_suggestion_has_a_picture_and_a_click_goes_there(labelling, qtbot):
    dock = labelling
    pictured(qtbot, dock)
    item = dock.suggestions.list.item(1)
    assert shades(item) > 5
    wanted = dock.controller.queue.items[1]
    dock.suggestions.list.itemClicked.emit(item)
    assert dock.controller.view.case.name == wanted.case
    assert wanted.reason in item.text()


def test_pictures_are_kept_until_there_is_another_prediction(labelling, qtbot, runner, monkeypatch):
    read = []
    real = pictures.read_thumbnails

    def reading(source, *rest):
        read.append(source.name.removesuffix(".nii.gz"))
        return real(source, *rest)

    monkeypatch.setattr(pictures, "read_thumbnails", reading)
    queue, shown = labelling.controller.queue, labelling.suggestions.list
    pictured(qtbot, labelling)
    assert sorted(read) == ["anna", "ben", "carl"]
    read.clear()
    queue.drop(key_of(queue.items[0]))
    assert shades(shown.item(0)) > 5, "at once"
    pictured(qtbot, labelling)
    assert read == []
    runner._predict("ben")
    queue.drop(key_of(queue.items[0]))
    pictured(qtbot, labelling)
    assert read == ["ben"]


def test_pictures_hold_up_no_prediction(labelling, qtbot, runner, monkeypatch):
    gate = threading.Event()

    def wait(*_):
        gate.wait(20)
        return ()

    monkeypatch.setattr(pictures, "read_thumbnails", wait)
    try:
        predict(qtbot, labelling, runner)
        assert labelling.controller.threads.pictures.busy
    finally:
        gate.set()


def test_only_pictures_of_the_list_that_is_shown_are_read(project, monkeypatch):
    """What the thread was at when the list changed is not read twice, and shown."""
    anna, ben, carl = (
        Suggestion(case=case, plane=Plane.AXIAL, slice=3, score=1.0, reason="unsure")
        for case in ("anna", "ben", "carl")
    )
    begun, gate, read, shown = threading.Event(), threading.Event(), [], []

    def reading(source, prediction, slices, *rest):
        read.append(source.name)
        begun.set()
        assert gate.wait(20)
        return tuple(np.zeros((56, 56, 3), np.uint8) for _ in slices)

    monkeypatch.setattr(pictures, "read_thumbnails", reading)
    background = Background(shown.append)
    asked = Pictures(background)
    asked.ready.connect(lambda each, _: shown.append(each))
    with ProjectStore.open(project) as store:
        asked.ask(store, (anna, ben))
        assert begun.wait(20)
        asked.ask(store, (anna, carl))
        gate.set()
        while background.busy:
            background.drain()
    background.close()
    assert read == ["anna.nii.gz", "carl.nii.gz"]
    assert shown == [anna, carl]


def test_the_buttons_promise_no_more_than_a_good_choice(labelling):
    for widget in (labelling.suggestions.list, labelling.suggestions.next_button):
        assert "worth labelling next" in widget.toolTip()


def test_an_empty_list_says_what_the_engine_does(labelling, qtbot, monkeypatch):
    controller, shown = labelling.controller, labelling.suggestions.list
    qtbot.waitUntil(lambda: bool(controller.queue.items), timeout=3000)
    qtbot.waitUntil(lambda: not controller.awaits("suggest"), timeout=3000)
    controller.queue.set(())
    assert shown.item(0).text() == NOTHING

    def words(state, asked):
        monkeypatch.setattr(type(controller), "status", RunnerStatus(state))
        monkeypatch.setattr(controller, "awaits", lambda *_: asked)
        controller.status_changed.emit(controller.status)
        return shown.item(0).text()

    assert words(RunnerState.STARTING, True) == STARTING
    assert words(RunnerState.RUNNING, True) == LOOKING
    assert words(RunnerState.FAILED, False) == ENDED
    assert words(RunnerState.READY, False) == NOTHING


def test_one_page_is_in_sight_and_it_follows_the_one_that_is_visited(labelling, qtbot):
    """More are asked for than are seen: while a training runs nobody answers for new ones."""
    controller, shown = labelling.controller, labelling.suggestions.list
    qtbot.waitUntil(lambda: bool(controller.queue.items), timeout=3000)
    qtbot.waitUntil(lambda: not controller.awaits("suggest"), timeout=3000)
    some = controller.queue.items[0]
    many = tuple(some.model_copy(update={"slice": place}) for place in range(2 * PAGE))
    controller.queue.set(many)
    assert shown.count() == PAGE
    for _ in range(PAGE + 2):
        controller.next_suggestion()
    assert controller.view.slices.index == PAGE + 1
    assert shown.count() == PAGE
    assert f" {PAGE + 1}\n" in shown.currentItem().text()
    before = [shown.item(row).text() for row in range(PAGE)]
    labelling.suggestions.list.itemClicked.emit(shown.item(0))
    assert controller.view.slices.index == many[PAGE].slice
    assert (shown.currentRow(), shown.count()) == (0, PAGE)
    assert [shown.item(row).text() for row in range(PAGE)] == before, "it does not move below her"


def test_the_reason_stands_on_the_slice_until_she_leaves_it(labelling, qtbot):
    """The list that tells it too may lie below what napari's own window shows of the dock."""
    controller = labelling.controller
    qtbot.waitUntil(lambda: bool(controller.queue.items), timeout=3000)
    press(qtbot, labelling, "next_suggestion")
    place, *reason = caption(labelling).splitlines()
    shown = controller.queue.items[controller.queue.position()]
    assert str(shown.plane) in place
    assert " ".join(reason) == shown.reason
    controller.view.slices.go_to(shown.plane, shown.slice + 1)
    assert "\n" not in caption(labelling)
    controller.view.slices.go_to(shown.plane, shown.slice)
    assert " ".join(caption(labelling).splitlines()[1:]) == shown.reason


def test_next_before_the_engine_is_up_says_so(labelling, qtbot, monkeypatch):
    controller, told = labelling.controller, []
    monkeypatch.setattr("napari_sslseg.widgets.suggestions.show_info", told.append)
    qtbot.waitUntil(lambda: not controller.awaits("open", "suggest"), timeout=3000)
    controller.queue.set(())
    monkeypatch.setattr(controller, "awaits", lambda *what: True)
    monkeypatch.setattr(type(controller), "status", RunnerStatus(RunnerState.STARTING))
    labelling.suggestions.go_next()
    assert told == [STARTING]


def test_a_case_that_is_done_leaves_the_list(labelling, qtbot):
    controller = labelling.controller
    qtbot.waitUntil(lambda: bool(controller.queue.items), timeout=3000)
    name = controller.view.case.name
    assert any(item.case == name for item in controller.queue.items)
    press(qtbot, labelling, "case_done")
    assert controller.queue.items
    assert not any(item.case == name for item in controller.queue.items)
