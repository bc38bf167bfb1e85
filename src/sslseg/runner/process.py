"""A runner whose work is done by a child process, here or on another machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from sslseg.core.commands import Command, Open, ShowCase, Stop
from sslseg.core.errors import SslsegError
from sslseg.core.events import Event
from sslseg.runner.causes import UNANSWERED, obituary
from sslseg.runner.child import Child
from sslseg.runner.launch import child_environment, local_argv, new_log
from sslseg.runner.ledger import CLOSED, Ledger
from sslseg.runner.status import RunnerStatus


class ProcessRunner:
    """Starts a worker when first needed, and anew after one has died.

    A new worker is told again which project is open and which case is shown. Stop and ShowCase
    alone never start one. The worker ends by itself when this process does.

    Parameters
    ----------
    argv : sequence of str, optional
        Command line of the worker; by default this Python's ``-m sslseg.worker``. `ssh_argv`
        gives that of another machine.
    env : mapping, optional
        Environment to start from; by default this process's own.
    logs : Path, optional
        Folder of the log files; by default the system's place for a user's logs.
    patience : float
        Seconds that `close` waits for the worker to save and end by itself.
    """

    def __init__(
        self,
        argv: Sequence[str] | None = None,
        env: Mapping[str, str] | None = None,
        *,
        logs: Path | None = None,
        patience: float = 7.0,
    ) -> None:
        self._argv = local_argv() if argv is None else list(argv)
        self._env = env
        self._logs = logs
        self._patience = patience
        self._ledger = Ledger()
        self._child: Child | None = None
        self._open: Open | None = None
        self._shown: ShowCase | None = None

    @property
    def status(self) -> RunnerStatus:
        """A snapshot of the runner."""
        return self._ledger.status()

    @property
    def pid(self) -> int | None:
        """Process number of the worker, None while there is none."""
        return self._child.pid if self._child is not None and self._ledger.alive else None

    def send(self, command: Command) -> None:
        """Pass a command to the worker, starting one if need be."""
        with self._ledger.lock:
            if self._ledger.closed:
                self._ledger.refuse(command, CLOSED)
                return
            alive = self._ledger.alive
            self._remember(command)
            if alive:
                self._pass(command)
            elif not isinstance(command, Stop | ShowCase):
                self._start(command)

    def _remember(self, command: Command) -> None:
        if isinstance(command, ShowCase):
            self._shown = command
        elif isinstance(command, Open):
            if self._open is not None and self._open != command:
                self._shown = None
            self._open = command

    def _start(self, command: Command) -> None:
        """Start a worker, tell it what the last one knew, and pass `command`."""
        self._ledger.started()
        try:
            env, log = child_environment(self._env), new_log(self._logs)
            self._child = Child(
                self._argv, env, log, self._ledger.heard, lambda cause: self._died(cause, log)
            )
        except (OSError, SslsegError) as error:
            self._ledger.sent(command)
            self._died(f"It could not be started: {error}", None)
            return
        known = [again for again in (self._open, self._shown) if again is not None]
        for message in known if command is self._open else [*known, command]:
            self._pass(message)

    def _died(self, cause: str, log: Path | None) -> None:
        self._ledger.died(obituary(cause, self._ledger.kept, log))

    def _pass(self, command: Command) -> None:
        if self._child is not None:
            self._ledger.sent(command)
            self._child.write(command)

    def poll(self) -> list[Event]:
        """Return all events since the last poll, oldest first; never blocks."""
        return self._ledger.drain()

    def wait(self, timeout: float) -> bool:
        """Wait at most `timeout` seconds for something to poll; for scripts without a timer.

        Returns
        -------
        bool
            Whether there is something; False at once where no worker lives.
        """
        return self._ledger.wait(timeout)

    def kill(self) -> None:
        """End a worker that does not answer; the next command starts another."""
        if self._child is not None and self._ledger.alive:
            self._child.kill(UNANSWERED)

    def close(self) -> None:
        """Ask the worker to save and end, wait `patience` seconds, then end it by force."""
        self._ledger.close()
        if self._child is not None:
            self._child.close(self._patience)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
