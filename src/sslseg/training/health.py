"""Whether adversarial training goes well, in figures and words."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from sslseg.core.prediction import CriticHealth
from sslseg.data.sampling import Sampler
from sslseg.inference.predictor import Predictor
from sslseg.networks.factory import memory_format
from sslseg.networks.record import LOSES, WINS, Record

PATIENCE, SHARE, LEAST = 500, 0.1, 50
"""Steps in a row, or their share of a short run, after which a critic out of bounds is told; at
least some, since every critic begins by knowing nothing."""

COLLAPSED = 0.25
"""Share of the greatest diversity of a run below which predictions have become one."""

NO_CONFIDENCE = "There is no confidence layer: the discriminator that gives it is switched off."


@torch.inference_mode()
def diversity(predictor: Predictor, sampler: Sampler) -> float:
    """Return the deviation of the predicted share of foreground over a batch's items.

    Parameters
    ----------
    predictor : Predictor
        Its first member predicts.
    sampler : Sampler
        Draws at least two items.
    """
    batch = sampler.batch(0).to(predictor.device, memory_format(len(predictor.patch)))
    labels = [predictor.members(x)[0].argmax(1) for x in torch.split(batch.x[batch.unlike], 2)]
    shares = (torch.cat(labels) > 0).float().flatten(1).mean(1)
    return float(shares.std())


def told(
    health: CriticHealth,
    records: Mapping[str, Record],
    judge: str,
    steps: float,
    spread: float | None = None,
    widest: float = 0.0,
) -> CriticHealth:
    """Return `health` with the figures of training, and a sentence for each that is bad.

    The figures are of the method's own critic, of several the one that fares worst, and of the
    riding one where there is none. Where they are not of the one that gives the AUC, it is named.

    Parameters
    ----------
    health : CriticHealth
        What held-out slices said.
    records : mapping
        Of every critic, at least one.
    judge : str
        Name of the pixel critic, which gives confidence and AUC. Most voxels are predicted right,
        and no critic can tell those: only its AUC says whether it knows anything.
    steps : float
        How many the whole run will take.
    spread : float or None
        Diversity of predictions now; None where no critic pushes.
    widest : float
        The greatest before.
    """
    own = {name: record for name, record in records.items() if name != "critic"} or records
    name, record = max(own.items(), key=lambda each: _unbalance(each[1]))
    named = [] if name == judge else [_fares(name, record, len(own))]
    bad = _out_of_bounds(records, judge, max(LEAST, min(PATIENCE, SHARE * steps)))
    if spread is not None and spread < COLLAPSED * widest:
        bad.append(
            f"Predictions on unlabelled volumes become one (spread {spread:.3f}, was {widest:.3f}):"
            " lower the adversarial weight."
        )
    return health.model_copy(
        update={
            "words": " ".join((health.words, *named, *bad)),
            "loss": round(float(record.loss), 4),
            "accuracy_real": round(float(record.real), 4),
            "accuracy_fake": round(float(record.fake), 4),
            "diversity": None if spread is None else round(spread, 4),
        }
    )


def _unbalance(record: Record) -> float:
    """Return how far a critic's loss is from the middle of its bounds: the worst leaves them."""
    return abs(float(record.loss) - (WINS + LOSES) / 2)


def _fares(name: str, record: Record, rivals: int) -> str:
    pushes = f"{name} pushes" if rivals == 1 else f"Of {rivals} that push, {name} fares worst"
    told = f"it tells {float(record.real):.0%} of real and {float(record.fake):.0%} of predicted"
    return f"{pushes}: {told}."


def _out_of_bounds(records: Mapping[str, Record], judge: str, patience: float) -> list[str]:
    words = []
    for name, record in records.items():
        figures = f"{name}, loss {float(record.loss):.2f}, right {record.accuracy:.0%}"
        if int(record.winning) >= patience:
            words.append(
                f"A discriminator always wins and teaches nothing ({figures}): try"
                " critic_noise=0.1, critic_real=0.9 or critic_loss=hinge."
            )
        elif int(record.losing) >= patience and name != judge:
            words.append(
                f"A discriminator tells nothing apart ({figures}): try a larger"
                " critic_learning_rate, unless there is nothing to tell."
            )
    return words
