"""One test per state transition, and the promise of exactly one end."""

import pytest

from sslseg.core.commands import Open, ShowCase, Stop, Suggest, Train
from sslseg.core.config import TrainRequest
from sslseg.core.events import (
    CheckpointSaved,
    CommandBegun,
    CommandDone,
    FinishReason,
    Progress,
    RunFinished,
    RunStarted,
    StepReported,
    WorkerReady,
)
from sslseg.runner import RunnerState
from sslseg.runner.ledger import CLOSED, SILENCE_S, Ledger

TRAIN = Train(request=TrainRequest())
DONE = CommandDone(command="train")
STARTED = RunStarted(run="r1", method="m", device="cuda", plan=(), steps=1, minutes=None)
STEP = StepReported(
    run="r1", step=5, fraction=0.1, seconds=2, seconds_left=1, terms={}, learning_rate=1
)
FINISHED = RunFinished(run="r1", reason=FinishReason.COMPLETED, step=5, seconds=2)


@pytest.fixture
def ledger():
    """A ledger whose worker is ready, its greeting already polled."""
    ledger = Ledger()
    ledger.started()
    ledger.heard(WorkerReady(device="cpu"))
    ledger.drain()
    return ledger


def state(ledger):
    return ledger.status().state


def test_begins_idle():
    assert state(Ledger()) is RunnerState.IDLE


def test_idle_to_starting():
    ledger = Ledger()
    ledger.started()
    assert state(ledger) is RunnerState.STARTING


def test_starting_with_work_waiting_is_still_starting():
    ledger = Ledger()
    ledger.started()
    ledger.sent(TRAIN)
    assert state(ledger) is RunnerState.STARTING


def test_starting_to_ready(ledger):
    assert state(ledger) is RunnerState.READY
    assert ledger.status().device == "cpu"


def test_ready_to_running_and_back(ledger):
    ledger.sent(TRAIN)
    assert state(ledger) is RunnerState.RUNNING
    assert ledger.status().detail == "Preparing to train"
    ledger.heard(DONE)
    assert state(ledger) is RunnerState.READY
    assert ledger.status().detail == ""


def test_status_names_the_open_run_and_its_device(ledger):
    ledger.sent(TRAIN)
    ledger.heard(STARTED)
    status = ledger.status()
    assert (status.run, status.device, status.detail) == ("r1", "cuda", "Training")
    ledger.heard(Progress(task="Predicting case-2", done=1, total=3))
    assert ledger.status().detail == "Predicting case-2"
    ledger.heard(FINISHED)
    assert ledger.status().run == ""


def test_running_to_stopping_to_ready(ledger):
    ledger.sent(TRAIN)
    ledger.sent(Stop())
    assert state(ledger) is RunnerState.STOPPING
    ledger.heard(DONE)
    assert state(ledger) is RunnerState.READY


def test_stop_covers_only_what_was_sent_before_it(ledger):
    ledger.sent(TRAIN)
    ledger.sent(Stop())
    ledger.sent(Suggest())
    ledger.heard(DONE)
    assert state(ledger) is RunnerState.RUNNING
    assert ledger.status().detail == "Ranking slices"


def test_stop_when_ready_changes_nothing(ledger):
    ledger.sent(Stop())
    assert state(ledger) is RunnerState.READY


def test_show_case_awaits_no_end(ledger):
    ledger.sent(ShowCase(case="a"))
    assert state(ledger) is RunnerState.READY


def test_two_of_a_kind_need_two_ends(ledger):
    ledger.sent(TRAIN)
    ledger.sent(TRAIN)
    ledger.heard(DONE)
    assert state(ledger) is RunnerState.RUNNING
    ledger.heard(DONE)
    assert state(ledger) is RunnerState.READY


def test_running_to_failed_settles_everything(ledger):
    ledger.sent(TRAIN)
    ledger.sent(Suggest())
    ledger.heard(STARTED)
    ledger.heard(STEP)
    ledger.drain()
    ledger.died("it broke")
    assert state(ledger) is RunnerState.FAILED
    assert ledger.status().detail == "it broke"
    assert ledger.drain() == [
        RunFinished(run="r1", reason=FinishReason.FAILED, step=5, seconds=2, message="it broke"),
        CommandDone(command="train", message="it broke"),
        CommandDone(command="suggest", message="it broke"),
    ]


def test_a_finished_run_is_not_finished_again(ledger):
    ledger.sent(TRAIN)
    ledger.heard(STARTED)
    ledger.heard(FINISHED)
    ledger.drain()
    ledger.died("it broke")
    assert ledger.drain() == [CommandDone(command="train", message="it broke")]


def test_ready_to_failed_owes_nothing(ledger):
    ledger.died("it broke")
    assert state(ledger) is RunnerState.FAILED
    assert ledger.drain() == []


def test_what_is_kept_when_the_worker_dies(ledger):
    assert ledger.kept == "Your labels are kept."
    ledger.heard(STARTED)
    ledger.heard(STEP)
    assert "had not saved anything" in ledger.kept
    ledger.heard(CheckpointSaved(run="r1", step=4, path="p"))
    assert ledger.kept.endswith("what this run had learnt by step 4.")
    ledger.heard(FINISHED)
    assert ledger.kept == "Your labels are kept."
    ledger.heard(STARTED.model_copy(update={"run": "r2"}))
    assert "had not saved anything" in ledger.kept, "the checkpoint was that of another run"


def test_failed_to_starting(ledger):
    ledger.died("it broke")
    ledger.started()
    assert state(ledger) is RunnerState.STARTING
    assert ledger.status().detail == ""


def test_running_to_closed(ledger):
    ledger.sent(TRAIN)
    ledger.close()
    assert state(ledger) is RunnerState.CLOSED
    ledger.died("killed")
    assert state(ledger) is RunnerState.CLOSED
    assert ledger.drain() == [CommandDone(command="train", message=CLOSED)]


def test_refused_commands_end_too(ledger):
    ledger.refuse(Open(project="p"), "no")
    ledger.refuse(Stop(), "no")
    assert ledger.drain() == [CommandDone(command="open", message="no")]


def test_wait_tells_whether_something_is_held(ledger):
    assert not ledger.wait(0.0)
    ledger.heard(DONE)
    assert ledger.wait(0.0)
    ledger.drain()
    ledger.died("it broke")
    assert not ledger.wait(60.0)


def test_a_silent_worker_is_told_before_its_first_word_and_before_the_first_step():
    now = [0.0]
    ledger = Ledger(clock=lambda: now[0])
    ledger.started()
    ledger.sent(Open(project="p"))
    now[0] = SILENCE_S - 1
    assert not ledger.status().silent
    now[0] = SILENCE_S
    assert ledger.status().silent
    ledger.heard(WorkerReady(device="cpu"))
    assert not ledger.status().silent
    ledger.heard(CommandDone(command="open"))
    now[0] += 10 * SILENCE_S
    assert not ledger.status().silent, "nothing was asked for"
    ledger.sent(TRAIN)
    assert not ledger.status().silent
    now[0] += SILENCE_S / 2
    ledger.sent(Suggest())
    now[0] += SILENCE_S / 2
    assert ledger.status().silent, "a further command is no word of the worker"
    ledger.heard(STARTED)
    assert not ledger.status().silent
    now[0] += SILENCE_S
    assert ledger.status().silent
    ledger.died("it broke")
    assert not ledger.status().silent


def test_what_the_worker_begins_by_itself_counts_like_a_command(ledger):
    ledger.heard(CommandBegun(command="predict"))
    assert (state(ledger), ledger.status().detail) == (RunnerState.RUNNING, "Predicting")
    ledger.sent(Stop())
    assert state(ledger) is RunnerState.STOPPING
    ledger.heard(CommandDone(command="predict"))
    assert state(ledger) is RunnerState.READY


def test_what_the_worker_had_begun_by_itself_ends_with_it(ledger):
    ledger.heard(CommandBegun(command="predict"))
    ledger.drain()
    ledger.died("it broke")
    assert ledger.drain() == [CommandDone(command="predict", message="it broke")]
