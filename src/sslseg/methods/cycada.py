"""CyCADA: learn from labelled images redrawn in the style of the target domain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from sslseg.data.batch import Batch
from sslseg.data.views import Views
from sslseg.losses.consistency import entropy
from sslseg.losses.masked import supervised
from sslseg.losses.ramps import Ramp
from sslseg.methods.adversary import Adversary
from sslseg.methods.base import Method, Networks, SemiSupervisedParams, StepOutput, supervised_step
from sslseg.methods.shared import ADVANCED, CriticParams
from sslseg.networks.discriminators import FeatureDiscriminator, PatchDiscriminator
from sslseg.networks.factory import Maker
from sslseg.networks.generators import StyleGenerator

CYCLE = 10.0
PACE = 0.1
"""Share of a step in the running mean that decides on negatives."""

FOREIGN = 0.85
"""Share of what the source's images tell, from which on the target's are no negatives of them."""

GENERATORS = ("generator_target", "generator_source")


class CyCadaParams(SemiSupervisedParams):
    """Parameters of CyCADA."""

    consistency: float = Field(
        0.1, ge=0, description="How strongly predictions on the target are pulled to the source's."
    )
    start: float = Field(
        0.1, ge=0, le=1, description="Share of the run that learns from the labels alone."
    )
    sure: float = Field(
        0.5,
        ge=0,
        description="Supervised loss below which translations must keep what the model sees.",
        json_schema_extra=ADVANCED,
    )
    safeguard: float = Field(
        0.6,
        ge=0,
        lt=1,
        description="Accuracy that the critic of predictions must pass before it pulls.",
        json_schema_extra=ADVANCED,
    )


@dataclass(frozen=True)
class Translations:
    """Images of both domains ``(B, Cin, *S)``, and each redrawn in the other's style."""

    source: Tensor
    target: Tensor
    as_target: Tensor
    as_source: Tensor


class CyCada(Method[CyCadaParams]):
    """Two generators translate between the domains; the task is learnt on translated labels.

    Hoffman et al., ICML 2018, G: source to target, F: target to source:
    L = Lsup(f(xs)) + Lsup(f(G xs)) + fool(DT(G xs)) + fool(DS(F xt)) + 10 (|xs - F G xs|_1 +
    |xt - G F xt|_1) + 1/2 (CE(f'(G xs), argmax f'(xs)) + CE(f'(F xt), argmax f'(xt)))
    + w fool(Df(f(xt))), Df telling f(G xs) from f(xt). The last but one, semantic consistency,
    keeps translations from moving lesions. It asks the averaged teacher f', and only while the
    supervised loss is below 0.5 (published: 1): who segments badly cannot judge a translation. Df
    pulls only while it is right more often than `safeguard`, on a running accuracy of twenty steps
    (published: a hundred, and supervision waits too).

    Choices of ours: generators and critics learn from source images drawn as the target's are, the
    labelled ones are translated for the task alone, since pasted boxes and the object in the middle
    would give them away; one stage instead of three, so the task learns on the detached
    translation; it keeps learning on plain source images too, since early translations are poor; no
    pool of old images and no identity term, since generators begin as identity, or as the negative
    where that tells the averaged teacher more, which knows the source by then and reads less in the
    target as it is: cycles alone keep the sign they begin with, right or wrong; Df sees 5 voxels
    across where the paper's sees one;
    the two directions of semantic consistency are averaged, where published ones are added.
    The published critics of images have least squares, betas (0.5, 0.999) and the term from source
    to target doubled; here all critics share one set of parameters (`critic_loss=least-squares` is
    one) and betas (0.9, 0.99), and both directions count alike. Memory: generators are small and
    work at half size. All streams share one pass of the segmentor and so batch norm's statistics,
    which are those that prediction uses; generators have instance norm, as CycleGAN's.

    Defaults: consistency 0.1, start 0.1, sure 0.5, safeguard 0.6.
    """

    name = "cycada"
    family = "Domain adaptation"
    summary = "For a second, unlabelled domain: learns from your labels redrawn in its style; slow."
    source = "Hoffman et al. (CyCADA), ICML 2018"
    adapts = True
    Params = CyCadaParams

    def build(self, make: Maker) -> dict[str, nn.Module]:
        """Return student, teacher, two generators and three critics."""
        spec, spectral = make.spec, self.critic.critic_spectral_norm
        shape = (spec.dims, spec.in_channels)
        return super().build(make) | {
            "generator_target": StyleGenerator(*shape),
            "generator_source": StyleGenerator(*shape),
            "critic_target": PatchDiscriminator(*shape, width=16, spectral=spectral),
            "critic_source": PatchDiscriminator(*shape, width=16, spectral=spectral),
            "critic_scores": FeatureDiscriminator(spec.dims, spec.classes, spectral=spectral),
        }

    def rates(self) -> dict[str, float]:
        """Return slower rates for the generators: 3e-4 by default, near CycleGAN's 2e-4."""
        return dict.fromkeys(GENERATORS, 0.05)

    def ramps(self) -> dict[str, Ramp]:
        """Translations are learnt from `start` on, and learnt from once they are any good."""
        p = self.params
        begins = Ramp(start=p.start, shape="threshold")
        later = self._later()
        return {
            "adversarial_images": begins,
            "cycle": Ramp(weight=CYCLE, start=p.start, shape="threshold"),
            "semantic": begins,
            "supervised_translated": Ramp(start=later, length=0.2, shape="sigmoid"),
            "adversarial_scores": Ramp(
                weight=p.consistency, start=later, length=0.2, shape="sigmoid"
            ),
        }

    def step(self, batch: Batch, views: Views, nets: Networks, fraction: float) -> StepOutput:
        """Return the terms of generators and segmentor."""
        if fraction < self.params.start or batch.unlabelled == 0:
            return supervised_step(batch, nets["student"])
        count = batch.labelled
        if fraction < self._later():
            _lean(nets, batch.x[batch.like], batch.x[batch.unlike])
        images = translations(nets, batch.x[batch.like], batch.x[batch.unlike])
        with torch.no_grad():
            taught = nets["generator_target"](batch.x[:count])
        everything = torch.cat(
            [x.detach().to(batch.x) for x in (batch.x, taught, images.as_target)]
        )
        sizes = [len(batch.x), count, len(images.as_target)]
        logits, redrawn, alike = nets["student"](everything).split(sizes)
        learnt = supervised(logits, batch.y)
        real, fake = (torch.softmax(z.float(), 1) for z in (alike, logits[batch.unlike]))
        pulls = Adversary(self._safe(), views, fraction)
        terms = {
            "supervised": learnt,
            "supervised_translated": supervised(redrawn, batch.y[:count]),
            "adversarial_images": self._drawn(images, views, nets, fraction),
            "cycle": _cycle(images, nets),
            "semantic": self._semantic(images, nets["teacher"], learnt),
            "adversarial_scores": pulls.fool(nets["critic_scores"], fake),
        }
        return StepOutput(terms, logits, batch.y, vars(images) | {"real": real, "fake": fake})

    def _later(self) -> float:
        """Return the share of the run after which translations are learnt from."""
        return min(1.0, self.params.start + 0.2)

    def _safe(self) -> CriticParams:
        """Return how the critic of scores plays: under the safeguard."""
        gate = max(self.critic.critic_pushes_from, self.params.safeguard)
        return self.critic.model_copy(update={"critic_pushes_from": gate})

    def _drawn(self, images: Translations, views: Views, nets: Networks, fraction: float) -> Tensor:
        """Return what the critics of images make the generators learn."""
        game = Adversary(self.critic, views, fraction)
        to_target = game.fool(nets["critic_target"], images.as_target)
        return to_target + game.fool(nets["critic_source"], images.as_source)

    def _semantic(self, images: Translations, teacher: nn.Module, learnt: Tensor) -> Tensor:
        """Return how much the teacher's labels change by translation; 0 while it knows little.

        The mean over all items of both directions.
        """
        if float(learnt.detach()) > self.params.sure:
            return learnt.new_zeros(())
        with torch.no_grad():
            labels = teacher(torch.cat([images.source, images.target])).argmax(1)
        redrawn = teacher(torch.cat([images.as_target, images.as_source]))
        return F.cross_entropy(redrawn.float(), labels)

    def critic_step(
        self, kept: Mapping[str, Tensor], views: Views, nets: Networks, fraction: float
    ) -> dict[str, Tensor]:
        """Images are real, translations are not; so are scores of translated and target images."""
        game = Adversary(self.critic, views, fraction)
        told = {
            "critic_target": (kept["target"], kept["as_target"]),
            "critic_source": (kept["source"], kept["as_source"]),
            "critic_scores": (kept["real"], kept["fake"]),
        }
        return {name: game.tell_apart(nets[name], *pair) for name, pair in told.items()}


def translations(nets: Networks, source: Tensor, target: Tensor) -> Translations:
    """Return images of both domains with their translations, for a step or for a picture.

    Parameters
    ----------
    nets : mapping
        A CyCADA model's.
    source, target : Tensor
        ``(B, Cin, *S)`` each, z-scored.
    """
    as_target = nets["generator_target"](source)
    return Translations(source, target, as_target, nets["generator_source"](target))


@torch.no_grad()
def _lean(nets: Networks, source: Tensor, target: Tensor) -> None:
    """Let translations begin as negatives where, in the mean of steps, these tell more.

    Not where the target tells the teacher about as much as the source: it can read those images,
    and what it sees in their negatives, however surely, counts for nothing.
    """
    usual, told, by_negative = (
        _information(nets["teacher"](image)) for image in (source, target, -target)
    )
    for name in GENERATORS:
        lean = cast("StyleGenerator", nets[name]).lean
        lean.lerp_(torch.maximum(told - by_negative, told - FOREIGN * usual), PACE)


def _information(logits: Tensor) -> Tensor:
    """Return H(mean of p) - mean of H(p) of ``(B, C, *S)``, over ln C; a scalar in [0, 1].

    Much where all classes are found, each surely (Krause et al., NeurIPS 2010). Doubt alone would
    prefer images in which nothing is found at all.
    """
    p = torch.softmax(logits.float(), 1)
    common = p.transpose(0, 1).flatten(1).mean(1).view(1, -1, 1)
    return (entropy(common) - entropy(p).mean()).squeeze()


def _cycle(images: Translations, nets: Networks) -> Tensor:
    """Return |xs - F G xs|_1 + |xt - G F xt|_1, means over voxels."""
    source = nets["generator_source"](images.as_target)
    target = nets["generator_target"](images.as_source)
    return F.l1_loss(source.float(), images.source) + F.l1_loss(target.float(), images.target)
