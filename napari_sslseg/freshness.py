"""Which cases the newest model has looked at."""

from __future__ import annotations

from sslseg.core.events import RunStarted, Task


class Freshness:
    """Cases predicted by the newest model; nothing is stale where no model has predicted any."""

    def __init__(self) -> None:
        self._cases: set[str] | None = None
        self._makes_model = True

    def clear(self) -> None:
        """Another project: nothing is known."""
        self._cases = None

    def begin(self, event: RunStarted) -> None:
        """A run begins; a training makes a new model, a baseline or a pre-training does not."""
        if not event.baseline:
            self._makes_model = event.task is Task.TRAINING
            self._cases = None if self._makes_model else self._cases

    def note(self, case: str) -> None:
        """A prediction of `case` came."""
        self._cases = {case, *(self._cases or ())}

    def finish(self, shown: str | None) -> None:
        """A run ended: of the previews along the way only that of the `shown` case is its last."""
        if self._cases is not None and shown is not None and self._makes_model:
            self._cases &= {shown}

    def claim(self, case: str) -> bool:
        """Tell whether `case` is stale; from now on it counts as asked for."""
        if self._cases is None or case in self._cases:
            return False
        self._cases.add(case)
        return True
