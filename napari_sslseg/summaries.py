"""One line of the worklist per case, and the numbers in it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from psygnal import Signal

from sslseg.core.annotation import Annotation, SliceRecord, SliceState, slice_target
from sslseg.core.geometry import Array, take_slice
from sslseg.core.prediction import mean_uncertainty
from sslseg.storage import arrays
from sslseg.storage.store import ProjectStore


class CaseState(StrEnum):
    """How far a case has come."""

    NEW = "new"
    STARTED = "started"
    DONE = "done"


@dataclass(frozen=True)
class CaseSummary:
    """What the worklist says of one case.

    Parameters
    ----------
    name : str
        The case.
    slices : int
        Annotated slices, partial and complete.
    done : bool
        Whether the user has marked it as checked.
    validation : bool
        Whether some of its slices are held out.
    uncertainty : float or None
        Mean in and around the predicted structures, in [0, 1]; None where there are none.
    nothing_found : bool
        Whether there is a prediction, of background alone.
    dice : float or None
        On held-out slices, of the last prediction whose model had not learnt from them.
    domain : str
        Scanner, site or sequence; "" where nobody said.
    """

    name: str
    slices: int = 0
    done: bool = False
    validation: bool = False
    uncertainty: float | None = None
    nothing_found: bool = False
    dice: float | None = None
    domain: str = ""

    @property
    def state(self) -> CaseState:
        """The state in one word."""
        if self.done:
            return CaseState.DONE
        return CaseState.STARTED if self.slices else CaseState.NEW


@dataclass(frozen=True)
class PredictionFacts:
    """What the worklist takes from a prediction; no uncertainty where nothing is found.

    `saw_held_out` tells that its model learnt from the held-out slices, so that it has no Dice.
    """

    case: str
    uncertainty: float | None
    dice: float | None
    saw_held_out: bool = False


class Worklist:
    """The summaries of all cases, in the project's order; emits `changed`."""

    changed = Signal()

    def __init__(self) -> None:
        self.summaries: dict[str, CaseSummary] = {}

    def reset(
        self, domains: Mapping[str, str] | None = None, records: Iterable[SliceRecord] = ()
    ) -> None:
        """Begin with the cases (case to domain) and slices of a store.

        Numbers of predictions are kept.
        """
        self.summaries = {
            name: replace(self.summaries.get(name, CaseSummary(name)), domain=domain)
            for name, domain in (domains or {}).items()
        }
        of_case: dict[str, list[SliceRecord]] = {name: [] for name in self.summaries}
        for record in records:
            of_case[record.key.case].append(record)
        for name, found in of_case.items():
            self._count(name, found)
        self.changed.emit()

    def recount(self, case: str, records: Iterable[SliceRecord]) -> None:
        """Follow strokes on one case."""
        before = self.summaries[case]
        self._count(case, records)
        if self.summaries[case] != before:
            self.changed.emit()

    def note(self, facts: PredictionFacts) -> None:
        """Follow a new prediction; one that saw the held-out slices leaves the last Dice."""
        before = self.summaries.get(facts.case, CaseSummary(facts.case))
        dice = before.dice if facts.saw_held_out else facts.dice
        self._change(
            facts.case,
            uncertainty=facts.uncertainty,
            nothing_found=facts.uncertainty is None,
            dice=dice if before.validation else None,
        )

    def mark_done(self, done: Collection[str]) -> None:
        """Follow which cases the user has checked."""
        for name in self.summaries:
            self._change(name, done=name in done)

    def done(self) -> tuple[str, ...]:
        """Return the cases that the user has checked."""
        return tuple(name for name, summary in self.summaries.items() if summary.done)

    def domains(self) -> tuple[str, ...]:
        """Return the domains of the cases; "", of which nobody said anything, is one too."""
        return tuple(sorted({summary.domain for summary in self.summaries.values()}))

    def next_undone(self, after: str | None = None) -> str | None:
        """Return the next case that is not done, going round once from `after`."""
        return next(iter(self.undone(after)), None)

    def undone(self, after: str | None = None) -> list[str]:
        """Return the cases that are not done, going round once from `after`."""
        names = list(self.summaries)
        start = names.index(after) + 1 if after in names else 0
        ring = names[start:] + names[:start]
        return [name for name in ring if not self.summaries[name].done]

    def _count(self, case: str, records: Iterable[SliceRecord]) -> None:
        said = [record for record in records if record.state is not SliceState.NONE]
        validation = any(record.validation for record in said)
        before = self.summaries[case]
        self.summaries[case] = replace(
            before,
            slices=len(said),
            validation=validation,
            dice=before.dice if validation else None,
        )

    def _change(self, case: str, **values: Any) -> None:
        if case in self.summaries:
            new = replace(self.summaries[case], **values)
            if new != self.summaries[case]:
                self.summaries[case] = new
                self.changed.emit()


def read_facts(folder: Path, case: str, store: ProjectStore) -> PredictionFacts:
    """Read what the worklist needs of a prediction; raises SslsegError if it is damaged.

    Its arrays take seconds on a CT. They are read where slices are held out, for their Dice, and
    where an earlier version of the program left no figures beside them. A model that has learnt
    from the held-out slices gets no Dice on them.
    """
    saw_held_out = arrays.load_info(folder).saw_held_out
    dice = None if saw_held_out else _dice(folder, case, store)
    figures = arrays.load_figures(folder)
    return PredictionFacts(
        case=case,
        uncertainty=_uncertainty(folder) if figures is None else figures.uncertainty,
        dice=dice,
        saw_held_out=saw_held_out,
    )


def _dice(folder: Path, case: str, store: ProjectStore) -> float | None:
    records = store.slices(case)
    if not any(_held_out(record) for record in records):
        return None
    annotation = store.annotation(case, skip_damaged=True)  # damage is told with the case
    return held_out_dice(arrays.load_array(folder, "labels"), annotation, records)


def _uncertainty(folder: Path) -> float | None:
    labels, uncertainty = (arrays.load_array(folder, name) for name in ("labels", "uncertainty"))
    return mean_uncertainty(labels, uncertainty)


def held_out_dice(
    labels: npt.NDArray[np.uint8], annotation: Annotation, records: Iterable[SliceRecord]
) -> float | None:
    """Return the mean Dice on held-out slices over the classes that they show; None without one.

    As in a run's validation: a class that is nowhere drawn there has no Dice.
    """
    held = [record for record in records if _held_out(record)]
    found = _pooled(
        (
            slice_target(take_slice(annotation.labels, r.key.plane, r.key.index), r.state),
            take_slice(labels, r.key.plane, r.key.index),
        )
        for r in held
    )
    return _mean([dice for dice, drawn in found if drawn])


def _held_out(record: SliceRecord) -> bool:
    return record.validation and record.state is not SliceState.NONE


def pooled_dice(slices: Iterable[tuple[Array, Array]]) -> float | None:
    """Return the mean Dice over classes that were drawn or said, pooled; None without any.

    Parameters
    ----------
    slices : iterable of (ndarray, ndarray)
        Target ``(H, W)``, negative where nobody said anything, and prediction of each slice.
    """
    return _mean([dice for dice, _ in _pooled(slices)])


def _pooled(slices: Iterable[tuple[Array, Array]]) -> list[tuple[float, int]]:
    """Return the Dice of each class that was drawn or said, and how many voxels were drawn."""
    counts: dict[int, list[int]] = {}
    for target, labels in slices:
        said, truth = labels[target >= 0], target[target >= 0]
        for value in np.union1d(np.unique(truth), np.unique(said)).tolist():
            both, predicted, drawn = counts.setdefault(int(value), [0, 0, 0])
            here, there = said == value, truth == value
            counts[int(value)] = [
                both + int((here & there).sum()),
                predicted + int(here.sum()),
                drawn + int(there.sum()),
            ]
    return [
        (2 * both / (predicted + drawn), drawn)
        for value, (both, predicted, drawn) in counts.items()
        if value
    ]


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
