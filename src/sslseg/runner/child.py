"""One worker process, and the threads that serve its three pipes."""

from __future__ import annotations

import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import IO

from pydantic import ValidationError

from sslseg.core.commands import COMMAND, Command
from sslseg.core.events import EVENT, Event
from sslseg.runner.causes import GARBAGE, cause_of_death

LONGEST_LINE = 1 << 26
"""Bytes; a longer line is not one of ours."""

TAIL_LINES = 200


class Child:
    """A worker process that is spoken to in JSON lines.

    No method but `close` blocks: writing has a thread and a queue of its own.

    Parameters
    ----------
    argv, env
        As for `subprocess.Popen`.
    log : Path or None
        File that receives the worker's stderr.
    hear : callable
        Called from a thread with each event.
    gone : callable
        Called from a thread, once and last, with why the worker ended, in words.

    Raises
    ------
    OSError
        If the program cannot be started.
    """

    def __init__(
        self,
        argv: Sequence[str],
        env: Mapping[str, str],
        log: Path | None,
        hear: Callable[[Event], None],
        gone: Callable[[str], None],
    ) -> None:
        self._process = _start(argv, env)
        self._log, self._hear, self._gone = log, hear, gone
        self._outbox: SimpleQueue[bytes | None] = SimpleQueue()
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._greeted = False
        self._verdict = ""
        self._errors = Thread(target=self._read_errors, name="sslseg-stderr", daemon=True)
        self._reader = Thread(target=self._read, name="sslseg-stdout", daemon=True)
        self._writer = Thread(target=self._write, name="sslseg-stdin", daemon=True)
        for thread in (self._errors, self._reader, self._writer):
            thread.start()

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    def write(self, command: Command) -> None:
        """Queue a command; to a dead worker it is lost without a word."""
        self._outbox.put(COMMAND.dump_json(command) + b"\n")

    def kill(self, why: str) -> None:
        """End the worker at once; `why`, in words, is then the cause of its death."""
        self._verdict = why
        self._process.kill()

    def close(self, patience: float) -> None:
        """Ask the worker to end; after `patience` seconds terminate it, then kill it."""
        self._outbox.put(None)
        escalation = ((patience, self._process.terminate), (1.0, self._process.kill))
        for seconds, act in escalation:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds)
                break
            act()
        for thread in (self._reader, self._writer):
            thread.join(patience)

    def _write(self) -> None:
        stdin = _pipe(self._process.stdin)
        with suppress(OSError):
            while (line := self._outbox.get()) is not None:
                stdin.write(line)
                stdin.flush()
        with suppress(OSError):
            stdin.close()

    def _read(self) -> None:
        with _pipe(self._process.stdout) as stdout:
            while line := stdout.readline(LONGEST_LINE):
                if not self._take(line):
                    self.kill(GARBAGE)
                    break
        self._bury()

    def _take(self, line: bytes) -> bool:
        """Pass on one line; False where it is garbage."""
        try:
            event = EVENT.validate_json(line)
        except ValidationError:
            self._tail.append(repr(line[:200]))
            if not line.endswith(b"\n"):
                return len(line) < LONGEST_LINE  # cut short by death: another cause than garbage
            # Before its first word a worker may be preceded by a login shell's greeting.
            return not self._greeted
        self._greeted = True
        self._hear(event)
        return True

    def _read_errors(self) -> None:
        with ExitStack() as stack:
            stderr = stack.enter_context(_pipe(self._process.stderr))
            log = stack.enter_context(self._log.open("ab")) if self._log else None
            while line := stderr.readline(TAIL_LINES * 100):
                self._tail.append(line.decode("utf-8", "replace"))
                if log is not None:
                    with suppress(OSError):  # a full disk must not end the worker
                        log.write(line)
                        log.flush()

    def _bury(self) -> None:
        """Settle with a worker that has closed its stdout."""
        try:
            code = self._process.wait(5.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self._outbox.put(None)
        self._errors.join(2.0)  # bounded: a grandchild may hold the pipe open
        self._gone(self._verdict or cause_of_death(code, tuple(self._tail)))


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise TypeError("all three streams of a worker are pipes")
    return stream


def _start(argv: Sequence[str], env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    flags = 0
    if sys.platform == "win32":
        flags = subprocess.CREATE_NO_WINDOW | subprocess.BELOW_NORMAL_PRIORITY_CLASS
    # A session of its own: Ctrl-C or a closing terminal reaches the viewer alone, whose end the
    # worker then sees on its pipe, with time to save.
    return subprocess.Popen(
        list(argv),
        env=dict(env),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        creationflags=flags,
        start_new_session=True,
    )
