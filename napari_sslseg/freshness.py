"""Which cases the newest model has looked at."""

from __future__ import annotations

from collections.abc import Iterable

from sslseg.core.events import RunStarted, Task


class Freshness:
    """Cases predicted by the newest model; nothing is stale where no model has predicted any."""

    def __init__(self) -> None:
        self._cases: set[str] | None = None
        self._asked: set[str] = set()
        self._makes_model = True

    def reset(self, cases: Iterable[str] | None) -> None:
        """Another project, with what its newest model has looked at; None where it has none."""
        self._cases = None if cases is None else set(cases)
        self._asked.clear()

    def begin(self, event: RunStarted) -> None:
        """A run begins; a training makes a new model, a baseline or a pre-training does not."""
        if not event.baseline:
            self._makes_model = event.task is Task.TRAINING
            self._cases = None if self._makes_model else self._cases

    def note(self, case: str) -> None:
        """A prediction of `case` came."""
        self._cases = {case, *(self._cases or ())}
        self._asked.discard(case)

    def finish(self, shown: str | None) -> None:
        """A run ended: of the previews along the way only that of the `shown` case is its last."""
        if self._cases is not None and shown is not None and self._makes_model:
            self._cases &= {shown}

    def show(self, case: str) -> None:
        """Somebody turned to `case`: one that was asked for in vain may be asked for again."""
        self._asked.discard(case)

    def claim(self, case: str) -> bool:
        """Tell whether `case` is stale and was not asked for; from now on it was."""
        if self._cases is None or case in self._cases | self._asked:
            return False
        self._asked.add(case)
        return True
