"""Judges the critics of a run from time to time, also when no slice is held out any more."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from sslseg.core.prediction import CriticHealth
from sslseg.data.project import ProjectData
from sslseg.data.sampling import PatchPlan
from sslseg.inference.predictor import Predictor
from sslseg.training.critic import judge
from sslseg.training.health import NO_CONFIDENCE, diversity, told
from sslseg.training.trainer import Trainer
from sslseg.training.validation import critic_health

ITEMS_TO_COMPARE = 8
"""Unlabelled patches, the same each time, that show whether predictions become one."""


@dataclass
class CriticWatch:
    """What is known of a run's critics, and how it is found out.

    The AUC is measured on held-out slices. Once they joined the training none can show it any
    more: the last one stands, with the step that it is of. How critics fare in training and how
    diverse predictions are needs no truth, and is judged to the end of the run.

    Parameters
    ----------
    trainer : Trainer
        Of the run.
    patches : PatchPlan
        Of its batches.
    classes : int
        With background.
    seed : int
        Of the patches that are looked at.
    """

    trainer: Trainer
    patches: PatchPlan
    classes: int
    seed: int
    health: CriticHealth = field(init=False, default_factory=CriticHealth)
    _last: CriticHealth | None = field(init=False, default=None)
    _widest: float = field(init=False, default=0.0)

    def look(self, data: ProjectData) -> CriticHealth | None:
        """Judge all critics as they are now; None where there is none to judge.

        Parameters
        ----------
        data : ProjectData
            Of the run; its held-out slices count, where it still has some.
        """
        records = self.trainer.records()
        if not records:
            return None
        predictor = self.trainer.predictor()
        health = self._believed(predictor, data)
        pixel = self.trainer.method.judge or "critic"
        steps = self.trainer.step_count / max(self.trainer.fraction, 1e-6)
        spread = self._spread(predictor, data) if self.trainer.pushed else None
        self.health = told(health, records, pixel, steps, spread, self._widest)
        self._widest = max(self._widest, spread or 0.0)
        return self.health

    def _believed(self, predictor: Predictor, data: ProjectData) -> CriticHealth:
        if predictor.critic is None:
            return CriticHealth(words=NO_CONFIDENCE)
        unseen = data.validation_sampler(self.patches, self.seed)
        if unseen is None and self._last is not None:
            return self._last
        sampler = unseen or data.annotated_sampler(self.patches, self.seed)
        found = critic_health(predictor, sampler, self.classes, held_out=unseen is not None)
        if found.auc is None:
            return found
        dated = {"auc_step": self.trainer.step_count}
        if unseen is not None:
            last = judge(found.auc, held_out=True, step=self.trainer.step_count)
            self._last = last.model_copy(update=dated)
        return found.model_copy(update=dated)

    def _spread(self, predictor: Predictor, data: ProjectData) -> float:
        """Return how diverse predictions on unlabelled items are: the target's in adaptation."""
        plan = replace(self.patches, labelled=0, unlabelled=ITEMS_TO_COMPARE)
        return diversity(predictor, data.annotated_sampler(plan, self.seed))
