"""Live curves: the loss terms of a run, and Dice on held-out slices."""

from __future__ import annotations

from typing import Any

from qtpy.QtWidgets import QGridLayout, QLabel, QSizePolicy, QWidget

from napari_sslseg.widgets.plots import small, small_plot
from sslseg.core.events import Compared, StepReported, Validated

GROUPS = {
    "supervised": ("#6ea8ff", "supervised: on your labels"),
    "unsupervised": ("#f0a35e", "unsupervised: on everything unlabelled"),
    "critic": ("#c58af9", "critic: the discriminator's judgement"),
    "accuracy": ("#c58af9", "critic, dashed: how often it is right; at 0.5 it knows nothing"),
}
DICE, BASELINE = "#4fbf83", "#b9bfc9"
HELD_OUT = (
    "Your labels on slices kept out of the first part of the training (the plan says how long);\n"
    "the figure is of the model before they joined."
)
PLUS_MINUS = (
    "n held-out slices; ± is the standard error over them. With fewer than four it says little."
)
COMPARED = (
    "Both models learnt for the same time with the same settings; the baseline from your labels\n"
    "alone. A gain smaller than twice its ± is no proof. Predictions come from the method."
)
KEPT = 600
"""Points of a curve; a longer run is thinned by half."""


def group_of(term: str) -> str:
    """Return which curve a loss term belongs to."""
    if term.endswith("accuracy"):
        return "accuracy"
    if any(word in term for word in ("critic", "adversarial", "discriminator")):
        return "critic"
    return "supervised" if term.startswith(("supervised", "dice", "cross")) else "unsupervised"


DRAWN_EVERY = 1.0
"""Seconds between drawings of the loss curves."""


class Series:
    """Points of one curve, thinned so that drawing stays cheap."""

    def __init__(self) -> None:
        self.x: list[float] = []
        self.y: list[float] = []

    def add(self, x: float, y: float) -> None:
        """Append a point."""
        self.x.append(x)
        self.y.append(y)
        if len(self.x) > KEPT:
            self.x, self.y = self.x[::2], self.y[::2]


class CurvesWidget(QWidget):
    """Two small plots; pyqtgraph is loaded with the first run, not with the dock."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._layout = QGridLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(2)
        self._legend = QLabel(
            " · ".join(small(name, GROUPS[name][0]) for name in GROUPS if name != "accuracy")
        )
        self._legend.setToolTip(
            "Parts of the loss\n" + "\n".join(words for _, words in GROUPS.values())
        )
        self._dice_label = QLabel(small("Dice on held-out slices", DICE))
        self._comparison = QLabel()
        self._comparison.setObjectName("comparison")
        self._comparison.setWordWrap(True)
        self._comparison.setToolTip(COMPARED)
        self._series: dict[str, Series] = {}
        self._curves: dict[str, Any] = {}
        self._drawn_at = -DRAWN_EVERY
        self.setVisible(False)

    def reset(self) -> None:
        """Begin a new run."""
        if not self._curves:
            self._build()
        self._series = {name: Series() for name in (*GROUPS, "dice", "baseline")}
        self._drawn_at = -DRAWN_EVERY
        for name in self._series:
            self._draw(name)
        self._say_dice(None)
        self._comparison.setVisible(False)
        self.setVisible(True)

    def add_step(self, event: StepReported) -> None:
        """Draw the terms of a step."""
        sums: dict[str, float] = {}
        for term, value in event.terms.items():
            sums[group_of(term)] = sums.get(group_of(term), 0.0) + value
        if "accuracy" in sums:
            sums["accuracy"] /= sum(group_of(term) == "accuracy" for term in event.terms)
        for name, value in sums.items():
            if name in self._series:
                self._series[name].add(event.step, value)
        # Each drawing has the whole window composed anew: once a second is enough for a curve.
        if event.seconds - self._drawn_at >= DRAWN_EVERY or event.fraction >= 1:
            self._drawn_at = event.seconds
            for name in sums:
                self._draw(name)

    def add_validation(self, event: Validated) -> None:
        """Draw a validation."""
        if event.mean is not None:
            self._add("dice", event.step, event.mean)
        self._say_dice(event)

    def add_baseline(self, event: Validated) -> None:
        """Draw a validation of the supervised baseline, in grey."""
        if event.mean is not None:
            self._add("baseline", event.step, event.mean)

    def compare(self, event: Compared) -> None:
        """Say what the unlabelled volumes gave."""
        self._comparison.setText(small(event.words, DICE))
        self._comparison.setVisible(True)

    def points(self, name: str) -> tuple[list[float], list[float]]:
        """Return the drawn points of one of `GROUPS`, of "dice" or of "baseline"."""
        series = self._series.get(name, Series())
        return series.x, series.y

    def _add(self, name: str, x: float, y: float) -> None:
        if name in self._series:
            self._series[name].add(x, y)
            self._draw(name)

    def _draw(self, name: str) -> None:
        if name not in self._series:
            return
        self._curves[name].setData(self._series[name].x, self._series[name].y)

    def _say_dice(self, event: Validated | None) -> None:
        if event is None:
            words, tip = "Dice on held-out slices", HELD_OUT
        elif event.mean is None:
            words = "no held-out slices yet"
            tip = "From the fourth labelled slice on, some are kept for checking the model."
        else:
            words = event.words
            scores = (
                f"{name}: {'n/a' if value is None else f'{value:.3f}'}"
                for name, value in event.dice.items()
            )
            tip = "\n".join((HELD_OUT, PLUS_MINUS, *scores))
        self._dice_label.setText(small(words, DICE))
        self._dice_label.setToolTip(tip)

    def _build(self) -> None:
        import pyqtgraph

        losses, dice = small_plot(self), small_plot(self)
        dice.setYRange(0, 1, padding=0.08)
        for name, (color, _) in GROUPS.items():
            pen = pyqtgraph.mkPen(color, width=1.5, dash=[2, 3] if name == "accuracy" else None)
            self._curves[name] = losses.plot([], [], pen=pen)
        for name, color in (("baseline", BASELINE), ("dice", DICE)):
            pen = pyqtgraph.mkPen(color, width=2)
            self._curves[name] = dice.plot(
                [], [], pen=pen, symbol="o", symbolSize=4, symbolBrush=color
            )
        self._layout.addWidget(self._legend, 0, 0)
        self._layout.addWidget(self._dice_label, 0, 1)
        for label in (self._legend, self._dice_label):
            label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self._layout.setColumnStretch(0, 6)
        self._layout.setColumnStretch(1, 5)
        self._layout.addWidget(losses, 1, 0)
        self._layout.addWidget(dice, 1, 1)
        self._layout.addWidget(self._comparison, 2, 0, 1, 2)
