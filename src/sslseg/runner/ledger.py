"""What was asked and what was told: the one state behind every runner."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from sslseg.core.commands import Command, ShowCase, Stop
from sslseg.core.events import (
    CheckpointSaved,
    CommandBegun,
    CommandDone,
    Event,
    FinishReason,
    Progress,
    RunFinished,
    RunStarted,
    StepReported,
    WorkerReady,
)
from sslseg.runner.status import RunnerState, RunnerStatus

CLOSED = "The program was closed before this was finished."

SILENCE_S = 60.0
"""Seconds without a word from a worker that was asked for something, before the screen says so."""

_DETAILS = {
    "open": "Opening the project",
    "train": "Preparing to train",
    "pretrain": "Preparing to learn from images",
    "predict": "Predicting",
    "suggest": "Ranking slices",
    "export": "Exporting",
    "simulate": "Simulating",
}


class OpenRun:
    """The training run that has started and not finished, if any."""

    def __init__(self) -> None:
        self.run = ""
        self._step = self._saved = 0
        self._seconds = 0.0

    @property
    def kept(self) -> str:
        """What is not lost when the worker dies now, in words."""
        if not self.run:
            return "Your labels are kept."
        if not self._saved:
            return "Your labels are kept; this run had not saved anything yet."
        return f"Your labels are kept, and what this run had learnt by step {self._saved}."

    def note(self, event: Event) -> None:
        """Follow one event."""
        if isinstance(event, RunStarted):
            self.run, self._step, self._saved, self._seconds = event.run, 0, 0, 0.0
        elif isinstance(event, StepReported) and event.run == self.run:
            self._step, self._seconds = event.step, event.seconds
        elif isinstance(event, CheckpointSaved) and event.run == self.run:
            self._saved = event.step
        elif isinstance(event, RunFinished) and event.run == self.run:
            self.run = ""

    def finish(self, reason: FinishReason, message: str = "") -> tuple[RunFinished, ...]:
        """Return the missing RunFinished, or nothing where no run is open."""
        if not self.run:
            return ()
        finished = RunFinished(
            run=self.run, reason=reason, step=self._step, seconds=self._seconds, message=message
        )
        self.run = ""
        return (finished,)


class Ledger:
    """Follows commands and events, derives the status, holds events until they are polled.

    All state lies behind `lock`; every method may be called from any thread.

    Parameters
    ----------
    ready : bool
        Whether commands can be taken without starting a worker first.
    clock : callable
        Tells seconds.
    """

    def __init__(self, *, ready: bool = False, clock: Callable[[], float] = time.monotonic) -> None:
        self.lock = threading.Condition()
        self._clock = clock
        self._heard_at = clock()
        self._alive = ready
        self._ready = ready
        self._closed = False
        self._failure = ""
        self._device = ""
        self._detail = ""
        self._run = OpenRun()
        self._pending: list[str] = []
        self._stopping = 0
        self._events: list[Event] = []

    @property
    def alive(self) -> bool:
        """Whether a worker was started and has not died."""
        with self.lock:
            return self._alive

    @property
    def closed(self) -> bool:
        """Whether the runner was closed."""
        with self.lock:
            return self._closed

    @property
    def kept(self) -> str:
        """What is not lost when the worker dies now, in words."""
        with self.lock:
            return self._run.kept

    def status(self) -> RunnerStatus:
        """Return a snapshot."""
        with self.lock:
            detail = self._detail if self._pending else ""
            words = self._failure or detail
            return RunnerStatus(self._state(), self._run.run, self._device, words, self._silent())

    def _silent(self) -> bool:
        return bool(self._pending) and self._clock() - self._heard_at >= SILENCE_S

    def _state(self) -> RunnerState:
        if self._closed:
            return RunnerState.CLOSED
        if not self._alive:
            return RunnerState.FAILED if self._failure else RunnerState.IDLE
        if not self._ready:
            return RunnerState.STARTING
        if self._stopping:
            return RunnerState.STOPPING
        return RunnerState.RUNNING if self._pending else RunnerState.READY

    def started(self) -> None:
        """A worker was started; it is ready once it says so."""
        with self.lock:
            self._alive, self._ready, self._failure = True, False, ""

    def sent(self, command: Command) -> None:
        """Note a command that is on its way to the worker."""
        with self.lock:
            if isinstance(command, Stop):
                self._stopping = len(self._pending)
            elif not isinstance(command, ShowCase):
                if not self._pending:
                    self._heard_at = self._clock()
                self._begun(command.kind)

    def heard(self, event: Event) -> None:
        """Note an event of the worker and hold it for `drain`."""
        with self.lock:
            self._heard_at = self._clock()
            self._run.note(event)
            if isinstance(event, WorkerReady):
                self._ready, self._device = True, event.device
            elif isinstance(event, RunStarted):
                self._device, self._detail = event.device, event.task.capitalize()
            elif isinstance(event, Progress):
                self._detail = event.task
            elif isinstance(event, CommandBegun):
                self._begun(event.command)
            elif isinstance(event, CommandDone):
                self._done(event.command)
            self._events.append(event)
            self.lock.notify_all()

    def _begun(self, command: str) -> None:
        if not self._pending:
            self._detail = _DETAILS[command]
        self._pending.append(command)

    def _done(self, command: str) -> None:
        if command in self._pending:
            self._pending.remove(command)
            self._stopping = max(0, self._stopping - 1)
        if self._pending:
            self._detail = _DETAILS[self._pending[0]]

    def refuse(self, command: Command, message: str) -> None:
        """Answer a command that no worker will see."""
        if not isinstance(command, Stop | ShowCase):
            self.heard(CommandDone(command=command.kind, message=message))

    def died(self, message: str) -> None:
        """Settle everything in flight: the worker will say no more."""
        with self.lock:
            words = CLOSED if self._closed else message
            self._events += self._run.finish(FinishReason.FAILED, words)
            self._events += (CommandDone(command=kind, message=words) for kind in self._pending)
            self._pending.clear()
            self._alive, self._stopping = False, 0
            self._failure = "" if self._closed else message
            self.lock.notify_all()

    def close(self) -> None:
        """Take no more commands."""
        with self.lock:
            self._closed = True

    def wait(self, timeout: float) -> bool:
        """Wait until an event is held or the worker has died; tell whether one is held."""
        with self.lock:
            self.lock.wait_for(lambda: self._events or not self._alive, timeout)
            return bool(self._events)

    def drain(self) -> list[Event]:
        """Return the held events, oldest first, and forget them."""
        with self.lock:
            events, self._events = self._events, []
            return events
