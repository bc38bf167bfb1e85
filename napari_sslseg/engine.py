"""The plugin's end of the runner: what was asked, and which news is of the project at hand."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from sslseg.core.commands import Command, Open, ShowCase, Stop
from sslseg.core.events import CommandBegun, CommandDone, Event, Exported, Opened, WorkerReady
from sslseg.runner import Runner, RunnerState, RunnerStatus


class Engine:
    """Counts commands until they are done, and knows which project the worker has open.

    Parameters
    ----------
    runner : Runner
        Whoever does the work.
    """

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._asked: Counter[str] = Counter()
        self._seen = (runner.status, +self._asked)
        self._at: Path | None = None
        self._shown: ShowCase | None = None

    @property
    def status(self) -> RunnerStatus:
        """The runner's state, as of the last look."""
        return self._seen[0]

    @property
    def idle(self) -> bool:
        """Whether it would begin at once with whatever it is asked for."""
        return self._runner.status.state in (RunnerState.IDLE, RunnerState.READY)

    def awaits(self, *commands: str) -> bool:
        """Tell whether it was asked for one of these and has not said that it is done."""
        return any(self._asked[command] for command in commands)

    def send(self, command: Command) -> None:
        """Pass a command on."""
        if isinstance(command, Open):
            self._shown = None  # cases of two projects may share a name
        if not isinstance(command, ShowCase | Stop):
            self._asked[command.kind] += 1
        self._runner.send(command)

    def show(self, shown: ShowCase) -> None:
        """Tell what is on the screen, unless that is what was told last."""
        if shown != self._shown:
            self._shown = shown
            self._runner.send(shown)

    def poll(self) -> list[Event]:
        """Return all news since the last time."""
        return self._runner.poll()

    def note(self, event: Event) -> None:
        """Follow what an event says of the engine itself."""
        if isinstance(event, Opened):
            self._at = Path(event.project)
        elif isinstance(event, CommandBegun):
            self._asked[event.command] += 1
        elif isinstance(event, CommandDone):
            self._asked[event.command] = max(0, self._asked[event.command] - 1)

    def concerns(self, event: Event, project: Path | None) -> bool:
        """Tell whether an event is of `project`: until it is open, all is of the one before."""
        if isinstance(event, WorkerReady | Opened | CommandBegun | CommandDone | Exported):
            return True
        return project is not None and self._at == project

    def changed(self) -> bool:
        """Look at the runner; tell whether its state or what is awaited is another than before."""
        before, self._seen = self._seen, (self._runner.status, +self._asked)
        return self._seen != before

    def kill(self) -> None:
        """End a worker that does not answer; the next command starts another."""
        self._runner.kill()

    def close(self) -> None:
        """End all work."""
        self._runner.close()
