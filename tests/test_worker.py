"""The worker's side of the pipe."""

import io
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
from cli_worlds import write_ellipsoids

from sslseg import worker
from sslseg.core.catalogue import methods
from sslseg.core.commands import (
    COMMAND,
    Open,
    Predict,
    Pretrain,
    ShowCase,
    Simulate,
    Stop,
    Suggest,
    Train,
)
from sslseg.core.config import DeviceChoice, SimulationRequest, TrainRequest
from sslseg.core.control import Control
from sslseg.core.errors import SslsegError
from sslseg.core.events import (
    EVENT,
    CommandDone,
    FinishReason,
    Progress,
    RunFinished,
    SimulationReported,
    WorkerReady,
)
from sslseg.runner import ProcessRunner
from sslseg.session import Session
from sslseg.worker import Desk, Mailbox, Outlet

FAKE = [sys.executable, str(Path(__file__).parent / "fake_worker.py")]
TRAIN = Train(request=TrainRequest())


def converse(lines, **env):
    """Give a fake worker all `lines`, then the end of the pipe; return events and the process."""
    ran = subprocess.run(
        FAKE, input=b"".join(lines), capture_output=True, timeout=20, env=os.environ | env
    )
    return [EVENT.validate_json(line) for line in ran.stdout.splitlines()], ran


def line(command):
    return COMMAND.dump_json(command) + b"\n"


def train(do):
    return line(Train(request=TrainRequest(settings={"do": do})))


def test_stop_overtakes_and_drops_all_but_open():
    mailbox = Mailbox(Control())
    for command in (TRAIN, Open(project="p"), Suggest()):
        assert mailbox.put(command) == []
    assert mailbox.put(Stop()) == [TRAIN, Suggest()]
    assert mailbox.control.stopped
    assert next(iter(mailbox)) == Open(project="p")
    assert not mailbox.control.stopped


def test_show_case_acts_at_once():
    mailbox = Mailbox(Control())
    mailbox.put(TRAIN)
    mailbox.put(ShowCase(case="b"))
    assert mailbox.control.shown == "b"
    assert next(iter(mailbox)) == TRAIN


def test_a_closed_mailbox_gives_nothing_and_stays_stopped():
    mailbox = Mailbox(Control())
    mailbox.put(TRAIN)
    mailbox.close()
    assert list(mailbox) == []
    assert mailbox.control.stopped


def test_a_broken_pipe_is_told_once_and_swallowed():
    reader, writer = os.pipe()
    os.close(reader)
    broken = []
    with os.fdopen(writer, "wb", buffering=0) as stream:
        outlet = Outlet(stream, lambda: broken.append(1))
        for _ in range(3):
            outlet.tell(WorkerReady(device="cpu"))
    assert broken == [1]


def test_events_are_single_lines():
    stream = io.BytesIO()
    Outlet(stream, lambda: None).tell(CommandDone(command="train", message="a\nb"))
    assert json.loads(stream.getvalue()) == {"kind": "done", "command": "train", "message": "a\nb"}
    assert stream.getvalue().count(b"\n") == 1


def test_the_desk_needs_a_project():
    with pytest.raises(SslsegError, match="no project"):
        list(Desk(lambda path: None)(TRAIN, Control()))


def test_the_desk_passes_on_of_a_simulation_what_concerns_the_window(tmp_path):
    images, labels = write_ellipsoids(tmp_path, 2)
    with Session.create(tmp_path / "p", ["posterior", "anterior"]) as session:
        list(session.add(images, Control()))
    asked = SimulationRequest(
        labels=str(labels),
        rounds=1,
        slices=1,
        methods=("supervised",),
        train=TrainRequest(steps=1, device=DeviceChoice.CPU),
    )
    desk = Desk(lambda path: Session(path, read_only=True))
    list(desk(Open(project=str(tmp_path / "p")), Control()))
    events = list(desk(Simulate(request=asked), Control()))
    desk.close()
    reports = [event for event in events if isinstance(event, SimulationReported)]
    assert [report.done for report in reports] == [0, 1]
    assert reports[-1].curves[0].slices == (1,)
    assert {event.kind for event in events} == {"simulation", "progress"}


def test_a_simulation_needs_a_project():
    asked = SimulationRequest(labels="l", rounds=1, slices=1, methods=("supervised",))
    with pytest.raises(SslsegError, match="no project"):
        list(Desk(lambda path: None)(Simulate(request=asked), Control()))


def test_pretraining_is_done_and_nothing_is_predicted_after_it():
    asked, later = [], []

    class Session:
        def __init__(self, path):
            pass

        def pretrain(self, request, control):
            asked.append(request.method)
            yield WorkerReady(device="cpu")

    control = Control()
    control.show("a")
    desk = Desk(Session, later.append)
    list(desk(Open(project="p"), control))
    events = list(desk(Pretrain(request=TrainRequest(method="jigsaw")), control))
    assert (asked, later, len(events)) == (["jigsaw"], [], 1)


def test_another_project_closes_the_first():
    closed = []

    class Opened:
        def __init__(self, path):
            self.path = path

        def close(self):
            closed.append(self.path.name)

    desk = Desk(Opened)
    for name in ("a", "b"):
        list(desk(Open(project=name), Control()))
    assert closed == ["a"]
    desk.close()
    desk.close()
    assert closed == ["a", "b"]


def test_the_real_worker_loads_torch_and_says_what_it_can(tmp_path):
    with ProcessRunner(logs=tmp_path) as runner:
        runner.send(Suggest())
        events = []
        while not (events and events[-1].kind == "done") and runner.wait(60):
            events += runner.poll()
    assert events[0].device
    assert events[0].methods == methods()
    assert "no project" in events[1].message


def test_the_end_of_the_pipe_ends_an_idle_worker(tmp_path):
    events, ran = converse([])
    assert ran.returncode == 0
    assert events in ([], [WorkerReady(device="fake")])


@pytest.mark.parametrize("bad", [b"\n", b"nonsense\n", b'{"kind": "explode"}\n', b"\xff\xfe\n"])
def test_a_malformed_command_is_answered_and_survived(bad):
    process = subprocess.Popen(FAKE, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with process:
        process.stdin.write(bad + line(Suggest()))
        process.stdin.flush()
        events = [EVENT.validate_json(process.stdout.readline()) for _ in range(3)]
        process.stdin.close()
    answers = {event.command: event.message for event in events if event.kind == "done"}
    assert answers[""].startswith("Not a command")
    assert "no project" in answers["suggest"]
    assert process.returncode == 0


def test_the_end_of_the_pipe_ends_a_worker_that_hangs(tmp_path):
    process = subprocess.Popen(
        FAKE,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"FAKE_LAST_SECONDS": "0.5"},
    )
    with process:
        process.stdin.write(line(Open(project=str(tmp_path))) + train("hang"))
        process.stdin.flush()
        while EVENT.validate_json(process.stdout.readline()).kind != "step":
            pass
        began = time.monotonic()
        process.stdin.close()
        assert process.wait(10) == 1
        assert time.monotonic() - began < 5
        assert b"in hang" in process.stderr.read()


@pytest.mark.parametrize(("steps", "follows"), [(0, []), (3, [Predict(), Suggest()])])
def test_predictions_follow_only_a_run_that_learnt_something(steps, follows):
    class Learnt:
        def train(self, request, control):
            reason = FinishReason.STOPPED if steps == 0 else FinishReason.COMPLETED
            yield RunFinished(run="r", reason=reason, step=steps, seconds=1.0)

    queued, control = [], Control()
    control.show("a")
    desk = Desk(lambda project: Learnt(), queued.append)
    list(desk(Open(project="p"), control))
    assert len(list(desk(TRAIN, control))) == 1
    assert queued == follows


@dataclass
class Predicting:
    """Predicts cases that take ten seconds each, and suggests."""

    clock: list[float]
    cases: int
    broken: bool = False

    def predict(self, cases, control):
        for done in range(self.cases):
            self.clock[0] += 10
            yield Progress(task="Predicting", done=done + 1, total=self.cases)

    def suggest(self, count, strategy):
        if self.broken:
            raise SslsegError("a damaged file", "a whole one", "Predict again.")
        return ()


def told_while_predicting(monkeypatch, session, command):
    """What the desk tells, as letters: p for a predicted case, s for suggestions."""
    monkeypatch.setattr(worker, "time", SimpleNamespace(monotonic=lambda: session.clock[0]))
    desk, control = Desk(lambda project: session), Control()
    list(desk(Open(project="p"), control))
    return "".join(event.kind[0] for event in desk(command, control))


def test_suggestions_come_on_the_way_of_a_long_prediction_more_and_more_rarely(monkeypatch):
    told = told_while_predicting(monkeypatch, Predicting([0.0], 16), Predict())
    assert told == "pps" + "pps" + "pppps" + "pppppppp", (
        "after 20, 40 and 80 s; the end has its own"
    )


def test_a_short_prediction_or_one_of_some_cases_brings_none(monkeypatch):
    assert told_while_predicting(monkeypatch, Predicting([0.0], 2), Predict()) == "pp"
    asked = Predict(cases=("a",))
    assert "s" not in told_while_predicting(monkeypatch, Predicting([0.0], 16), asked)


def test_suggestions_that_fail_on_the_way_end_no_prediction(monkeypatch):
    session = Predicting([0.0], 5, broken=True)
    assert told_while_predicting(monkeypatch, session, Predict()) == "ppppp"


def test_what_the_worker_does_by_itself_is_told_like_what_it_was_asked_for(tmp_path):
    process = subprocess.Popen(FAKE, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    told = []
    with process:
        lines = [line(Open(project=str(tmp_path))), line(ShowCase(case="a")), train("nothing")]
        process.stdin.write(b"".join(lines))
        process.stdin.flush()
        while told[-1:] != ["done suggest"]:
            event = EVENT.validate_json(process.stdout.readline())
            if event.kind in ("opened", "begun", "done"):
                told.append(f"{event.kind} {getattr(event, 'command', '')}".strip())
        process.stdin.close()
    assert told == [
        "opened",
        "done open",
        "done train",
        "begun predict",
        "done predict",
        "begun suggest",
        "done suggest",
    ]


def test_a_project_that_cannot_be_opened_is_not_said_to_be_open(tmp_path):
    events = []
    with pytest.raises(SslsegError, match="no project"):
        events.extend(Desk(Session)(Open(project=str(tmp_path / "gone")), Control()))
    assert events == []
