"""How running work is asked to stop, and told what is on the screen."""

from __future__ import annotations

import threading

from sslseg.core.errors import Cancelled
from sslseg.core.geometry import Plane

Place = tuple[Plane, int]
"""A slice: its plane, and its number there."""

Screen = tuple[str | None, Place | None]
"""A case, and a slice of it; None where nothing is known."""


class Control:
    """Requests to work that runs in another thread or loop; safe from any thread.

    A request is honoured at the next step boundary. `stop` with nothing running is a no-op,
    since each run begins with `reset`.
    """

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._screen: Screen = (None, None)

    def stop(self) -> None:
        """Ask the work at hand to end at its next step."""
        self._stop.set()

    def reset(self) -> None:
        """Forget an earlier request to stop."""
        self._stop.clear()

    @property
    def stopped(self) -> bool:
        """Whether a stop was asked for."""
        return self._stop.is_set()

    def check(self) -> None:
        """Raise `Cancelled` if a stop was asked for."""
        if self._stop.is_set():
            raise Cancelled

    def blind(self) -> Control:
        """Return a control that stops with this one and knows of no case on the screen."""
        control = Control()
        control._stop = self._stop
        return control

    def show(self, case: str | None, place: Place | None = None) -> None:
        """Say which case is on the screen, and which slice of it; predictions of it come first."""
        self._screen = (case, place)

    @property
    def shown(self) -> str | None:
        """The case on the screen, if any."""
        return self._screen[0]

    @property
    def screen(self) -> Screen:
        """The case on the screen and the slice of it, both as of the same moment."""
        return self._screen
