"""How long looking at a model takes, known before it begins."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from sslseg.core.volume import CaseRecord
from sslseg.data.held_out import HeldOutSlice
from sslseg.data.preprocessing import Spacing, grid_shape
from sslseg.inference.predictor import Predictor
from sslseg.training.loop import VALIDATION_SHARE
from sslseg.training.validation import measured, windows

WRITTEN = 4e6
"""Voxels of all classes a second that become a prediction on disk, beside the networks' time."""


@dataclass
class Costs:
    """What was found out about the previews and validations of one run.

    Parameters
    ----------
    minutes : float or None
        How long the run lasts; None where it counts steps, whose validations then never depend on
        how fast the computer is.
    only : collection of str or None
        Names of the held-out slices to measure whatever they take, since another run measured
        them too; None where `minutes` decide.
    """

    minutes: float | None
    only: Collection[str] | None = None
    _window: float | None = field(init=False, default=None)
    _previews: dict[tuple[str, type[Predictor]], float] = field(init=False, default_factory=dict)

    def preview(self, predictor: Predictor, case: CaseRecord, spacing: Spacing) -> float:
        """Return about how many seconds a preview of the case takes; timed once for each kind."""
        key = case.name, type(predictor)
        if key not in self._previews:
            written = predictor.classes * math.prod(case.geometry.shape) / WRITTEN
            self._previews[key] = predictor.seconds(grid_shape(case, spacing)) + written
        return self._previews[key]

    def planes_seconds(
        self, predictor: Predictor, shape: Sequence[int], wanted: Sequence[tuple[int, int]]
    ) -> float:
        """Return about how many seconds some slices of a case of `shape` take."""
        return self._each(predictor) * predictor.windows(shape, wanted)

    def validation(self, predictor: Predictor, slices: Sequence[HeldOutSlice]) -> float:
        """Return about how many seconds a validation takes; 0 where steps end the run."""
        if self.minutes is None or not slices:
            return 0.0
        return self._each(predictor) * windows(predictor, self.measured(predictor, slices))

    def measured(self, predictor: Predictor, slices: Sequence[HeldOutSlice]) -> list[HeldOutSlice]:
        """Return the slices that a validation measures, so many that it fits the run.

        They are the same ones all along a run, and as few where the first slice is held out in
        the middle of it.
        """
        if self.only is not None:
            return [held for held in slices if held.name in self.only]
        if self.minutes is None or not slices:
            return measured(slices, predictor)
        most = VALIDATION_SHARE * 60 * self.minutes / self._each(predictor)
        return measured(slices, predictor, most)

    def _each(self, predictor: Predictor) -> float:
        """Return how many seconds a window takes: timed when that is first asked for."""
        if self._window is None:
            self._window = predictor.window_seconds()
        return self._window
