"""What a terminal shows of events, what remains of them, and how Ctrl-C stops them."""

from __future__ import annotations

import os
import signal
import time
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from sslseg.core.catalogue import DEFAULT_PRETRAINING, pretraining_methods
from sslseg.core.config import MethodInfo, Parameter
from sslseg.core.control import Control
from sslseg.core.events import (
    Compared,
    CriticJudged,
    Event,
    Exported,
    FinishReason,
    Progress,
    RunFinished,
    RunStarted,
    SimulationReported,
    StepReported,
    Validated,
    behind_words,
)
from sslseg.core.words import counted
from sslseg.runner.launch import new_log
from sslseg.storage.runs import behind

SPARSE_SECONDS = 10.0
WIDTH = 100


@dataclass
class Summary:
    """What a command's events said in the end; None or empty where they did not."""

    started: RunStarted | None = None
    step: StepReported | None = None
    validated: Validated | None = None
    critic: CriticJudged | None = None
    finished: RunFinished | None = None
    files: list[str] = field(default_factory=list)
    compared: Compared | None = None
    simulated: SimulationReported | None = None
    baseline: Summary | None = None

    def note(self, event: Event) -> None:
        """Remember the newest of each kind; a baseline's run goes into a summary of its own."""
        if isinstance(event, RunStarted) and event.baseline:
            self.baseline = Summary()
        match event:
            case Compared():
                self.compared = event
            case SimulationReported():
                self.simulated = event
            case _ if self.baseline is not None:
                self.baseline.note_own(event)
            case _:
                self.note_own(event)

    def note_own(self, event: Event) -> None:
        """Remember the newest of each kind, of one run."""
        match event:
            case RunStarted():
                self.started = event
            case StepReported():
                self.step = event
            case Validated():
                self.validated = event
            case CriticJudged():
                self.critic = event
            case RunFinished():
                self.finished = event
            case Exported():
                self.files.extend(event.files)

    @property
    def failure(self) -> str:
        """Why the run failed, or ""."""
        failed = self.finished and self.finished.reason is FinishReason.FAILED
        return (self.finished.message or "The training failed.") if self.finished and failed else ""

    def training(self) -> dict[str, Any]:
        """Return the one object that a training ends with."""
        started, finished, validated = self.started, self.finished, self.validated
        return {
            "run": started.run if started else None,
            "method": started.method if started else None,
            "device": started.device if started else None,
            "plan": list(started.plan) if started else [],
            "steps": finished.step if finished else 0,
            "seconds": round(finished.seconds, 2) if finished else 0.0,
            "reason": finished.reason.value if finished else None,
            "terms": dict(self.step.terms) if self.step else {},
            "validation": _measured(validated) if validated else None,
            "critic": self.critic.health.model_dump() if self.critic else None,
        } | self._comparison()

    def _comparison(self) -> dict[str, Any]:
        if self.baseline is None:
            return {}
        found = self.compared
        return {
            "baseline": self.baseline.training(),
            "gain": found and {"dice": found.difference, "error": found.error},
        }


class Follower:
    """Tells events on a stream: one line that updates on a terminal, sparse lines elsewhere.

    Parameters
    ----------
    stream : text file
        stderr, so that results on stdout stay clean.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._live = stream.isatty()
        self._told = time.monotonic()
        self._task = self._verdict = ""
        self._doing = "Training"
        self._open = False

    def follow(self, events: Iterator[Event]) -> Summary:
        """Tell all events to their end, and return what they said."""
        summary = Summary()
        try:
            for event in events:
                summary.note(event)
                self._tell(event)
        finally:
            self._close_line()
        return summary

    def say(self, text: str) -> None:
        """Write one line of its own."""
        self._close_line()
        self._stream.write(text + "\n")
        self._stream.flush()

    def note_behind(self, project: Path, cases: Iterable[str]) -> None:
        """Say so if predictions of these cases are not of the newest model."""
        if words := behind_words(*behind(project, cases)):
            self.say(words)

    def _tell(self, event: Event) -> None:
        match event:
            case RunStarted():
                self._doing, self._verdict = event.task.capitalize(), ""
                self.say(f"{self._doing} {event.method} on {event.device}. {' '.join(event.plan)}")
            case StepReported():
                self._update(_step_words(event), due=event.step == 1)
            case Progress():
                told = self._task == event.task and event.done == event.total
                if self._update(f"{event.task}: {event.done} of {event.total}", due=told):
                    self._task = event.task
            case Validated(mean=float()):
                self.say(f"Step {event.step}: {event.words} on held-out slices.")
            case Validated(slices=0):
                self.say(f"{event.words}.")
            case Compared():
                self.say(event.words)
            case SimulationReported() | Exported():
                self.say(event.words)
            case CriticJudged() if event.health.words != self._verdict:
                self._verdict = event.health.words
                self.say(f"Step {event.step}: {self._verdict}")
            case RunFinished():
                end = f"{self._doing} {event.reason.value} after {counted(event.step, 'step')}"
                self.say(f"{end} in {event.seconds:.0f} s. {event.message}".rstrip())

    def _update(self, text: str, due: bool) -> bool:
        """Show the newest state; elsewhere than on a terminal only if due; tell if it was."""
        if self._live:
            self._stream.write("\r" + text[:WIDTH].ljust(WIDTH))
            self._stream.flush()
            self._open = True
            return True
        if due or time.monotonic() - self._told >= SPARSE_SECONDS:
            self.say(text)
            self._told = time.monotonic()
            return True
        return False

    def _close_line(self) -> None:
        if self._open:
            self._open = False
            self._stream.write("\n")


@contextmanager
def stoppable() -> Iterator[Control]:
    """Give a control that the first Ctrl-C stops; the second ends the program at once.

    SIGTERM, by which servers and batch systems end what runs too long, stops it likewise.
    """
    control = Control()
    at_once: dict[signal.Signals, Any] = {
        signal.SIGINT: signal.default_int_handler,
        signal.SIGTERM: signal.SIG_DFL,
    }

    def stop(number: int, frame: Any) -> None:
        for each, handler in at_once.items():
            signal.signal(each, handler)
        # not sys.stderr: the signal may come while a line is being written to it
        os.write(2, b"\nStopping after this step; press Ctrl-C again to end at once.\n")
        control.stop()

    before = {each: signal.signal(each, stop) for each in at_once}
    try:
        yield control
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def kept_in_log() -> str:
    """Write the traceback of the error at hand to a log; return where it is, in words."""
    log = new_log()
    if log is None:
        return ""
    log.write_text(traceback.format_exc(), encoding="utf-8")
    return f" Details: {log}"


def table(rows: dict[str, dict[str, dict[str, float | None]]]) -> str:
    """Return ``{case: {class: measures}}`` as aligned lines."""
    widest = max(len(name) for name in rows)
    lines = []
    for case, classes in rows.items():
        for name, values in classes.items():
            cells = [
                f"{key} {'-' if value is None else f'{value:.3f}'}" for key, value in values.items()
            ]
            lines.append(f"{case:<{widest}}  {name:<12}  {'  '.join(cells)}")
    return "\n".join(lines)


def _measured(event: Validated) -> dict[str, Any]:
    found = event.model_dump(include={"step", "dice", "mean", "slices"})
    return {**found, "error": event.error}


def described(methods: Sequence[MethodInfo]) -> list[str]:
    """Return lines for each method: name, family, advice, source, and parameters of its own.

    Parameters that all of them share, with the same default, are one last entry.
    """
    shared = [p for p in methods[0].parameters if all(p in m.parameters for m in methods)]
    entries = [
        (
            f"{method.name} ({method.family}): {method.advice}",
            f"    {method.source}",
            *_parameters(p for p in method.parameters if p not in shared),
        )
        for method in methods
    ]
    if shared:
        entries.append((f"All {len(methods)} of them take as well:", *_parameters(shared)))
    return ["\n".join(entry) for entry in entries]


def _parameters(parameters: Iterable[Parameter]) -> Iterator[str]:
    return (f"    {p.name} = {p.default}: {p.help}" for p in parameters)


def pretraining_help() -> str:
    """Return the help of `sslseg pretrain`; each method keeps its lines."""
    listed = "\n\n".join(f"\b\n{lines}" for lines in described(pretraining_methods()))
    return (
        "Learn from the images alone; later trainings start from what was learnt.\n\n"
        f"--method is one of these ({DEFAULT_PRETRAINING} if nothing is said); --set takes their "
        f"parameters, and those of a training that fix its network.\n\n{listed}"
    )


def _step_words(event: StepReported) -> str:
    minutes, seconds = divmod(round(event.seconds_left), 60)
    terms = ", ".join(f"{name} {value:.3f}" for name, value in event.terms.items())
    done = f"Step {event.step}, {event.fraction:.0%}, {minutes}:{seconds:02d} left"
    return f"{done}; {terms}" if terms else done
