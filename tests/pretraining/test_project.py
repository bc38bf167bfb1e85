"""Pre-training on a project: the plan, what is stored, and how trainings begin from it."""

from __future__ import annotations

import pytest
import torch
from engine_worlds import paint, write_image

from sslseg.core.config import DeviceChoice, TrainRequest
from sslseg.core.control import Control
from sslseg.core.errors import SslsegError
from sslseg.core.events import (
    CheckpointSaved,
    FinishReason,
    RunFinished,
    RunStarted,
    StepReported,
    Task,
)
from sslseg.session import Session
from sslseg.storage import checkpoints, runs
from sslseg.training import model, pretrained
from sslseg.training import round as rounds
from sslseg.training.pretrain import PretrainingRound
from sslseg.training.round import Round

TINY = {"width": 2, "batch": 2}


def request(steps: int = 2, **changes) -> TrainRequest:
    settings = TINY | changes.pop("settings", {})
    return TrainRequest(steps=steps, device=DeviceChoice.CPU, settings=settings, **changes)


@pytest.fixture
def session(tmp_path):
    with Session.create(tmp_path / "project", ["one", "two"]) as made:
        files = [write_image(tmp_path / f"{case}.nii.gz", n) for n, case in enumerate("abc")]
        list(made.add(files, Control()))
        yield made


@pytest.fixture(autouse=True)
def seconds(monkeypatch):
    """Each run begins in a second of its own."""
    ticks = iter(range(100))
    real = runs.new_run

    def new_run(folder, method):
        return real(folder, method).replace("-00-", f"-{next(ticks):02d}-")

    stamp = runs.time.gmtime(0)
    monkeypatch.setattr(runs.time, "gmtime", lambda *_: stamp)
    monkeypatch.setattr("sslseg.training.round.new_run", new_run)
    monkeypatch.setattr("sslseg.training.pretrain.new_run", new_run)


def pretrain(session: Session, asked: TrainRequest | None = None, control: Control | None = None):
    return list(session.pretrain(asked or request(), control or Control()))


def began(session: Session, asked: TrainRequest | None = None) -> RunStarted:
    events = list(session.train(asked or request(), Control()))
    assert events[-1].reason is FinishReason.COMPLETED, events[-1].message
    return events[0]


def stored(session: Session, run: str):
    found = checkpoints.latest(pretrained.folder_of(session.store.path) / run)
    assert found is not None
    return found


@pytest.mark.parametrize("name", ["masked", "jigsaw", "contrastive"])
def test_it_runs_without_any_label_and_says_so(session, name):
    events = pretrain(session, request(method=name))
    started, finished = events[0], events[-1]
    assert (started.task, started.method) == (Task.PRETRAINING, name)
    assert "No label is looked at." in started.plan
    assert started.plan[0].endswith("since nothing is labelled yet.")
    assert [type(e) for e in events].count(RunFinished) == 1
    assert (finished.reason, finished.step) == (FinishReason.COMPLETED, 2)
    tensors, facts = stored(session, started.run)
    assert (facts["method"], facts["step"]) == (name, 2)
    assert facts["network"]["channels"][0] == 2
    assert all(key.startswith(("encoder.", "decoder.rises.")) for key in tensors)


def test_a_training_begins_from_it_and_goes_on_from_itself(session):
    settings = {"plane": "axial"}
    started = pretrain(session, request(settings=settings))[0]
    paint(session.store, "a", [2, 5])
    first = began(session, request(settings=settings))
    assert "Starts from the encoder pre-trained by masked reconstruction." in first.plan
    facts = model.load_facts(session.store.path)
    assert facts is not None
    assert facts.pretrained == started.run
    again = began(session, request(settings=settings))
    assert f"Goes on from run {first.run}." in again.plan
    other = began(session, request(method="mean-teacher", settings=settings))
    assert "Starts from the encoder pre-trained by masked reconstruction." in other.plan
    fresh = began(session, request(settings=settings, fresh=True))
    assert "Starts from the encoder pre-trained by masked reconstruction." in fresh.plan


def test_a_newer_pre_training_wins_over_an_older_run(session):
    paint(session.store, "a", [2, 5])
    began(session)
    pretrain(session, request(method="jigsaw"))
    assert "Starts from the encoder pre-trained by jigsaw puzzles." in began(session).plan


def test_it_can_be_declined(session):
    paint(session.store, "a", [2, 5])
    pretrain(session)
    plan = began(session, request(settings={"pretrained": False})).plan
    assert not any("pre-trained" in words for words in plan)
    assert rounds.NOTHING_BEFORE in plan


def test_weights_are_those_that_were_learnt(session):
    paint(session.store, "a", [2, 5])
    run = pretrain(session)[0].run
    current = Round(session.store, request(method="mean-teacher"), Control(), lambda *_: None)
    before = current.trainer.nets["student"].encoder.state_dict()["levels.0.conv.unit0.conv.weight"]
    fresh = before.clone()
    current.job()
    tensors, _ = stored(session, run)
    learnt = torch.from_numpy(tensors["encoder.levels.0.conv.unit0.conv.weight"])
    for name in ("student", "teacher"):
        weights = current.trainer.nets[name].encoder.state_dict()
        assert torch.equal(weights["levels.0.conv.unit0.conv.weight"], learnt)
    assert not torch.equal(fresh, learnt)


def test_the_plan_is_that_of_the_training(session):
    """Same planner, same annotations, same settings: the same network on the same slices."""
    paint(session.store, "a", [2, 5])
    asked = request(settings={"context": 3})
    before = PretrainingRound(session.store, asked, Control()).plan
    after = Round(session.store, asked, Control(), lambda *_: None).plan
    assert before.network == after.network
    assert (before.axis, before.spacing, before.patch) == (after.axis, after.spacing, after.patch)
    assert (before.labelled, before.unlabelled) == (0, 2 * after.labelled)


@pytest.mark.parametrize(("minutes", "dims"), [(1.0, 2), (4.0, 3)])
def test_it_plans_as_a_training_of_the_same_length(session, minutes, dims):
    """Whole volumes on a CPU: a short run reads slices, a longer one boxes."""
    paint(session.store, "a", range(12))
    asked = request().model_copy(update={"steps": None, "minutes": minutes})
    before = PretrainingRound(session.store, asked, Control()).plan
    after = Round(session.store, asked, Control(), lambda *_: None).plan
    assert before.network == after.network
    assert before.network.dims == dims


@pytest.mark.parametrize("method", ["multi-view", "cross-teaching"])
def test_methods_of_boxes_begin_from_a_pre_training_on_boxes(session, method):
    paint(session.store, "a", [2, 5])
    pretrain(session, request(settings={"dimensions": "3d"}))
    plan = began(session, request(method=method)).plan
    assert "Starts from the encoder pre-trained by masked reconstruction." in plan


def test_another_shape_is_not_used_and_that_is_said(session):
    paint(session.store, "a", [2, 5])
    pretrain(session)
    plan = began(session, request(settings={"width": 3})).plan
    assert plan[-2:] == (rounds.NOTHING_BEFORE, rounds.UNFIT)


def test_a_damaged_file_is_as_good_as_none(session):
    paint(session.store, "a", [2, 5])
    run = pretrain(session)[0].run
    (file,) = (pretrained.folder_of(session.store.path) / run).glob("*.safetensors")
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    assert rounds.NOTHING_BEFORE in began(session).plan


def test_a_stop_in_mid_run_leaves_whole_files_or_none(session):
    control = Control()
    events = []
    for event in session.pretrain(request(1000), control):
        events.append(event)
        if getattr(event, "step", 0) >= 1:
            control.stop()
    finished = events[-1]
    assert finished.reason is FinishReason.STOPPED
    assert 0 < finished.step < 1000
    assert [e.step for e in events if isinstance(e, CheckpointSaved)] == [finished.step]
    tensors, facts = stored(session, events[0].run)
    assert facts["step"] == finished.step
    assert tensors
    folder = pretrained.folder_of(session.store.path)
    assert not list(folder.rglob(".*")), "no half file"


def test_a_full_disk_leaves_nothing_half(session, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    def run_out_of_room():
        for event in session.pretrain(request(), Control()):
            if isinstance(event, StepReported):
                monkeypatch.setattr("sslseg.storage.arrays._write_all", full)

    with pytest.raises(SslsegError, match="No space left"):
        run_out_of_room()
    monkeypatch.undo()
    folder = pretrained.folder_of(session.store.path)
    assert not [path for path in folder.rglob("*") if path.is_file()]
    network = PretrainingRound(session.store, request(), Control()).plan.network
    assert pretrained.newest(session.store.path, network) is None


def test_stopped_before_the_first_step_there_is_nothing(session):
    control = Control()
    control.stop()
    events = pretrain(session, control=control)
    assert events[-1].reason is FinishReason.STOPPED
    assert not pretrained.exists(session.store.path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"method": "magic"}, "contrastive, jigsaw, masked"),
        ({"settings": {"consistency": 1.0}}, "consistency"),
        ({"settings": {"share": 2.0}}, "share=2.0"),
    ],
)
def test_wrong_requests_are_refused(session, changes, words):
    with pytest.raises(SslsegError, match=words):
        pretrain(session, request(**changes))


def test_a_project_without_images_is_refused(tmp_path):
    with (
        Session.create(tmp_path / "empty", ["one"]) as empty,
        pytest.raises(SslsegError, match="no images"),
    ):
        pretrain(empty)
