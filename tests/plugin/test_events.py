"""What the engine tells reaches the widgets, whatever goes wrong on the way."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from engine_talk import settle
from fake_engine import ball_labels
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QWidget
from strokes import press

from napari_sslseg.summaries import read_facts
from sslseg.core.annotation import BACKGROUND, SliceState
from sslseg.core.commands import Predict
from sslseg.core.errors import SslsegError
from sslseg.core.events import (
    CommandBegun,
    CommandDone,
    FinishReason,
    Opened,
    RunFinished,
    RunStarted,
    SuggestionsReady,
)
from sslseg.core.geometry import Plane
from sslseg.core.prediction import Prediction, PredictionInfo, mean_uncertainty
from sslseg.core.suggestion import Suggestion
from sslseg.storage import checkpoints
from sslseg.storage.arrays import FACTS, load_array, save_prediction, seal, unseal
from sslseg.storage.images import describe
from sslseg.storage.store import ProjectStore


def tell(dock, runner, monkeypatch, *events):
    """Let these events come in one poll, with the engine at a training on the open project."""
    batches = [[Opened(project=str(dock.controller.store.path)), *events]]
    monkeypatch.setattr(runner, "poll", lambda: batches.pop() if batches else [])
    dock.controller._bridge.tick()
    assert not batches


def finished(message=""):
    reason = FinishReason.FAILED if message else FinishReason.COMPLETED
    return RunFinished(run="r", reason=reason, step=1, seconds=1.0, message=message)


def suggest(case):
    found = Suggestion(case=case, plane=Plane.AXIAL, slice=3, score=1.0, reason="unsure")
    return SuggestionsReady(suggestions=(found,))


def test_a_vanished_image_loses_neither_suggestions_nor_later_events(
    labelling, volumes, qtbot, runner, monkeypatch
):
    told = []
    monkeypatch.setattr("napari_sslseg.controller.show_error", told.append)
    volumes[1].unlink()
    qtbot.mouseClick(labelling.train.train_button, Qt.MouseButton.LeftButton)
    assert not labelling.train.train_button.isEnabled()
    done = CommandDone(command="train")
    tell(labelling, runner, monkeypatch, suggest("ben"), finished(), done)
    assert labelling.train.train_button.isEnabled()
    assert labelling.suggestions.list.item(0).text().startswith("ben")
    threads = labelling.controller.threads
    qtbot.waitUntil(lambda: not (threads.files.busy or threads.pictures.busy), timeout=5000)
    assert not told


def test_a_failing_slot_is_told_and_the_other_events_are_followed(
    labelling, qtbot, runner, monkeypatch
):
    told = []
    monkeypatch.setattr("napari_sslseg.controller.show_error", told.append)

    def fail():
        raise SslsegError("a broken slot", "a whole one", "Mend it.")

    qtbot.mouseClick(labelling.train.train_button, Qt.MouseButton.LeftButton)
    labelling.controller.queue.changed.connect(fail)
    done = CommandDone(command="train")
    tell(labelling, runner, monkeypatch, suggest("ben"), finished(), done)
    labelling.controller.queue.changed.disconnect(fail)
    assert told == ["Got a broken slot; expected a whole one. Mend it."]
    assert labelling.train.train_button.isEnabled()
    assert labelling.train.bar.format().startswith("completed")


def test_events_stay_in_order_when_a_slot_runs_the_event_loop(labelling, runner, monkeypatch):
    heard = []

    def hear(event):
        labelling.controller._bridge.tick()
        heard.append(event.message)

    labelling.controller.told.connect(hear)
    batches = [[CommandDone(command="open", message="c")]]
    batches.append([CommandDone(command="open", message=words) for words in "ab"])
    monkeypatch.setattr(runner, "poll", lambda: batches.pop() if batches else [])
    labelling.controller._bridge.tick()
    labelling.controller._bridge.tick()
    assert heard == ["a", "b", "c"]


def test_a_refused_training_is_told_once(labelling, qtbot, runner, monkeypatch):
    warned, failed = [], []
    monkeypatch.setattr("napari_sslseg.notices.show_warning", warned.append)
    monkeypatch.setattr("napari_sslseg.notices.show_error", failed.append)
    refusal = CommandDone(command="train", message="nothing is labelled")
    for _ in range(2):
        qtbot.mouseClick(labelling.train.train_button, Qt.MouseButton.LeftButton)
        tell(labelling, runner, monkeypatch, refusal)
    assert warned == ["nothing is labelled"] * 2
    assert labelling.train.bar.format() == "not started"
    qtbot.mouseClick(labelling.train.train_button, Qt.MouseButton.LeftButton)
    tell(labelling, runner, monkeypatch, finished("no memory"))
    tell(labelling, runner, monkeypatch, CommandDone(command="train", message="no memory"))
    assert failed == ["no memory"]
    assert len(warned) == 2


def test_a_training_that_uses_nothing_learnt_before_says_why_at_once(
    labelling, qtbot, runner, monkeypatch
):
    settle(qtbot, labelling)
    told = []
    monkeypatch.setattr("napari_sslseg.notices.show_info", told.append)
    began = RunStarted(run="r", method="any", device="cpu", plan=(), steps=3, minutes=None)
    tell(labelling, runner, monkeypatch, began)
    assert told == []
    why = "Starts anew: there are other classes."
    tell(labelling, runner, monkeypatch, began.model_copy(update={"notice": why}))
    assert told == [why]


def test_quarters_of_a_minute_can_be_asked_for(labelling):
    labelling.train.minutes.setValue(0.25)
    assert labelling.train.value().minutes == 0.25


@pytest.mark.parametrize(("saw", "dice"), [(False, 1.0), (True, None)])
def test_no_dice_of_a_model_that_learnt_from_the_held_out_slices(saw, dice, project):
    shape = (24, 20, 16)
    labels = ball_labels(shape)
    maps = np.zeros(shape, np.float16)
    info = PredictionInfo(
        case="anna",
        version="v001",
        run="r",
        method="mean-teacher",
        step=1,
        time=1.0,
        classes=("liver", "tumour"),
        saw_held_out=saw,
    )
    probability = np.zeros((3, *shape), np.float16)
    folder = save_prediction(project, Prediction(labels, probability, maps, maps, maps, info), {})
    painted = np.where(labels == 0, BACKGROUND, labels)[:, :, :8]
    with ProjectStore.open(project) as store:
        for index in range(4, 8):
            slices = {index: (painted[:, :, index], SliceState.COMPLETE)}
            store.save_slices("anna", Plane.AXIAL, slices)
        assert any(record.validation for record in store.slices("anna"))
        facts = read_facts(folder, "anna", store)
        assert (facts.dice, facts.saw_held_out) == (dice, saw)


@pytest.mark.parametrize("earlier", [False, True])
def test_only_of_an_earlier_version_all_is_read_for_the_list(earlier, project, runner, monkeypatch):
    runner._project = project
    folder = Path(runner._predict("anna").folder)
    labels, uncertainty = (load_array(folder, name) for name in ("labels", "uncertainty"))
    if earlier:
        facts = unseal((folder / FACTS).read_bytes())
        del facts["figures"]
        (folder / FACTS).write_bytes(seal(facts))
    read = []

    def noted(folder, name):
        read.append(name)
        return load_array(folder, name)

    monkeypatch.setattr("napari_sslseg.summaries.arrays.load_array", noted)
    with ProjectStore.open(project) as store:
        facts = read_facts(folder, "anna", store)
    assert facts.uncertainty == mean_uncertainty(labels, uncertainty)
    assert (facts.uncertainty is None, facts.dice) == (False, None)
    assert read == (["labels", "uncertainty"] if earlier else [])


def test_opening_reads_the_annotations_of_validation_cases_beside_the_window(
    dock, runner, project, qtbot, monkeypatch
):
    runner._project = project
    for case in ("anna", "ben", "carl"):
        runner._predict(case)
    drawn = np.ones((24, 20), np.uint8)
    with ProjectStore.open(project) as store:
        for index in range(4, 8):
            store.save_slices("ben", Plane.AXIAL, {index: (drawn, SliceState.COMPLETE)})
        assert any(record.validation for record in store.slices("ben"))
    read = []
    real = ProjectStore.annotation

    def annotation(self, case, skip_damaged=False):
        read.append((case, threading.current_thread() is threading.main_thread()))
        return real(self, case, skip_damaged)

    monkeypatch.setattr(ProjectStore, "annotation", annotation)
    dock.open_project(project)
    worklist = dock.controller.worklist
    qtbot.waitUntil(lambda: bool(worklist.summaries["carl"].uncertainty), timeout=5000)
    assert worklist.summaries["ben"].dice is not None
    assert sorted(read) == [("anna", True), ("ben", False)]


def test_the_case_on_the_screen_does_not_wait_for_the_figures_of_all(
    dock, runner, project, qtbot, monkeypatch
):
    runner._project = project
    for case in ("anna", "ben", "carl"):
        runner._predict(case)
    gate = threading.Event()

    def slow(*asked):
        gate.wait(20)
        return read_facts(*asked)

    monkeypatch.setattr("napari_sslseg.predictions.read_facts", slow)
    try:
        dock.open_project(project)
        controller = dock.controller
        qtbot.waitUntil(lambda: controller.view.prediction is not None, timeout=5000)
        assert controller.worklist.summaries["anna"].uncertainty is None
    finally:
        gate.set()
    qtbot.waitUntil(
        lambda: all(summary.uncertainty for summary in controller.worklist.summaries.values()),
        timeout=5000,
    )


def test_an_engine_that_says_nothing_is_told_and_can_be_ended(labelling, qtbot, runner):
    notice = labelling.findChild(QWidget, "silence")
    assert not notice.isVisible()
    runner.silent = True
    qtbot.waitUntil(notice.isVisible, timeout=3000)
    assert "for a minute" in notice.words.text()
    press(qtbot, labelling, "end_engine")
    assert runner.killed
    qtbot.waitUntil(lambda: not notice.isVisible(), timeout=3000)


def test_another_project_is_not_kept_waiting_by_a_training(
    labelling, qtbot, runner, tmp_path, monkeypatch
):
    told = []
    monkeypatch.setattr("napari_sslseg.controller.show_info", told.append)
    other = tmp_path / "other"
    ProjectStore.create(other, ["organ"]).close()
    press(qtbot, labelling, "train")
    qtbot.waitUntil(lambda: bool(runner.status.run), timeout=3000)
    labelling.open_project(other)
    kinds = [command.kind for command in runner.sent]
    assert kinds[-2:] == ["stop", "open"]
    assert told == ["Work on project was stopped; what it had done is kept."]
    qtbot.waitUntil(lambda: not labelling.controller.awaits("train", "open"), timeout=3000)
    labelling.open_project(other)
    assert len(told) == 1, "nothing was at work"


def test_predictions_of_the_project_before_are_not_shown_in_the_next(
    labelling, qtbot, runner, tmp_path, volumes
):
    other = tmp_path / "other"
    with ProjectStore.create(other, ["organ"]) as store:
        store.add_case(describe(volumes[0]))  # a case of the same name
    late = runner._predict("anna")
    labelling.open_project(other)
    labelling.controller._follow(late)
    qtbot.waitUntil(lambda: not labelling.controller.awaits("open", "suggest"), timeout=3000)
    assert not labelling.controller.worklist.summaries["anna"].uncertainty
    runner._project = other
    labelling.controller._follow(runner._predict("anna"))  # its own is shown
    view = labelling.controller.view
    qtbot.waitUntil(lambda: view.prediction is not None, timeout=5000)
    assert view.prediction.info.version != late.version


def test_news_of_the_project_before_are_not_told_in_the_next(
    labelling, qtbot, runner, tmp_path, monkeypatch
):
    qtbot.waitUntil(lambda: not labelling.controller.awaits("open", "suggest"), timeout=3000)
    other = tmp_path / "other"
    ProjectStore.create(other, ["organ"]).close()
    labelling.open_project(other)
    told = []
    labelling.controller.told.connect(told.append)
    batches = [
        [suggest("anna"), finished("late")],
        [Opened(project=str(other)), CommandDone(command="open"), suggest("carl")],
    ]
    monkeypatch.setattr(runner, "poll", lambda: batches.pop(0) if batches else [])
    labelling.controller._bridge.tick()
    labelling.controller._bridge.tick()
    assert [event.kind for event in told] == ["opened", "done", "suggestions"]
    assert labelling.suggestions.list.item(0).text().startswith("carl")


def test_a_project_opens_where_the_first_image_is_gone(dock, project, volumes, runner, monkeypatch):
    told = []
    monkeypatch.setattr("napari_sslseg.controller.show_error", told.append)
    volumes[0].unlink()
    dock.open_project(project)
    assert dock.controller.view.case.name == "ben"
    assert len(told) == 1
    assert "anna" in told[0]
    assert "suggest" in [command.kind for command in runner.sent]


def predictions_asked_for(runner):
    return [command for command in runner.sent if isinstance(command, Predict)]


def test_a_stale_case_that_is_shown_while_the_engine_works_is_predicted_afterwards(
    labelling, qtbot, runner
):
    controller = labelling.controller
    qtbot.waitUntil(lambda: not controller.awaits("open", "suggest"), timeout=3000)
    controller._fresh.reset(())
    runner._run = "busy"
    controller._bridge.tick()
    assert predictions_asked_for(runner) == []
    runner._run = ""
    controller._bridge.tick()
    controller._bridge.tick()
    assert predictions_asked_for(runner) == [Predict(cases=("anna",))], "once"
    controller.show_case("anna")
    controller._fresh.reset(())
    controller._bridge.tick()
    assert len(predictions_asked_for(runner)) == 2, "who turns to it again asks again"


def test_after_reopening_what_an_older_model_said_is_predicted_anew(dock, project, runner, qtbot):
    runner._project, runner._run = project, "20260101-000000-00-bcp"
    runner._predict("anna")
    runner._run = ""
    run = project / "runs" / "20260102-000000-00-bcp"
    checkpoints.save(run, 1, {"w": np.zeros(1)}, {"method": "bcp", "step": 1})
    dock.open_project(project)
    qtbot.waitUntil(lambda: bool(predictions_asked_for(runner)), timeout=5000)
    assert predictions_asked_for(runner) == [Predict(cases=("anna",))]


def test_what_the_engine_does_by_itself_can_be_stopped(labelling, runner, monkeypatch):
    stop = labelling.train.stop_button
    assert not stop.isEnabled()
    tell(labelling, runner, monkeypatch, CommandBegun(command="predict"))
    assert stop.isEnabled()
    tell(labelling, runner, monkeypatch, CommandDone(command="predict"))
    assert not stop.isEnabled()
