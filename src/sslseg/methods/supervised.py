"""Supervised only: the baseline that every semi-supervised method must beat."""

from __future__ import annotations

from sslseg.data.batch import Batch
from sslseg.data.views import Views
from sslseg.methods.base import Method, MethodParams, Networks, StepOutput, supervised_step


class Supervised(Method[MethodParams]):
    """Masked cross-entropy and Dice on annotated voxels; unlabelled volumes are not used.

    L = 0.5 (CE + Dice) over annotated voxels (Cicek et al. 2016 for sparse
    slices). Prediction by the EMA of the weights, which costs nothing and steadies short runs.
    """

    name = "supervised"
    family = "Baseline"
    summary = (
        "Learns from the labelled slices only; train it to see what the unlabelled volumes add."
    )
    source = "Cicek et al., 3D U-Net, MICCAI 2016"
    Params = MethodParams

    @classmethod
    def others(cls, free: float) -> float:
        """Return that no unlabelled item is drawn."""
        return 0.0

    def alone(self, fraction: float) -> bool:
        """They always do."""
        return True

    def step(self, batch: Batch, views: Views, nets: Networks, fraction: float) -> StepOutput:
        """Return the supervised term; unlabelled items are not even drawn."""
        return supervised_step(batch, nets["student"])
