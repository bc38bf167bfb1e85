"""The one way from the engine into the window: a timer that asks for events."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from contextlib import suppress

from qtpy.QtCore import QTimer

from sslseg.core.errors import SslsegError

INTERVAL_MS = 50
LONGEST_WAIT_S = 2.0
"""Seconds that news waits at most for the hand to rest."""

_LOG = logging.getLogger(__name__)


class Bridge:
    """Does what there is to do every 50 ms on the GUI thread, between strokes.

    Whatever changes on the screen has the whole window drawn anew, and nobody reads a curve while
    drawing; so news waits for the end of a stroke, but not for ever. Nothing is pushed into Qt
    from another thread, so after `stop` nothing can arrive any more.

    Parameters
    ----------
    work : callable
        Returns what is to be done now, in order.
    report : callable
        Told of errors; the work after them is done all the same, so no event is lost.
    drawing : callable
        Tells whether the user is in the middle of a stroke.
    """

    def __init__(
        self,
        work: Callable[[], Iterable[Callable[[], object]]],
        report: Callable[[Exception], object],
        drawing: Callable[[], bool],
    ) -> None:
        self._work, self._report, self._drawing = work, report, drawing
        self._ticked = time.monotonic()
        self._busy = self._stopped = False
        self._timer = QTimer()
        self._timer.setInterval(INTERVAL_MS)
        self._timer.timeout.connect(self._look)

    def start(self) -> None:
        """Begin; no-op when running."""
        self._timer.start()

    def stop(self) -> None:
        """End for good."""
        self._stopped = True
        stop_timer(self._timer)

    def _look(self) -> None:
        if not self._drawing() or time.monotonic() - self._ticked > LONGEST_WAIT_S:
            self.tick()

    def tick(self) -> None:
        """Do the work, unless it is being done: napari's progress bar runs the event loop."""
        if self._busy:
            return
        self._busy, self._ticked = True, time.monotonic()
        try:
            for job in self._work():
                if self._stopped:  # by the event loop in between: the window may be gone
                    return
                self._do(job)
        finally:
            self._busy = False

    def _do(self, job: Callable[[], object]) -> None:
        try:
            job()
        except Exception as error:  # noqa: BLE001 - boundary of engine events and widgets
            _LOG.exception("an event was not followed")
            cause = error.__cause__  # psygnal wraps what a slot raises
            self._report(cause if isinstance(cause, SslsegError) else error)


def stop_timer(timer: QTimer) -> None:
    """Stop a timer, even one that Qt has deleted because the application is ending."""
    with suppress(RuntimeError):
        timer.stop()
