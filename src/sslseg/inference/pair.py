"""Two predictors of different shape as one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from sslseg.core.control import Control
from sslseg.inference.features import SliceFeatures
from sslseg.inference.maps import Maps, blended
from sslseg.inference.predictor import Predictor


@dataclass(frozen=True, kw_only=True)
class Pair(Predictor):
    """A predictor whose maps are the weighted mean of its own and another one's.

    Confidence and features are its own: they tell about what its first member says.

    Parameters
    ----------
    other : Predictor
        Of the same classes on the same grid.
    trust : float
        Weight of the other, in [0, 1].
    """

    other: Predictor
    trust: float

    def volume(
        self,
        image: npt.NDArray[np.float16],
        control: Control,
        features: SliceFeatures | None = None,
    ) -> Maps:
        """Return the mean maps of a whole case; see `Predictor.volume`."""
        mine = super().volume(image, control, features)
        return blended(mine, self.other.volume(image, control), self.trust)

    def seconds(self, shape: Sequence[int]) -> float:
        """Return about how long `volume` takes: both networks look."""
        return super().seconds(shape) + self.other.seconds(shape)

    def windows(self, shape: Sequence[int], wanted: Sequence[tuple[int, int]]) -> int:
        """Return how many windows of its own `planes` takes as long as.

        Those of the other are counted by their voxels and by the voxels that a convolution reads.
        """
        each = _work(self.other.patch) / _work(self.patch)
        theirs = math.ceil(each * self.other.windows(shape, wanted))
        return super().windows(shape, wanted) + theirs

    def planes(
        self,
        image: npt.NDArray[np.float16],
        wanted: Sequence[tuple[int, int]],
        control: Control,
    ) -> list[Maps]:
        """Return the mean maps of some slices; see `Predictor.planes`."""
        own = {each.name: getattr(self, each.name) for each in fields(Predictor)}
        mine = Predictor(**own).planes(image, wanted, control)
        theirs = self.other.planes(image, wanted, control)
        return [blended(*pair, self.trust) for pair in zip(mine, theirs, strict=True)]


def _work(patch: Sequence[int]) -> int:
    """Return about how much a window costs."""
    return math.prod(3 * side for side in patch)
