"""The runner and a real child process, whatever dies."""

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sslseg.core.commands import Export, Open, Predict, ShowCase, Stop, Suggest, Train
from sslseg.core.config import TrainRequest
from sslseg.core.events import CommandDone, FinishReason, RunFinished
from sslseg.runner import ProcessRunner, RunnerState
from sslseg.runner.ledger import CLOSED
from sslseg.runner.perform import OUT_OF_MEMORY

FAKE = [sys.executable, str(Path(__file__).parent / "fake_worker.py")]
PARENT = """
import sys
from pathlib import Path
from sslseg.core.config import TrainRequest
from sslseg.core.commands import Open, Train
from sslseg.runner import ProcessRunner

runner = ProcessRunner(sys.argv[2:], logs=Path(sys.argv[1]))
runner.send(Open(project=sys.argv[1]))
runner.send(Train(request=TrainRequest(settings={"do": "wait"})))
while not any(event.kind == "step" for event in runner.poll()):
    runner.wait(10)
print(runner.pid, flush=True)
sys.stdin.read()
"""

posix = pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
pidfd = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs pidfd_open")

autogroups = pytest.mark.skipif(
    not Path("/proc/self/autogroup").exists(), reason="needs Linux's autogroups"
)


@pytest.fixture
def runner(tmp_path):
    with ProcessRunner(FAKE, logs=tmp_path / "logs", patience=2.0) as runner:
        yield runner


@pytest.fixture
def opened(runner, tmp_path):
    runner.send(Open(project=str(tmp_path)))
    await_done(runner)
    return runner


def train(do="nothing"):
    return Train(request=TrainRequest(settings={"do": do}))


def await_kind(runner, kind, count=1):
    """Return all events up to the `count`-th of a kind."""
    events, deadline = [], time.monotonic() + 20
    while sum(event.kind == kind for event in events) < count:
        assert time.monotonic() < deadline, events
        runner.wait(1.0)
        events += runner.poll()
    return events


def await_done(runner, count=1):
    return await_kind(runner, "done", count)


def finishes(events):
    return [event for event in events if isinstance(event, RunFinished)]


def has_ended(handle, seconds=10.0):
    poller = select.poll()
    poller.register(handle, select.POLLIN)
    return bool(poller.poll(seconds * 1000))


def test_no_worker_before_it_is_needed(runner):
    runner.send(Stop())
    runner.send(ShowCase(case="a"))
    assert runner.status.state is RunnerState.IDLE
    assert runner.pid is None
    assert runner.poll() == []


def test_open_starts_a_worker(runner, tmp_path):
    runner.send(Open(project=str(tmp_path)))
    assert runner.status.state is RunnerState.STARTING
    assert [event.kind for event in await_done(runner)] == ["worker_ready", "opened", "done"]
    assert runner.status.state is RunnerState.READY
    assert runner.status.device == "fake"


def test_two_trainings_in_a_row(opened):
    opened.send(train())
    opened.send(train())
    kinds = [event.kind for event in await_done(opened, 2)]
    assert kinds == ["run_started", "step", "checkpoint", "run_finished", "done"] * 2


def test_stop_ends_a_run_and_keeps_what_was_learnt(opened, tmp_path):
    opened.send(train("wait"))
    await_kind(opened, "step")
    assert opened.status.state is RunnerState.RUNNING
    assert opened.status.run == "run-1"
    opened.send(Stop())
    assert opened.status.state is RunnerState.STOPPING
    assert finishes(await_done(opened))[0].reason is FinishReason.STOPPED
    assert (tmp_path / "run-1.checkpoint").exists()


def test_stop_drops_commands_that_wait(opened):
    opened.send(train("wait"))
    await_kind(opened, "step")
    opened.send(train("wait"))
    opened.send(Stop())
    assert len(finishes(await_done(opened, 2))) == 1
    assert opened.status.state is RunnerState.READY


def test_stop_from_ready_does_not_stop_the_next_run(opened):
    opened.send(Stop())
    opened.send(train())
    assert finishes(await_done(opened))[0].reason is FinishReason.COMPLETED


@pytest.mark.parametrize(
    ("do", "words"),
    [
        pytest.param("kill", "killed from outside", marks=posix),
        pytest.param("stutter", "killed from outside", marks=posix),
        pytest.param("segfault", "segmentation fault", marks=posix),
        ("leave", "exit status 3: OSError: the cable was pulled."),
        ("babble", "answers could not be read"),
        ("exhaust_and_die", OUT_OF_MEMORY),
    ],
)
def test_death_in_mid_run_is_told_once_and_the_next_command_works(opened, tmp_path, do, words):
    opened.send(ShowCase(case="shown before"))
    opened.send(train(do))
    events = await_done(opened)
    (finished,) = finishes(events)
    log = next((tmp_path / "logs").iterdir())
    assert finished.reason is FinishReason.FAILED
    assert (finished.step, finished.seconds) == (7, 3.0)
    assert words in finished.message
    assert "had not saved anything yet" in finished.message
    assert finished.message.endswith(f"Log: {log}")
    assert events[-1] == CommandDone(command="train", message=finished.message)
    assert opened.status.state is RunnerState.FAILED
    assert opened.pid is None

    opened.send(Predict())
    events = await_done(opened, 2)
    kinds = [event.kind for event in events]
    assert kinds == ["worker_ready", "opened", "done", "prediction", "done"]
    assert events[3].case == "shown before"
    assert opened.status.state is RunnerState.READY


@posix
def test_death_with_nothing_to_do_is_seen(opened):
    os.kill(opened.pid, signal.SIGKILL)
    assert not opened.wait(10.0)
    assert opened.status.state is RunnerState.FAILED
    assert opened.poll() == []


@pytest.mark.parametrize(
    ("do", "message"),
    [
        ("fail", "ZeroDivisionError: by nothing"),
        ("refuse", "Got no labels; expected some. Paint a slice."),
        ("exhaust", OUT_OF_MEMORY),
    ],
)
def test_an_exception_does_not_end_the_worker(opened, do, message):
    pid = opened.pid
    opened.send(train(do))
    events = await_done(opened)
    assert finishes(events)[0].message == events[-1].message == message
    opened.send(train())
    assert await_done(opened)[-1].message == ""
    assert opened.pid == pid


@pytest.mark.parametrize("do", ["talk", "read_stdin", "shout"])
def test_what_libraries_say_and_ask_stays_off_the_pipe(opened, do):
    opened.send(train(do))
    assert finishes(await_done(opened))[0].reason is FinishReason.COMPLETED


def test_what_libraries_say_is_in_the_log(runner, tmp_path):
    runner.send(Open(project=str(tmp_path)))
    runner.send(train("talk"))
    await_done(runner, 2)
    runner.close()
    log = next((tmp_path / "logs").iterdir()).read_text()
    assert "a library says hello" in log
    assert "and so does its C part" in log


def test_long_messages_and_many_of_them(opened):
    out = "x" * 1_000_000
    opened.send(Export(out=out))
    assert await_done(opened)[0].files[0] == out
    for count in range(2000):
        opened.send(Suggest(count=count % 3))
    events = await_done(opened, 2000)
    found = [len(event.suggestions) for event in events if event.kind == "suggestions"]
    assert found == [count % 3 for count in range(2000)]


@posix
def test_a_frozen_worker_blocks_nothing(opened):
    opened.send(train("hang"))
    await_kind(opened, "step")
    os.kill(opened.pid, signal.SIGSTOP)
    began = time.perf_counter()
    for _ in range(20):
        opened.send(Export(out="x" * 1_000_000))
        assert opened.poll() == []
        assert opened.status.state is RunnerState.RUNNING
    assert time.perf_counter() - began < 0.5


@posix
def test_a_worker_that_does_not_answer_can_be_ended_and_the_next_command_works(opened):
    opened.send(train("hang"))
    await_kind(opened, "step")
    os.kill(opened.pid, signal.SIGSTOP)
    opened.kill()
    events = await_done(opened)
    assert finishes(events)[0].reason is FinishReason.FAILED
    assert "ended because it no longer answered. Your labels are kept" in events[-1].message
    opened.kill()
    opened.send(train())
    assert await_done(opened, 2)[-1].message == ""


@posix
def test_close_ends_a_worker_that_hears_nothing(tmp_path):
    runner = ProcessRunner(FAKE, logs=tmp_path, patience=0.1)
    runner.send(Open(project=str(tmp_path)))
    runner.send(train("hang"))
    await_kind(runner, "step")
    pid = runner.pid
    os.kill(pid, signal.SIGSTOP)
    runner.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert finishes(runner.poll())[0].message == CLOSED


def test_close_while_training_saves(opened, tmp_path):
    opened.send(train("wait"))
    await_kind(opened, "step")
    opened.close()
    assert opened.status.state is RunnerState.CLOSED
    assert finishes(opened.poll())[0].reason is FinishReason.STOPPED
    assert (tmp_path / "run-1.checkpoint").exists()
    assert (tmp_path / "closed").exists()


def test_closed_answers_and_starts_nothing(runner):
    runner.close()
    runner.close()
    runner.send(Suggest())
    assert runner.poll() == [CommandDone(command="suggest", message=CLOSED)]
    assert runner.pid is None


def test_a_program_that_does_not_exist(tmp_path):
    with ProcessRunner([str(tmp_path / "none")], logs=tmp_path) as runner:
        runner.send(Suggest())
        assert "could not be started" in runner.poll()[0].message
        assert runner.status.state is RunnerState.FAILED


def test_a_worker_that_dies_at_birth(tmp_path):
    code = "raise ImportError('no torch here')"
    with ProcessRunner([sys.executable, "-c", code], logs=tmp_path) as runner:
        runner.send(Suggest())
        assert "exit status 1: ImportError: no torch here." in await_done(runner)[0].message


def test_a_login_greeting_is_skipped(tmp_path):
    code = f"import subprocess; print('Welcome!', flush=True); subprocess.run({FAKE!r})"
    with ProcessRunner([sys.executable, "-c", code], logs=tmp_path) as runner:
        runner.send(Open(project=str(tmp_path)))
        assert await_done(runner)[-1].message == ""


@posix
def test_the_worker_makes_way_and_has_a_session_of_its_own(opened):
    assert os.getpriority(os.PRIO_PROCESS, opened.pid) >= min(19, os.nice(0) + 10)
    assert os.getsid(opened.pid) == opened.pid
    os.kill(opened.pid, signal.SIGINT)
    opened.send(train())
    assert await_done(opened)[-1].message == ""


@autogroups
def test_the_worker_s_session_makes_way_for_the_viewer_s(opened):
    # where Linux shares out time by session, the niceness of a process alone changes nothing
    assert Path(f"/proc/{opened.pid}/autogroup").read_text().endswith("nice 10\n")
    assert not Path("/proc/self/autogroup").read_text().endswith("nice 10\n")


@pidfd
def test_a_killed_viewer_leaves_no_worker_and_loses_nothing(tmp_path):
    argv = [sys.executable, "-c", PARENT, str(tmp_path), *FAKE]
    parent = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with parent:
        handle = os.pidfd_open(int(parent.stdout.readline()))
        parent.kill()
        try:
            assert has_ended(handle)
        finally:
            os.close(handle)
    assert (tmp_path / "run-1.checkpoint").exists()
