from __future__ import annotations

import io
import os
import signal
import sys

import pytest

from sslseg.core.events import (
    CriticJudged,
    Exported,
    FinishReason,
    Progress,
    RunFinished,
    RunStarted,
    StepReported,
    Validated,
)
from sslseg.core.prediction import CriticHealth
from sslseg.terminal import Follower, stoppable, table

STARTED = RunStarted(run="r1", method="m", device="CPU", plan=("Small.",), steps=9, minutes=None)
FINISHED = RunFinished(run="r1", reason=FinishReason.COMPLETED, step=9, seconds=3.21)


def step(number: int) -> StepReported:
    return StepReported(
        run="r1",
        step=number,
        fraction=number / 9,
        seconds=1.0,
        seconds_left=75.0,
        terms={"supervised": 0.5},
        learning_rate=0.1,
    )


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_sparse_lines_into_a_file():
    out = io.StringIO()
    steps = [step(n) for n in range(1, 9)]
    summary = Follower(out).follow(iter([STARTED, *steps, FINISHED]))
    assert out.getvalue().splitlines() == [
        "Training m on CPU. Small.",
        "Step 1, 11%, 1:15 left; supervised 0.500",
        "Training completed after 9 steps in 3 s.",
    ]
    assert summary.step is not None
    assert summary.step.step == 8


def test_a_verdict_that_stands_is_told_once():
    """Where nothing can be measured any more, each look finds what the one before did."""
    out = io.StringIO()
    words = ("Too easy.", "Too easy.", "Usable.", "Too easy.")
    health = [CriticHealth(words=each) for each in words]
    Follower(out).follow(CriticJudged(run="r1", step=n, health=h) for n, h in enumerate(health))
    assert out.getvalue().splitlines() == [
        "Step 0: Too easy.",
        "Step 2: Usable.",
        "Step 3: Too easy.",
    ]


def test_one_updating_line_on_a_terminal():
    out = Terminal()
    Follower(out).follow(iter([step(1), step(2), FINISHED]))
    assert out.getvalue().count("\r") == 2
    assert out.getvalue().count("\n") == 2


def test_short_work_is_silent_and_long_work_is_told_to_its_end(monkeypatch):
    clock = iter(range(0, 100, 4))
    monkeypatch.setattr("sslseg.terminal.time.monotonic", lambda: next(clock))
    out = io.StringIO()
    Follower(out).follow(Progress(task="Reading", done=n, total=2) for n in (1, 2))
    assert out.getvalue() == ""
    Follower(out).follow(Progress(task="Reading", done=n, total=5) for n in range(1, 6))
    assert out.getvalue().splitlines() == ["Reading: 3 of 5", "Reading: 5 of 5"]


def test_summary_of_a_training():
    validated = Validated(run="r1", step=9, dice={"a": 0.5, "b": None}, mean=0.5, slices=4)
    events = [STARTED, step(8), validated, Exported(files=("x",)), FINISHED]
    summary = Follower(io.StringIO()).follow(iter(events))
    found = summary.training()
    assert (found["run"], found["steps"], found["seconds"]) == ("r1", 9, 3.21)
    assert (found["device"], found["reason"]) == ("CPU", "completed")
    assert found["terms"] == {"supervised": 0.5}
    assert found["validation"] == {
        "step": 9,
        "dice": {"a": 0.5, "b": None},
        "mean": 0.5,
        "slices": 4,
        "error": None,
    }
    assert summary.files == ["x"]
    assert summary.failure == ""


def test_a_dice_that_nobody_had_time_to_measure_is_told():
    out = io.StringIO()
    Follower(out).follow(iter([Validated(run="r1", step=9, dice={}, mean=None, slices=0)]))
    assert out.getvalue().startswith("Dice not measured: ")


def test_failure_is_the_message_of_the_run():
    failed = FINISHED.model_copy(update={"reason": FinishReason.FAILED, "message": "Too hot."})
    assert Follower(io.StringIO()).follow(iter([STARTED, failed])).failure == "Too hot."


def test_table_shows_undefined_values_as_dashes():
    rows = {"a": {"x": {"dice": 0.5, "hd95_mm": None}}, "mean": {"x": {"dice": 1.0}}}
    assert table(rows).splitlines() == [
        "a     x             dice 0.500  hd95_mm -",
        "mean  x             dice 1.000",
    ]


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent differently there")
def test_a_polite_request_to_end_stops_too():
    before = signal.getsignal(signal.SIGTERM)
    with stoppable() as control:
        os.kill(os.getpid(), signal.SIGTERM)
        assert control.stopped
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent differently there")
def test_first_interrupt_stops_and_the_second_ends():
    before = signal.getsignal(signal.SIGINT)
    with stoppable() as control:
        os.kill(os.getpid(), signal.SIGINT)
        assert control.stopped
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_one_step_is_no_plural():
    out = io.StringIO()
    Follower(out).follow(iter([FINISHED.model_copy(update={"step": 1})]))
    assert "after 1 step in" in out.getvalue()
