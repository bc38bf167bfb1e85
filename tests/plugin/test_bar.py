"""What the progress bar and the status line say when work ends early or a project changes."""

from __future__ import annotations

import pytest
from engine_talk import settle, tell
from strokes import press

from napari_sslseg.widgets.train import NEVER
from sslseg.core.events import CommandDone, Progress, RunStarted
from sslseg.storage.store import ProjectStore


@pytest.fixture
def settled(labelling, qtbot):
    settle(qtbot, labelling)
    return labelling


def count(done, task="Predicting"):
    return Progress(task=task, done=done, total=60)


@pytest.mark.parametrize(
    ("command", "task"),
    [("predict", "Predicting"), ("export", "exporting"), ("train", "Preparing volumes")],
)
def test_a_count_that_was_stopped_does_not_stay_on_the_bar(
    settled, runner, monkeypatch, command, task
):
    bar = settled.train.bar
    tell(settled, runner, monkeypatch, count(12, task))
    assert bar.format() == f"{task}: 12/60"
    tell(settled, runner, monkeypatch, CommandDone(command=command))
    assert bar.format() == f"{task}: stopped"
    assert bar.value() == 0


def test_a_count_that_came_to_its_end_is_not_called_stopped(settled, runner, monkeypatch):
    bar = settled.train.bar
    tell(settled, runner, monkeypatch, count(12), count(60), CommandDone(command="predict"))
    assert bar.format() == "Predicting: done"
    failed = CommandDone(command="predict", message="no memory")
    tell(settled, runner, monkeypatch, count(12), failed)
    assert bar.format() == "predict: not done"


def test_the_bar_of_another_project_begins_empty(settled, runner, monkeypatch, tmp_path):
    train = settled.train
    other = tmp_path / "other"
    ProjectStore.create(other, ["organ"]).close()
    began = RunStarted(run="r", method="any", device="cpu", plan=(), steps=3, minutes=None)
    tell(settled, runner, monkeypatch, began, count(12))
    assert train._bar is not None
    assert train.bar.format() == "Predicting: 12/60"
    settled.open_project(other)
    assert train._bar is None, "nor does napari's own bar stay"
    tell(settled, runner, monkeypatch, count(13), CommandDone(command="train"))
    assert train.bar.format() == NEVER


def test_the_status_line_says_which_kind_of_run_it_is(settled, qtbot, runner):
    runner.steps = 10_000
    press(qtbot, settled, "pretrain")
    qtbot.waitUntil(lambda: "· pre-training" in settled.status.text(), timeout=5000)
    press(qtbot, settled, "stop")
    qtbot.waitUntil(settled.train.train_button.isEnabled, timeout=5000)
    press(qtbot, settled, "train")
    qtbot.waitUntil(lambda: "· training" in settled.status.text(), timeout=5000)


def test_a_save_is_of_the_project_on_the_screen(settled, tmp_path):
    view = settled.controller.view
    view.layers.annotation.data[8, 6, 5] = 1
    assert view.flush()
    settled.status.refresh()
    assert "saved" in settled.status.text()
    settled.controller.new_project(tmp_path / "second", ["organ"])
    assert "saved" not in settled.status.text()
