"""The loop with fake callables and a fake clock: every way to end, and all along the way."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import pairwise

import pytest
import torch
from engine_worlds import CPU

from sslseg.core.commands import Train
from sslseg.core.config import TrainRequest
from sslseg.core.control import Control
from sslseg.core.errors import Cancelled, SslsegError
from sslseg.core.events import (
    CheckpointSaved,
    FinishReason,
    PredictionReady,
    Progress,
    RunFinished,
    RunStarted,
    SlicesPredicted,
    StepReported,
    Validated,
)
from sslseg.runner.perform import perform
from sslseg.training import loop
from sslseg.training.loop import Job, Schedule, train
from sslseg.training.trainer import Diverged, StepReport

STARTED = RunStarted(run="r", method="m", device="d", plan=(), steps=3, minutes=None)
VALIDATED = Validated(run="r", step=0, dice={}, mean=None, slices=0)
GLIMPSED = SlicesPredicted(case="a", file="slices.npz")
PREDICTED = PredictionReady(case="a", version="1", folder="f")


class FakeTime:
    """Time stands still but for what a step takes."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    fake = FakeTime()
    monkeypatch.setattr(loop, "time", fake)
    return fake


@dataclass
class FakeTrainer:
    """Counts, spends time, and does what it is told at a step."""

    clock: FakeTime
    seconds: float = 0.03
    act: object = None
    step_count: int = 0
    device: object = CPU
    joins: float = 0.5
    fractions: list[float] = field(default_factory=list)
    samplers: list[object] = field(default_factory=list)

    def step(self, sampler, fraction):
        self.clock.now += self.seconds
        self.fractions.append(fraction)
        self.samplers.append(sampler)
        if self.act is not None:
            self.act(self.step_count)
        self.step_count += 1
        return StepReport({"supervised": 1.0 / self.step_count}, 0.1)


class FakeData:
    """Each sampler is a number; strokes make the next one."""

    def __init__(self) -> None:
        self.strokes = self.seen = 0

    def changed(self) -> bool:
        return self.strokes != self.seen

    def sampler(self) -> int:
        self.seen = self.strokes
        return self.seen


@pytest.fixture
def make_job(clock):
    def make(
        act=None,
        steps=3,
        minutes=None,
        seconds=0.03,
        data=None,
        prepare=None,
        preview=None,
        join=None,
    ):
        def prepared():
            yield Progress(task="Preparing volumes", done=1, total=1)

        chosen = data or FakeData()
        return Job(
            trainer=FakeTrainer(clock, seconds, act),
            schedule=Schedule(steps if minutes is None else None, minutes),
            started=STARTED,
            prepare=prepare or prepared,
            data=lambda: chosen,
            validate=lambda: [VALIDATED],
            join_held_out=join or (lambda: None),
            preview=preview or (lambda: None),
            save=lambda: f"checkpoint-{job.trainer.step_count}",
            conclude=lambda: f"last-{job.trainer.step_count}",
        )

    def remember(*args, **kwargs):
        nonlocal job
        job = make(*args, **kwargs)
        return job

    job = None
    return remember


def kinds(events):
    return [type(event).__name__ for event in events]


def end(events):
    """The only RunFinished, which is the last event."""
    finished = [event for event in events if isinstance(event, RunFinished)]
    assert len(finished) == 1
    assert events[-1] is finished[0]
    assert events[0] is STARTED
    return finished[0]


def test_completed(make_job):
    events = list(train(make_job(), Control()))
    finished = end(events)
    assert (finished.reason, finished.step, finished.message) == (FinishReason.COMPLETED, 3, "")
    assert kinds(events) == [
        "RunStarted",
        "Progress",
        "StepReported",
        "Validated",
        "StepReported",
        "CheckpointSaved",
        "Validated",
        "RunFinished",
    ]
    assert [e.step for e in events if isinstance(e, StepReported)] == [1, 3], "first and last"
    assert finished.seconds == pytest.approx(0.09)


def test_stopped_before_the_first_step(make_job):
    control = Control()
    control.stop()
    events = list(train(make_job(), control))
    assert end(events).reason is FinishReason.STOPPED
    assert "CheckpointSaved" not in kinds(events), "there is nothing to keep"


def test_stopped_while_preparing(make_job):
    def cancelled():
        yield Progress(task="Preparing volumes", done=1, total=2)
        raise Cancelled

    finished = end(list(train(make_job(prepare=cancelled), Control())))
    assert (finished.reason, finished.step) == (FinishReason.STOPPED, 0)


def test_stopped_at_a_step_keeps_what_was_learnt(make_job):
    control = Control()
    job = make_job(act=lambda step: control.stop() if step == 4 else None, steps=100)
    events = list(train(job, control))
    assert (end(events).reason, end(events).step) == (FinishReason.STOPPED, 5)
    saved = [e for e in events if isinstance(e, CheckpointSaved)]
    assert [(e.step, e.path) for e in saved] == [(5, "last-5")]


def test_stopped_while_predicting_keeps_what_was_learnt(make_job):
    def cancelled():
        raise Cancelled

    events = list(train(make_job(steps=100, seconds=2.0, preview=cancelled), Control()))
    assert end(events).reason is FinishReason.STOPPED
    assert "CheckpointSaved" in kinds(events)


def test_diverged_saves_nothing_and_says_what_to_do(make_job):
    def diverge(step):
        if step == 2:
            raise Diverged

    events = list(train(make_job(act=diverge, steps=9), Control()))
    finished = end(events)
    assert finished.reason is FinishReason.FAILED
    assert "learning_rate" in finished.message
    assert "Nothing of this run is kept" in finished.message
    assert "CheckpointSaved" not in kinds(events)


def test_diverged_after_a_checkpoint_keeps_it_and_says_so(make_job):
    def diverge(step):
        if step == 20:
            raise Diverged

    events = list(train(make_job(act=diverge, steps=30, seconds=1.0), Control()))
    assert "by the last checkpoint is kept" in end(events).message
    assert [e.step for e in events if isinstance(e, CheckpointSaved)] == [15]


@pytest.mark.parametrize("where", ["prepare", "step"])
def test_a_problem_that_the_user_can_solve_ends_the_run_in_its_words(make_job, where):
    problem = SslsegError("a vanished file", "it", "Put it back.")

    def fail(*_):
        raise problem
        yield

    def fail_at_step(_):
        raise problem

    job = make_job(prepare=fail) if where == "prepare" else make_job(act=fail_at_step)
    finished = end(list(train(job, Control())))
    assert finished.reason is FinishReason.FAILED
    assert finished.message == str(problem)


def test_what_was_learnt_before_a_problem_is_kept(make_job):
    def fail_late(step):
        if step == 2:
            raise SslsegError("a vanished file", "it", "Put it back.")

    events = list(train(make_job(act=fail_late, steps=9), Control()))
    assert end(events).reason is FinishReason.FAILED
    assert [e.path for e in events if isinstance(e, CheckpointSaved)] == ["last-2"]


def test_unforeseen_errors_leave_through_the_caller(make_job):
    def fail(_):
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        list(train(make_job(act=fail), Control()))


@pytest.mark.parametrize(("weight", "saved"), [(1.0, [2]), (float("nan"), [])])
def test_an_unforeseen_error_loses_nothing_sound(make_job, monkeypatch, weight, saved):
    def fail(step):
        if step == 2:
            raise MemoryError

    job, kept = make_job(act=fail, steps=9), []
    state = {"step": torch.tensor(3), "net.weight": torch.tensor([0.0, weight])}
    monkeypatch.setattr(FakeTrainer, "state", lambda self: state, raising=False)
    job = replace(job, save=lambda: kept.append(job.trainer.step_count))
    with pytest.raises(MemoryError):
        list(train(job, Control()))
    assert kept == saved


def test_what_went_wrong_first_is_told_though_saving_fails_too(make_job, monkeypatch):
    def fail(step):
        if step == 2:
            raise ZeroDivisionError

    def full():
        raise SslsegError("a full disk", "room", "Free some space.")

    monkeypatch.setattr(FakeTrainer, "state", lambda self: {}, raising=False)
    with pytest.raises(ZeroDivisionError):
        list(train(replace(make_job(act=fail, steps=9), save=full), Control()))


def test_the_run_of_an_unforeseen_error_is_finished_by_its_caller(make_job, monkeypatch):
    def fail(step):
        if step == 2:
            raise MemoryError

    monkeypatch.setattr(FakeTrainer, "state", lambda self: {}, raising=False)
    job = make_job(act=fail, steps=9)
    command = Train(request=TrainRequest())
    events = list(perform(lambda command, control: train(job, control), command, Control()))
    finished, done = events[-2:]
    assert isinstance(finished, RunFinished)
    assert finished.reason is FinishReason.FAILED
    assert "memory" in finished.message
    assert done.message == finished.message


def test_at_most_ten_reports_a_second(make_job):
    events = list(train(make_job(minutes=0.5, seconds=0.013), Control()))
    reports = [e for e in events if isinstance(e, StepReported)]
    assert reports[0].step == 1
    gaps = [b.seconds - a.seconds for a, b in pairwise(reports[:-1])]  # the last step is told too
    assert min(gaps) >= 0.1 - 1e-9
    assert max(gaps) < 0.13
    assert 200 < len(reports) <= 300


def test_reports_say_how_long_it_will_take(make_job):
    reports = [
        e for e in train(make_job(steps=100, seconds=0.5), Control()) if isinstance(e, StepReported)
    ]
    tenth = next(r for r in reports if r.step == 10)
    assert tenth.fraction == pytest.approx(0.1)
    assert tenth.seconds == pytest.approx(5)
    assert tenth.seconds_left == pytest.approx(45)
    assert tenth.terms == {"supervised": 0.1}
    assert reports[-1].seconds_left == pytest.approx(0, abs=1e-6)


def test_fractions_rise_from_zero_to_the_end(make_job):
    job = make_job(steps=4)
    list(train(job, Control()))
    assert job.trainer.fractions == [0, 0.25, 0.5, 0.75]
    job = make_job(minutes=0.1, seconds=1.5)
    list(train(job, Control()))
    assert job.trainer.fractions == pytest.approx([0, 0.25, 0.5, 0.75])


def test_minutes_begin_after_preparation(make_job, clock):
    def slow():
        clock.now += 500
        yield Progress(task="Preparing volumes", done=1, total=1)

    job = make_job(minutes=0.1, seconds=1.5, prepare=slow)
    assert end(list(train(job, Control()))).seconds == pytest.approx(6)
    assert job.trainer.step_count == 4


@pytest.mark.parametrize(
    ("schedule", "step", "seconds", "expected"),
    [
        (Schedule(steps=30), 0, 99.0, 0.0),
        (Schedule(steps=30), 15, 0.0, 0.5),
        (Schedule(steps=30), 30, 0.0, 1.0),
        (Schedule(minutes=2.0), 10**6, 30.0, 0.25),
        (Schedule(minutes=2.0), 0, 121.0, 121 / 120),
    ],
)
def test_schedule_by_hand(schedule, step, seconds, expected):
    assert schedule.fraction(step, seconds) == expected


@pytest.mark.parametrize(("share", "steps"), [(0.5, 5), (0.3, 3)])
def test_held_out_slices_judge_first_and_then_join(make_job, share, steps):
    order = []
    data = FakeData()
    job = make_job(steps=10, data=data, join=lambda: order.append(len(job.trainer.fractions)))
    job.trainer.joins = share
    kept = kinds(train(job, Control()))
    assert order == [steps], "once, when the trainer says"
    assert kept.count("Validated") == 2


def test_a_run_stopped_early_never_shows_them(make_job):
    control, joined = Control(), []
    job = make_job(steps=10, act=lambda s: s == 3 and control.stop(), join=lambda: joined.append(1))
    list(train(job, control))
    assert joined == []


def test_new_strokes_join_the_run(make_job):
    data = FakeData()

    def draw(step):
        data.strokes += step == 10

    job = make_job(act=draw, steps=40, seconds=0.1, data=data)
    list(train(job, Control()))
    counts = Counter(job.trainer.samplers)
    assert counts[0] + counts[1] == 40
    assert 11 <= counts[0] <= 17, "seen within half a second"


def test_strokes_that_take_long_to_join_leave_the_time_to_training(make_job, clock):
    """A stroke in each step, each 3 s of work: a look every half a minute, and one at the join."""
    renewed = []

    class Large(FakeData):
        def sampler(self):
            renewed.append(clock.now)
            clock.now += 3.0
            return super().sampler()

    data = Large()

    def draw(_step):
        data.strokes += 1

    list(train(make_job(act=draw, minutes=4, seconds=1.0, data=data), Control()))
    waits = [after - before for before, after in pairwise(renewed[1:])]
    assert sum(wait < 33 for wait in waits) <= 2, "ten times as long but around the join"
    assert 8 <= len(renewed) <= 3 + 240 / 33


def test_previews_validations_and_checkpoints_along_the_way(make_job):
    job = make_job(minutes=4, seconds=1.0, preview=lambda: PREDICTED)
    events = list(train(job, Control()))
    found = Counter(kinds(events))
    assert found["Validated"] == 10, "along the way; at the join and at the end are two of them"
    saved = [e.step for e in events if isinstance(e, CheckpointSaved)]
    assert saved == pytest.approx([15, 75, 135, 195, 240], abs=3), "soon, one a minute, the end"
    learnt = min(loop.STEPS_BEFORE_PREVIEW * 1.0, loop.LONGEST_WAIT_SECONDS)
    began = max(loop.FIRST_PREVIEW_SECONDS, learnt)
    assert abs(found["PredictionReady"] - (240 - began) / loop.PREVIEW_SECONDS) <= 2
    first = kinds(events).index("PredictionReady")
    steps = [e.step for e in events[:first] if isinstance(e, StepReported)]
    assert max(steps) == pytest.approx(began, abs=1)


def test_slow_previews_become_rare(make_job, clock):
    def slow():
        clock.now += 10
        return PREDICTED

    job = make_job(minutes=10, seconds=1.0, preview=slow)
    found = Counter(kinds(train(job, Control())))
    assert found["PredictionReady"] >= 2
    assert 10 * (found["PredictionReady"] - 1) <= 600 * loop.PREVIEW_SHARE + 10


def test_slow_validations_leave_the_time_to_training(make_job, clock):
    job = make_job(minutes=4.0, seconds=0.5)
    seconds = []

    def validate():
        clock.now += 20.0
        seconds.append(20.0)
        return [VALIDATED]

    list(train(replace(job, validate=validate), Control()))
    # the first, one at most in each 200 s after it, one before the join, the last
    assert 3 <= len(seconds) <= 4


def test_a_preview_longer_than_the_run_is_never_begun(make_job, clock):
    begun = []

    def endless():
        begun.append(clock.now)
        clock.now += 3600
        return PREDICTED

    job = replace(make_job(minutes=2, seconds=1.0, preview=endless), preview_seconds=lambda: 3600.0)
    events = list(train(job, Control()))
    assert begun == []
    assert job.trainer.step_count == 120, "all of the time was for training"
    assert end(events).reason is FinishReason.COMPLETED


@pytest.mark.parametrize(("minutes", "shown"), [(1, False), (4, True)])
def test_a_preview_is_measured_by_the_run(make_job, clock, minutes, shown):
    """20 s are a third of a minute, but little of four."""

    def slow():
        clock.now += 20
        return PREDICTED

    job = make_job(minutes=minutes, seconds=1.0, preview=slow)
    events = list(train(replace(job, preview_seconds=lambda: 20.0), Control()))
    assert ("PredictionReady" in kinds(events)) is shown


def test_a_smaller_case_on_the_screen_is_shown_again(make_job, clock):
    sizes = {"large": 3600.0, "small": 0.5}
    shown = []

    def case():
        return "large" if clock.now < 1060 else "small"

    def preview():
        shown.append(case())
        return PREDICTED

    job = make_job(minutes=2, seconds=1.0, preview=preview)
    list(train(replace(job, preview_seconds=lambda: sizes[case()]), Control()))
    assert set(shown) == {"small"}


def test_of_a_case_that_takes_too_long_some_slices_are_shown(make_job, clock):
    """A tenth of two minutes is what one look may take; all looks together take a twentieth."""
    allowed = []

    def few(longest):
        allowed.append(longest)
        clock.now += 2
        return GLIMPSED

    job = make_job(minutes=2, seconds=1.0, preview=lambda: pytest.fail("the whole case"))
    events = list(train(replace(job, preview_seconds=lambda: 3600.0, glimpse=few), Control()))
    assert allowed == pytest.approx([12] * len(allowed), rel=0.1)
    assert 2 <= len(allowed) <= 1 + 120 * loop.PREVIEW_SHARE / 2
    assert events.count(GLIMPSED) == len(allowed)


@pytest.mark.parametrize("steps", [None, 1000])
def test_a_preview_is_measured_by_the_expected_length_of_fixed_steps(make_job, steps):
    """1000 steps of a second each have time for a preview of a minute; 2 minutes have not."""
    job = make_job(steps=steps, minutes=None if steps else 2, seconds=1.0)
    job = replace(job, preview=lambda: PREDICTED, preview_seconds=lambda: 60.0)
    assert ("PredictionReady" in kinds(train(job, Control()))) is bool(steps)


def test_a_slow_validation_waits_for_its_share_of_the_run(make_job, clock):
    """12 s of 4 minutes: at 120 s the first one is within the tenth, and the join has its own."""
    begun = []

    def validate():
        begun.append(clock.now - 1000)
        clock.now += 12.0
        return [VALIDATED]

    job = replace(make_job(minutes=4, seconds=1.0), validate=validate)
    list(train(replace(job, validation_seconds=lambda: 12.0), Control()))
    assert begun[0] >= 119
    assert len([second for second in begun if second < 230]) <= 2


@pytest.fixture
def judged_steps(make_job):
    """Return a function that runs a job and tells at which steps it was validated."""

    def judge(said, **options):
        asked = []
        job = make_job(**options)
        job = replace(job, validate=lambda: asked.append(job.trainer.step_count) or said)
        list(train(job, Control()))
        return asked

    return judge


def test_no_step_is_validated_twice(judged_steps):
    """Each step takes the interval: one is due after it, before the join and at the end."""
    asked = judged_steps([VALIDATED], steps=4, seconds=8.0)
    assert asked == [1, 2, 3, 4]


def test_a_validation_that_said_nothing_is_asked_again(judged_steps):
    """As one that a request to stop cut short."""
    asked = judged_steps([], steps=2, seconds=8.0)
    assert asked == [1, 1, 2, 2], "at the join and at the end"
