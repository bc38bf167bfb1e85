"""The one way from the engine into the window: a timer that asks for events."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from qtpy.QtCore import QTimer

INTERVAL_MS = 50


class Bridge:
    """Calls `tick` every 50 ms on the GUI thread.

    Nothing is pushed into Qt from another thread, so after `stop` nothing can arrive any more.
    """

    def __init__(self, tick: Callable[[], None]) -> None:
        self._timer = QTimer()
        self._timer.setInterval(INTERVAL_MS)
        self._timer.timeout.connect(tick)

    def start(self) -> None:
        """Begin; no-op when running."""
        self._timer.start()

    def stop(self) -> None:
        """End for good."""
        stop_timer(self._timer)


def stop_timer(timer: QTimer) -> None:
    """Stop a timer, even one that Qt has deleted because the application is ending."""
    with suppress(RuntimeError):
        timer.stop()
