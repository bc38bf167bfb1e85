"""A runner without a process of its own: for the command line, tests and scripts."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Self

from sslseg.core.commands import Command, ShowCase, Stop
from sslseg.core.control import Control
from sslseg.core.events import Event
from sslseg.runner.ledger import CLOSED, Ledger
from sslseg.runner.perform import Handle, perform
from sslseg.runner.status import RunnerStatus


class InlineRunner:
    """Carries out each command to its end inside `send`, in the calling thread.

    Events are queued for `poll`; `listen`, if given, hears each at once. Whatever `listen` (or
    another thread) sends meanwhile: Stop and ShowCase act on the running work, other commands
    wait for it.

    Parameters
    ----------
    handle : callable
        Yields the events of a command, given the command and a `Control`.
    listen : callable, optional
        Called with each event as it comes.
    """

    def __init__(self, handle: Handle, listen: Callable[[Event], None] | None = None) -> None:
        self._handle = handle
        self._listen = listen
        self._control = Control()
        self._ledger = Ledger(ready=True)
        self._waiting: deque[Command] = deque()
        self._busy = False

    @property
    def status(self) -> RunnerStatus:
        """A snapshot of the runner."""
        return self._ledger.status()

    def send(self, command: Command) -> None:
        """Carry out `command`, and all that was sent meanwhile, before returning."""
        if self._ledger.closed:
            self._ledger.refuse(command, CLOSED)
        elif isinstance(command, ShowCase):
            self._control.show(command.case, command.place)
        elif isinstance(command, Stop):
            self._stop(command)
        else:
            self._enqueue(command)

    def _stop(self, command: Stop) -> None:
        self._ledger.sent(command)
        self._control.stop()
        while self._waiting:
            self._ledger.refuse(self._waiting.popleft(), "")

    def _enqueue(self, command: Command) -> None:
        with self._ledger.lock:
            self._ledger.sent(command)
            self._waiting.append(command)
            if self._busy:
                return
            self._busy = True
        try:
            while (turn := self._next()) is not None:
                self._carry_out(turn)
        finally:
            self._busy = False

    def _next(self) -> Command | None:
        with self._ledger.lock:
            if not self._waiting:
                self._busy = False
                return None
            self._control.reset()
            return self._waiting.popleft()

    def _carry_out(self, command: Command) -> None:
        for event in perform(self._handle, command, self._control):
            self._ledger.heard(event)
            if self._listen is not None:
                self._listen(event)

    def poll(self) -> list[Event]:
        """Return all events since the last poll, oldest first."""
        return self._ledger.drain()

    def kill(self) -> None:
        """Stop the work at hand at its next step: there is no process to be ended."""
        self._stop(Stop())

    def close(self) -> None:
        """Stop the work at hand at its next step and take no more."""
        self._stop(Stop())
        self._ledger.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
