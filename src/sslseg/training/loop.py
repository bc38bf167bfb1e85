"""The one loop under every method: ``train(job, control)`` yields events until the run ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

import torch

from sslseg.core.control import Control
from sslseg.core.errors import Cancelled, SslsegError
from sslseg.core.events import (
    CheckpointSaved,
    CriticJudged,
    Event,
    FinishReason,
    PredictionReady,
    RunFinished,
    RunStarted,
    SlicesPredicted,
    StepReported,
    Validated,
)
from sslseg.data.sampling import Sampler
from sslseg.training.threads import Threads
from sslseg.training.trainer import Diverged, StepReport, Trainer

REPORT_SECONDS = 0.1
POLL_SECONDS, POLL_SHARE = 0.5, 0.1
"""Shortest wait between looks for new strokes, and the share of the wait that the look before may
have taken: a stroke on a CT has its target made anew for seconds."""
FIRST_CHECKPOINT_SECONDS, CHECKPOINT_SECONDS = 15.0, 60.0
FIRST_PREVIEW_SECONDS = 6.0
PREVIEW_SECONDS, PREVIEW_SHARE, LONGEST_PREVIEW = 8.0, 0.05, 0.1
"""Shortest wait between previews; the most of the run's time that they may take together, and one
alone. Of a case that would take longer, as a CT on a CPU, some slices are shown."""
STEPS_BEFORE_PREVIEW, LONGEST_WAIT_SECONDS = 25, 12.0
"""A network that has hardly learnt shows a carpet of colours; but nobody waits for ever."""
VALIDATIONS = 10
VALIDATION_SECONDS, VALIDATION_SHARE = 4.0, 0.1
"""Shortest wait between validations, and the most of the run's time that they may take."""


@dataclass(frozen=True)
class Schedule:
    """How long a run lasts: steps, or minutes of wall time after preparation."""

    steps: int | None = None
    minutes: float | None = None

    def fraction(self, step: int, seconds: float) -> float:
        """Return the done share of the run, at least 0; 1 or more means it is over."""
        if self.steps is not None:
            return step / self.steps
        assert self.minutes is not None
        return seconds / (60.0 * self.minutes)


class Data(Protocol):
    """Where batches come from."""

    def changed(self) -> bool:
        """Tell whether there are new strokes."""
        ...

    def sampler(self) -> Sampler:
        """Return a sampler over the annotations as they are now."""
        ...


@dataclass(frozen=True)
class Job:
    """A training and what to do along the way. Each callable works on the trainer as it is.

    Parameters
    ----------
    run : str
        Its id.
    trainer, data, schedule
        What is trained, on what, for how long.
    started : RunStarted
        The first event.
    prepare : callable
        Yields progress before the first step and returns the data.
    validate : callable
        Returns by events what was measured on held-out slices (no Dice once they joined), and how
        the critics fare.
    join_held_out : callable
        Keeps the model that never saw them for the next round's warm start, then lets the
        held-out slices into the data. With few slices each one counts, so the last part of a
        run learns from all; the Dice reported is of the model before.
    preview : callable
        Predicts the case on the screen; None when there is none.
    glimpse : callable
        Predicts slices of that case within some seconds, where all of it takes too long; None
        where not even that can be done.
    preview_seconds, validation_seconds : callable
        Return about how long each of them takes, before it begins.
    save : callable
        Writes a checkpoint and returns its path.
    conclude : callable
        Does so for a run that is over.
    left_out : callable
        Says which cases could not be learnt from; "" where all could.
    afterwards : callable
        Yields progress of what is made of a run once it is saved.
    """

    trainer: Trainer
    schedule: Schedule
    started: RunStarted
    prepare: Callable[[], Iterator[Event]]
    data: Callable[[], Data]
    validate: Callable[[], list[Validated | CriticJudged]]
    join_held_out: Callable[[], None]
    preview: Callable[[], PredictionReady | None]
    save: Callable[[], str]
    conclude: Callable[[], str]
    left_out: Callable[[], str] = lambda: ""
    glimpse: Callable[[float], SlicesPredicted | None] = lambda longest: None
    preview_seconds: Callable[[], float] = lambda: 0.0
    validation_seconds: Callable[[], float] = lambda: 0.0
    afterwards: Callable[[], Iterator[Event]] = lambda: iter(())


def train(job: Job, control: Control) -> Iterator[Event]:
    """Run a job to its end, a request to stop, or a failure that the user can understand.

    Yields exactly one RunFinished after the RunStarted. A stop is honoured after the step at
    hand. What was learnt is saved in any case but divergence. An error that nobody foresaw
    leaves through the caller, which owes the RunFinished, after a checkpoint of sound weights.
    """
    run = job.started.run
    yield job.started
    clock = _Clock()
    reason, message, worth_keeping = FinishReason.COMPLETED, "", True
    try:
        yield from job.prepare()
        clock = _Clock()
        reason = yield from _steps(job, control, clock)
    except Cancelled:
        reason = FinishReason.STOPPED
    except SslsegError as error:
        reason, message = FinishReason.FAILED, str(error)
    except Diverged:
        reason, worth_keeping = FinishReason.FAILED, False
        message = _diverged(kept=clock.was_done("checkpoint"))
    except Exception:  # a bug or exhausted memory: a minute's learning must not go with it
        _rescue(job)
        raise
    if worth_keeping and job.trainer.step_count:
        step = job.trainer.step_count
        yield CheckpointSaved(run=run, step=step, path=job.conclude())
        yield from _validate(job, clock)
        yield from job.afterwards()
    yield RunFinished(
        run=run,
        reason=reason,
        step=job.trainer.step_count,
        seconds=clock.elapsed(),
        message=message or job.left_out(),
    )


def _diverged(*, kept: bool) -> str:
    what = "What was learnt by the last checkpoint" if kept else "Nothing of this run"
    return (
        f"The loss was not finite for 20 steps in a row. {what} is kept. "
        "Train again with a smaller learning rate (learning_rate, under Advanced)."
    )


def _rescue(job: Job) -> None:
    """Save a checkpoint on the way out, if there is something sound to save."""
    # What went wrong first is what the user must hear of, not that this failed too.
    with suppress(SslsegError, OSError, MemoryError, RuntimeError):
        if job.trainer.step_count and _finite(job.trainer):
            job.save()


def _finite(trainer: Trainer) -> bool:
    return all(bool(torch.isfinite(tensor).all()) for tensor in trainer.state().values())


@dataclass
class _Clock:
    """Wall time of a run, when each recurring task is due, and where it was validated last."""

    began: float = field(default_factory=lambda: time.monotonic())
    last: dict[str, float] = field(default_factory=dict)
    validated: int | None = None
    """The step of the last validation that said something."""

    def elapsed(self) -> float:
        return time.monotonic() - self.began

    def due(self, task: str, every: float) -> bool:
        """Tell whether `every` seconds passed since the task was last done (or the start)."""
        return time.monotonic() - self.last.get(task, self.began) >= every

    def was_done(self, task: str) -> bool:
        """Tell whether the task was done in this run."""
        return task in self.last

    def done(self, task: str) -> None:
        self.last[task] = time.monotonic()


@dataclass
class _Pace:
    """Seconds between recurring tasks."""

    validate: float
    poll: float = 0.0
    preview: float = FIRST_PREVIEW_SECONDS
    checkpoint: float = FIRST_CHECKPOINT_SECONDS


def _steps(job: Job, control: Control, clock: _Clock) -> Generator[Event, None, FinishReason]:
    """Yield the events of all steps; return why they ended."""
    data = job.data()
    sampler, joined = data.sampler(), False
    pace, threads = _Pace(_validation_interval(job)), _threads(job)
    report: StepReport | None = None
    while True:
        fraction = job.schedule.fraction(job.trainer.step_count, clock.elapsed())
        if fraction >= 1 or control.stopped:
            if report is not None:
                yield _reported(job, report, clock)
            return FinishReason.COMPLETED if fraction >= 1 else FinishReason.STOPPED
        if fraction >= job.trainer.joins and not joined:
            yield from _validate(job, clock)
            job.join_held_out()
            joined, sampler = True, data.sampler()
        if clock.due("poll", max(POLL_SECONDS, pace.poll)):
            sampler = _newest(data, sampler, pace)
            clock.done("poll")
        report = _step(job, sampler, fraction, threads)
        if clock.due("report", REPORT_SECONDS) or job.trainer.step_count == 1:
            clock.done("report")
            yield _reported(job, report, clock)
        yield from _along_the_way(job, clock, pace)


def _newest(data: Data, sampler: Sampler, pace: _Pace) -> Sampler:
    """Return a sampler over the annotations as they are now: the same one unless they changed.

    How long that took says how long the next look waits.
    """
    began = time.monotonic()
    sampler = data.sampler() if data.changed() else sampler
    pace.poll = (time.monotonic() - began) / POLL_SHARE
    return sampler


def _step(job: Job, sampler: Sampler, fraction: float, threads: Threads | None) -> StepReport:
    began = time.monotonic()
    report = job.trainer.step(sampler, fraction)
    if threads is not None:
        threads.note(time.monotonic() - began)
    return report


def _along_the_way(job: Job, clock: _Clock, pace: _Pace) -> Iterator[Event]:
    """Validate, show and save when it is time."""
    if clock.due("validate", pace.validate):
        began = time.monotonic()
        yield from _validate(job, clock)
        pace.validate = max(pace.validate, (time.monotonic() - began) / VALIDATION_SHARE)
        clock.done("validate")
    if _worth_seeing(job, clock) and clock.due("preview", pace.preview):
        began = time.monotonic()
        yield from _preview(job, clock)
        pace.preview = max(PREVIEW_SECONDS, (time.monotonic() - began) / PREVIEW_SHARE)
        clock.done("preview")
    if clock.due("checkpoint", pace.checkpoint):
        path = job.save()
        pace.checkpoint = CHECKPOINT_SECONDS
        clock.done("checkpoint")
        yield CheckpointSaved(run=job.started.run, step=job.trainer.step_count, path=path)


def _validate(job: Job, clock: _Clock) -> Iterator[Event]:
    """Validate, unless this very step was: the same weights would say the same twice."""
    step = job.trainer.step_count
    if step == clock.validated:
        return
    said = job.validate()
    if said:
        clock.validated = step
    yield from said


def _preview(job: Job, clock: _Clock) -> Iterator[Event]:
    """Show the case on the screen, or some slices of it where all of it would eat up the run."""
    elapsed = clock.elapsed()
    whole = elapsed / max(job.schedule.fraction(job.trainer.step_count, elapsed), 1e-6)
    longest = LONGEST_PREVIEW * whole
    shown = job.preview() if job.preview_seconds() <= longest else job.glimpse(longest)
    if shown is not None:
        yield shown


def _worth_seeing(job: Job, clock: _Clock) -> bool:
    learnt = job.trainer.step_count >= STEPS_BEFORE_PREVIEW
    return learnt or clock.elapsed() >= LONGEST_WAIT_SECONDS


def _threads(job: Job) -> Threads | None:
    """Adapt threads only where wall time ends the run: fixed steps promise the same bits."""
    if job.schedule.minutes is None or not job.trainer.device.is_cpu:
        return None
    return Threads(job.trainer.device.threads, torch.set_num_threads)


def _validation_interval(job: Job) -> float:
    """Ten times a run, not more often than every few seconds, nor than their share allows."""
    share = job.validation_seconds() / VALIDATION_SHARE
    if job.schedule.minutes is None:
        return max(2 * VALIDATION_SECONDS, share)
    return max(VALIDATION_SECONDS, 60.0 * job.schedule.minutes / VALIDATIONS, share)


def _reported(job: Job, report: StepReport, clock: _Clock) -> StepReported:
    seconds = clock.elapsed()
    done = min(1.0, job.schedule.fraction(job.trainer.step_count, seconds))
    return StepReported(
        run=job.started.run,
        step=job.trainer.step_count,
        fraction=done,
        seconds=seconds,
        seconds_left=seconds * (1 - done) / max(done, 1e-6),
        terms=report.terms,
        learning_rate=report.learning_rate,
    )
