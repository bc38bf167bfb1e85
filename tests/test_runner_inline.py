"""The runner that works in the calling thread."""

from sslseg.core.commands import ShowCase, Stop, Suggest, Train
from sslseg.core.config import TrainRequest
from sslseg.core.control import Control
from sslseg.core.errors import SslsegError
from sslseg.core.events import CommandDone, FinishReason, Progress, RunFinished, RunStarted
from sslseg.runner import InlineRunner, RunnerState
from sslseg.runner.ledger import CLOSED
from sslseg.runner.perform import OUT_OF_MEMORY, perform

TRAIN = Train(request=TrainRequest())
STARTED = RunStarted(run="r", method="m", device="cpu", plan=(), steps=1, minutes=None)


def ten_steps(command, control):
    for done in range(10):
        control.check()
        yield Progress(task=command.kind, done=done, total=10)


def ends(events):
    return [event for event in events if isinstance(event, CommandDone)]


def test_send_works_to_the_end():
    runner = InlineRunner(ten_steps)
    assert runner.status.state is RunnerState.READY
    runner.send(Suggest())
    events = runner.poll()
    assert [event.kind for event in events] == ["progress"] * 10 + ["done"]
    assert runner.poll() == []
    assert runner.status.state is RunnerState.READY


def test_listener_hears_at_once_and_may_stop():
    heard = []

    def listen(event):
        heard.append((event, runner.status.state))
        if isinstance(event, Progress) and event.done == 2:
            runner.send(Stop())

    runner = InlineRunner(ten_steps, listen)
    runner.send(Suggest())
    assert [event for event, _ in heard] == runner.poll()
    assert [state.value for _, state in heard] == ["running"] * 3 + ["ready"]
    assert heard[-1][0] == CommandDone(command="suggest")


def test_stop_with_nothing_running_does_not_stop_the_next():
    runner = InlineRunner(ten_steps)
    runner.send(Stop())
    runner.send(Suggest())
    assert len(runner.poll()) == 11


def test_commands_from_inside_wait_for_their_turn():
    def listen(event):
        if isinstance(event, Progress) and event.task == "suggest" and event.done == 0:
            runner.send(TRAIN)

    runner = InlineRunner(ten_steps, listen)
    runner.send(Suggest())
    tasks = [event.task for event in runner.poll() if isinstance(event, Progress)]
    assert tasks == ["suggest"] * 10 + ["train"] * 10


def test_stop_drops_what_waits():
    def listen(event):
        if isinstance(event, Progress) and event.done == 0:
            runner.send(TRAIN)
            runner.send(Stop())

    runner = InlineRunner(ten_steps, listen)
    runner.send(Suggest())
    events = runner.poll()
    assert len(events) == 3
    assert ends(events) == [CommandDone(command="train"), CommandDone(command="suggest")]


def test_show_case_reaches_the_work():
    def say_shown(command, control):
        yield Progress(task=str(control.shown), done=0, total=1)

    runner = InlineRunner(say_shown)
    runner.send(ShowCase(case="b"))
    runner.send(Suggest())
    assert runner.poll()[0].task == "b"


def test_closed_answers_but_does_not_work():
    with InlineRunner(ten_steps) as runner:
        pass
    runner.send(Suggest())
    assert runner.poll() == [CommandDone(command="suggest", message=CLOSED)]
    assert runner.status.state is RunnerState.CLOSED


def outcome(error):
    def handle(command, control):
        yield STARTED
        raise error

    return list(perform(handle, TRAIN, Control()))


def test_a_plain_error_is_shown_as_it_is(caplog):
    error = SslsegError("no labels", "some", "Paint a slice.")
    finished, done = outcome(error)[1:]
    assert done.message == finished.message == "Got no labels; expected some. Paint a slice."
    assert finished.reason is FinishReason.FAILED
    assert caplog.records == []


def test_an_unexpected_error_is_one_line_and_its_traceback_is_logged(caplog):
    finished, done = outcome(ValueError("first\nsecond"))[1:]
    assert done.message == finished.message == "ValueError: first"
    assert caplog.records[0].exc_info[0] is ValueError


def test_exhausted_memory_is_said_in_plain_words(caplog):
    assert outcome(MemoryError())[-1].message == OUT_OF_MEMORY
    assert outcome(RuntimeError("CUDA out of memory. Tried"))[-1].message == OUT_OF_MEMORY


def test_a_stop_is_no_failure():
    def handle(command, control):
        yield STARTED
        control.stop()
        control.check()

    events = list(perform(handle, TRAIN, Control()))
    assert events[1:] == [
        RunFinished(run="r", reason=FinishReason.STOPPED, step=0, seconds=0),
        CommandDone(command="train"),
    ]
