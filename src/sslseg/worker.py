"""The engine behind a pipe: ``python -m sslseg.worker``.

Commands come in on stdin and events go out on stdout, one JSON object a line. The worker ends
when stdin does, so that a viewer which was killed leaves nothing behind.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Protocol

from pydantic import ValidationError

from sslseg.core.catalogue import methods
from sslseg.core.commands import (
    COMMAND,
    Command,
    Export,
    Open,
    Predict,
    Pretrain,
    ShowCase,
    Simulate,
    Stop,
    Suggest,
    Train,
)
from sslseg.core.config import SimulationRequest, TrainRequest
from sslseg.core.control import Control
from sslseg.core.errors import SslsegError
from sslseg.core.events import (
    EVENT,
    CommandBegun,
    CommandDone,
    Event,
    Opened,
    Progress,
    RunFinished,
    SuggestionsReady,
    WorkerReady,
)
from sslseg.core.suggestion import Suggestion
from sslseg.core.words import counted
from sslseg.runner.launch import thread_count
from sslseg.runner.perform import perform

LAST_SECONDS = 6.0
SUGGEST_SECONDS = 20.0
"""From the start of a prediction of all cases to the first suggestions; then twice as long each."""

NICE = 10
AUTOGROUP = Path("/proc/self/autogroup")


class WorkSession(Protocol):
    """What a worker needs of `sslseg.session.Session`."""

    def train(self, request: TrainRequest, control: Control, /) -> Iterator[Event]:
        """Train one round."""
        ...

    def pretrain(self, request: TrainRequest, control: Control, /) -> Iterator[Event]:
        """Learn from the images alone."""
        ...

    def predict(self, cases: tuple[str, ...], control: Control, /) -> Iterator[Event]:
        """Predict `cases`, all where empty."""
        ...

    def suggest(self, count: int, strategy: str, /) -> tuple[Suggestion, ...]:
        """Rank slices."""
        ...

    def export(self, out: Path, fmt: str, what: str, control: Control, /) -> Iterator[Event]:
        """Write files that others read."""
        ...

    def close(self) -> None:
        """Let go of the project."""
        ...


OpenSession = Callable[[Path], WorkSession]


class Desk:
    """Carries out commands on the project that is open; a `Handle` for `perform`.

    Parameters
    ----------
    open_session : callable
        Opens the session of a project folder.
    afterwards : callable
        Takes the commands that a training asks for when it is over and somebody is looking.
    """

    def __init__(
        self, open_session: OpenSession, afterwards: Callable[[Command], None] | None = None
    ) -> None:
        self._open_session = open_session
        self._afterwards = afterwards
        self._session: WorkSession | None = None
        self._project = Path()

    def __call__(self, command: Command, control: Control) -> Iterator[Event]:
        """Yield the events of `command`; raises what the session raises."""
        match command:
            case Open(project=project):
                self.close()
                self._project = Path(project)
                self._session = self._open_session(self._project)
                yield Opened(project=project)
            case Train(request=request):
                learnt = False
                for event in self._opened().train(request, control):
                    learnt |= isinstance(event, RunFinished) and event.step > 0
                    yield event
                if learnt and self._afterwards is not None and control.shown is not None:
                    self._afterwards(Predict())
                    self._afterwards(Suggest())
            case Pretrain(request=request):
                yield from self._opened().pretrain(request, control)
            case Predict(cases=cases):
                yield from self._predicted(cases, control)
            case Suggest(count=count, strategy=strategy):
                yield SuggestionsReady(suggestions=self._opened().suggest(count, strategy))
            case Export(out=out, format=format_, what=what):
                yield from self._opened().export(Path(out), format_, what, control)
            case Simulate(request=request):
                self._opened()
                yield from _simulate(self._project, request, control)

    def _predicted(self, cases: tuple[str, ...], control: Control) -> Iterator[Event]:
        """Predict; where it takes long for all cases, suggest on the way, more and more rarely."""
        began, wait = time.monotonic(), SUGGEST_SECONDS
        for event in self._opened().predict(cases, control):
            yield event
            more = not cases and isinstance(event, Progress) and event.done < event.total
            if more and time.monotonic() - began >= wait:
                wait *= 2
                with suppress(SslsegError):  # the one at the end tells
                    yield from self(Suggest(), control)

    def _opened(self) -> WorkSession:
        if self._session is None:
            raise SslsegError("no project", "an open one", "Open or make a project first.")
        return self._session

    def close(self) -> None:
        """Close the session, if one is open."""
        if self._session is not None:
            self._session.close()
            self._session = None


class Mailbox:
    """Commands in waiting; Stop, ShowCase and the end of the pipe overtake them.

    Commands given to `afterwards` are done when nothing else waits. They make way for the user's
    next training, export or project; further predictions wait for them.

    Parameters
    ----------
    control : Control
        What the work at hand looks at.
    """

    def __init__(self, control: Control) -> None:
        self.control = control
        self._waiting: deque[Command] = deque()
        self._later: deque[Command] = deque()
        self._doing_later = False
        self._closed = False
        self._changed = threading.Condition()

    def put(self, command: Command) -> list[Command]:
        """Queue or obey a command; return those that a Stop has dropped."""
        with self._changed:
            dropped: list[Command] = []
            if isinstance(command, ShowCase):
                self.control.show(command.case, command.place)
            elif isinstance(command, Stop):
                self.control.stop()
                dropped = [waiting for waiting in self._waiting if not isinstance(waiting, Open)]
                self._waiting = deque(c for c in self._waiting if isinstance(c, Open))
            else:
                if not isinstance(command, Predict | Suggest):
                    self._later.clear()
                    if self._doing_later:
                        self.control.stop()
                if isinstance(command, Open):
                    self.control.show(None)  # cases of two projects may share a name
                self._waiting.append(command)
                self._changed.notify()
            return dropped

    def afterwards(self, command: Command) -> None:
        """Queue a command that makes way for the user's."""
        with self._changed:
            if not self._waiting:
                self._later.append(command)

    @property
    def unasked(self) -> bool:
        """Whether the command at hand was given to `afterwards`."""
        return self._doing_later

    def close(self) -> None:
        """Stop the work at hand, for good."""
        with self._changed:
            self._closed = True
            self.control.stop()
            self._changed.notify()

    def __iter__(self) -> Iterator[Command]:
        """Wait for one command after the other until `close`."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._later or self._closed)
                if self._closed:
                    return
                self.control.reset()
                self._doing_later = not self._waiting
                command = (self._waiting or self._later).popleft()
            yield command


class Outlet:
    """Writes events, one line each, from any thread; a broken pipe ends the work, not the save.

    Parameters
    ----------
    stream : binary file
        Where to.
    broken : callable
        Called once when nobody reads any more.
    """

    def __init__(self, stream: IO[bytes], broken: Callable[[], None]) -> None:
        self._stream = stream
        self._broken = broken
        self._lock = threading.Lock()
        self._open = True

    def tell(self, event: Event) -> None:
        """Write one event."""
        with self._lock:
            if not self._open:
                return
            try:
                self._stream.write(EVENT.dump_json(event) + b"\n")
                self._stream.flush()
                return
            except OSError:
                self._open = False
        self._broken()


def serve(
    open_session: OpenSession,
    stdin: IO[bytes],
    stdout: IO[bytes],
    greet: Callable[[], WorkerReady],
    last_seconds: float = LAST_SECONDS,
) -> None:
    """Take commands until `stdin` ends.

    Parameters
    ----------
    open_session : callable
        Opens the session of a project folder.
    stdin, stdout : binary files
        The pipe.
    greet : callable
        Gives the first event; may take seconds, while commands are already received.
    last_seconds : float
        Seconds from the end of `stdin` after which the process ends, whatever hangs.
    """
    mailbox = Mailbox(Control())

    def end() -> None:
        # faulthandler's watchdog needs no interpreter lock: it ends a process that hangs in
        # native code too, and leaves the place where it hung in the log.
        faulthandler.dump_traceback_later(last_seconds, exit=True)
        mailbox.close()

    outlet = Outlet(stdout, end)
    desk = Desk(open_session, mailbox.afterwards)
    threading.Thread(target=_listen, args=(stdin, mailbox, outlet, end), daemon=True).start()
    outlet.tell(greet())
    for command in mailbox:
        if mailbox.unasked:
            outlet.tell(CommandBegun(command=command.kind))
        for event in perform(desk, command, mailbox.control):
            outlet.tell(event)
    desk.close()


def _listen(stdin: IO[bytes], mailbox: Mailbox, outlet: Outlet, end: Callable[[], None]) -> None:
    for line in stdin:
        try:
            command = COMMAND.validate_json(line)
        except ValidationError as error:
            outlet.tell(
                CommandDone(command="", message=f"Not a command: {error.errors()[0]['msg']}")
            )
            continue
        for dropped in mailbox.put(command):
            outlet.tell(CommandDone(command=dropped.kind))
    end()


def private_pipes() -> tuple[IO[bytes], IO[bytes]]:
    """Take stdin and stdout for the protocol alone; return them.

    Whatever a library prints goes to stderr instead, and whoever reads stdin finds it empty. On
    Windows this also keeps a library's start-up code from waiting for the blocked read on stdin.
    """
    stdin, stdout = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return stdin, stdout


def settle_in() -> None:
    """Make way for the viewer, and let Ctrl-C in its terminal be the viewer's business."""
    faulthandler.enable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "nice"):
        os.nice(NICE)
        _make_way_for_other_sessions()


def _make_way_for_other_sessions() -> None:
    """Give this process's session less of the processor where time is shared out by session.

    With Linux's autogroups (sched(7)) each session has the same share, however busy, and "nice"
    counts within a session only. A worker leads a session of its own, so the viewer would have to
    wait for it in spite of its niceness. A session that others share is left alone.
    """
    if sys.platform == "linux" and os.getsid(0) == os.getpid():
        with suppress(OSError):  # a system without autogroups has nothing to mend
            AUTOGROUP.write_text(str(NICE))


def _greet() -> WorkerReady:
    import torch

    torch.set_num_threads(thread_count())
    # The first optimiser of a process loads a second's worth of modules: before the click on Train.
    torch.optim.AdamW([torch.zeros(1)])
    return WorkerReady(device=_device(), methods=methods())


def _device() -> str:
    """Return what "auto" would compute on, in words."""
    import torch

    if torch.cuda.is_available():
        return f"cuda ({torch.cuda.get_device_name(0)})"
    if torch.backends.mps.is_available():
        return "mps"
    return f"cpu ({counted(torch.get_num_threads(), 'thread')})"


def _simulate(project: Path, request: SimulationRequest, control: Control) -> Iterator[Event]:
    from sslseg.simulate.play import progress_alone, simulate

    return progress_alone(simulate(project, request, control))


def _open_session(project: Path) -> WorkSession:
    from sslseg.session import Session

    return Session(project, read_only=True)


def main() -> None:
    """Serve this process's own stdin and stdout."""
    stdin, stdout = private_pipes()
    settle_in()
    serve(_open_session, stdin, stdout, _greet)


if __name__ == "__main__":
    main()
