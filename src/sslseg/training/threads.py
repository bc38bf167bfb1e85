"""How many CPU threads a step should use while other programs want the cores too.

Parallel loops wait for their slowest thread. On two cores, with one other busy program, a step
on two threads can take many times as long as alone, while one thread hardly notices
(benchmarks/threads.py measures it). So a training that suddenly crawls tries a single thread, and
goes back when the cores are free again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

WINDOW, WINDOW_SECONDS = 4, 2.0
"""Steps of which the median is looked at; fewer where they take longer than this in all."""

SLOWER = 2.0
REST_SECONDS, LONGEST_REST = 10.0, 60.0


class Threads:
    """Chooses between all threads and one, by what steps take.

    Parameters
    ----------
    full : int
        Threads of a calm machine.
    apply : callable
        Sets the number of threads.
    clock : callable
        Seconds, monotonic.
    """

    def __init__(
        self, full: int, apply: Callable[[int], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._full = full
        self._apply = apply
        self._clock = clock
        self._window: list[float] = []
        self._calm: float | None = None
        self._crowded = 0.0
        self._alone = 0.0
        self._rest = REST_SECONDS
        self._probe_at: float | None = None
        self._state: Callable[[float], None] = self._at_full

    def note(self, seconds: float) -> None:
        """Take notice of what one step took."""
        if self._full == 1:
            return
        self._window.append(seconds)
        if len(self._window) == WINDOW or sum(self._window) > WINDOW_SECONDS:
            typical = median(self._window)
            self._window.clear()
            self._state(typical)

    def _at_full(self, typical: float) -> None:
        if self._calm is not None and typical <= SLOWER * self._calm:
            self._calm = min(self._calm, typical)
        else:  # suddenly slow, or the first look: nobody knows yet how calm the machine is
            self._crowded = typical
            self._switch(1, self._trial_of_one)

    def _trial_of_one(self, typical: float) -> None:
        """One thread was tried: stay if it helps, else the steps themselves became longer."""
        if typical < self._crowded:
            self._settle(typical)
        else:
            self._calm = self._crowded
            self._switch(self._full, self._at_full)

    def _at_one(self, typical: float) -> None:
        self._alone = typical
        if self._probe_at is not None and self._clock() >= self._probe_at:
            self._switch(self._full, self._trial_of_full)

    def _trial_of_full(self, typical: float) -> None:
        if typical < self._alone:
            self._calm, self._rest = typical, REST_SECONDS
            self._state = self._at_full
        else:
            self._rest = min(2 * self._rest, LONGEST_REST)
            self._apply(1)
            self._settle(self._alone)

    def _settle(self, typical: float) -> None:
        self._alone = typical
        self._probe_at = self._clock() + self._rest
        self._state = self._at_one

    def _switch(self, threads: int, state: Callable[[float], None]) -> None:
        self._apply(threads)
        self._state = state
