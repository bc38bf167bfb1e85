"""What critics were judged to be: curves beside the Dice, and a line with the newest figures."""

from __future__ import annotations

from napari_sslseg.widgets.plots import small
from sslseg.core.events import CriticJudged

JUDGED = {
    "auc": ("#e86fae", "AUC"),
    "real": ("#dbb8ff", "real"),
    "fake": ("#8e6fe0", "predicted"),
    "diversity": ("#5fc9d6", "diversity"),
}
"""Curves with their colour and name."""

NOBODY = "How discriminators are judged along the way, from 0 to 1 like Dice."
WHAT = (
    "AUC: how well the one that gives the confidence tells truth from prediction on held-out\n"
    "slices, where there are any: 0.5 is guessing, between 0.6 and 0.95 it is usable.\n"
    "Real, predicted: the share of each that one tells in training; both 0.5 is guessing. It is\n"
    "the method's own where that has any, of several the one that fares worst, else the same.\n"
    "Diversity: how much predictions of unlabelled volumes differ. Near 0 they have become one."
)


def figures(event: CriticJudged) -> dict[str, float]:
    """Return the point of each curve; an AUC that was measured earlier is none."""
    health = event.health
    now = health.auc_step in (None, event.step)
    found = {
        "auc": health.auc if now else None,
        "real": health.accuracy_real,
        "fake": health.accuracy_fake,
        "diversity": health.diversity,
    }
    return {name: value for name, value in found.items() if value is not None}


def line(event: CriticJudged | None) -> str:
    """Return the newest figures as rich text, each in the colour of its curve."""
    said = dict.fromkeys(JUDGED, "") if event is None else _said(event)
    return " · ".join(
        small(f"{JUDGED[name][1]} {value}".rstrip(), JUDGED[name][0])
        for name, value in said.items()
    )


def tip(event: CriticJudged | None) -> str:
    """Return what the line means, and what was said of the critics."""
    return f"{NOBODY if event is None else event.health.words}\n{WHAT}"


def _said(event: CriticJudged) -> dict[str, str]:
    health = event.health
    said = {name: f"{value:.2f}" for name, value in figures(event).items()}
    if health.auc is not None and "auc" not in said:
        said = {"auc": f"{health.auc:.2f} (step {health.auc_step})", **said}
    return said
