"""Reading and hashing files beside the window, with results handed over on the GUI thread."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")
OnError = Callable[[Exception], None]


class Background:
    """One thread for file work; whoever owns it calls `drain` on the GUI thread.

    Only file reading and numpy belong here: both release the interpreter lock. Nothing that runs
    in the thread may touch the viewer, a layer or a widget.
    """

    def __init__(self, on_error: OnError) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sslseg")
        self._jobs: list[tuple[Future[Any], Callable[[Any], None], OnError]] = []
        self._on_error = on_error

    @property
    def busy(self) -> bool:
        """Whether a job is not yet handed over."""
        return bool(self._jobs)

    def submit(
        self, work: Callable[[], T], then: Callable[[T], None], failed: OnError | None = None
    ) -> None:
        """Run `work` in the thread; a later `drain` hands its result or error over."""
        self._jobs.append((self._pool.submit(work), then, failed or self._on_error))

    def drain(self) -> None:
        """Hand over finished results in the order of submission; called on the GUI thread."""
        while self._jobs and self._jobs[0][0].done():
            future, then, failed = self._jobs.pop(0)
            error = future.exception()
            if error is None:
                then(future.result())
            elif isinstance(error, Exception):
                failed(error)

    def forget(self) -> None:
        """Drop jobs that are waiting; the one at work ends unheard."""
        for future, *_ in self._jobs:
            future.cancel()
        self._jobs.clear()

    def close(self) -> None:
        """Take no more work; never waits."""
        self.forget()
        self._pool.shutdown(wait=False, cancel_futures=True)


class Threads:
    """A thread for each kind of file work that must not wait for another.

    `files` reads what somebody waits for, `adding` looks at new volumes, `figures` at what the case
    list says of predictions, `pictures` at those of suggestions, where each takes a whole volume.
    `downloads` is of no project: it goes on when another one is opened.
    """

    def __init__(self, on_error: OnError) -> None:
        made = [Background(on_error) for _ in range(5)]
        self.files, self.adding, self.figures, self.pictures, self.downloads = made

    def drain(self) -> None:
        """Hand over finished results; called on the GUI thread."""
        for background in self._all:
            background.drain()

    def forget(self) -> None:
        """Drop the jobs of a project that is closed."""
        for background in (self.files, self.adding, self.figures, self.pictures):
            background.forget()

    def close(self) -> None:
        """Take no more work; never waits."""
        for background in self._all:
            background.close()

    @property
    def _all(self) -> tuple[Background, ...]:
        return (self.files, self.adding, self.figures, self.pictures, self.downloads)
