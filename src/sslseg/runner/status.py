"""What a runner is, and the snapshot of it that a status line shows."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from sslseg.core.commands import Command
from sslseg.core.events import Event


class RunnerState(StrEnum):
    """Where the runner stands between a request and its end."""

    IDLE = "idle"
    STARTING = "starting"
    READY = "ready"
    RUNNING = "running"
    STOPPING = "stopping"
    FAILED = "failed"
    CLOSED = "closed"


@dataclass(frozen=True)
class RunnerStatus:
    """A snapshot.

    Parameters
    ----------
    state : RunnerState
        IDLE before the worker was ever needed; FAILED after it died, until the next command.
    run : str
        Id of the training run that has started and not finished, or "".
    device : str
        Where the worker computes, or "" while unknown.
    detail : str
        Words for the status line: the work at hand, or why the worker died.
    silent : bool
        Whether the worker was asked for something and has said nothing for long.
    """

    state: RunnerState
    run: str = ""
    device: str = ""
    detail: str = ""
    silent: bool = False


class Runner(Protocol):
    """Takes commands and gives events, without ever blocking on the work itself.

    Each Open, Train, Pretrain, Predict, Suggest, Export and Simulate ends with one CommandDone, as
    does each CommandBegun, and each RunStarted with one RunFinished, whatever dies. Stop and
    ShowCase act at once and have no end of their own; with nothing running, Stop does nothing.
    Commands run one after the other.
    """

    @property
    def status(self) -> RunnerStatus:
        """A snapshot of the runner; may be ahead of the events that were polled."""
        ...

    def send(self, command: Command) -> None:
        """Ask for something. Problems come back as events, never as exceptions."""
        ...

    def poll(self) -> list[Event]:
        """Return all events since the last poll, oldest first; never blocks."""
        ...

    def kill(self) -> None:
        """End a worker that does not answer; all that it owes is settled as after any death."""
        ...

    def close(self) -> None:
        """End all work within a bounded time; what was learnt is kept where possible."""
        ...
