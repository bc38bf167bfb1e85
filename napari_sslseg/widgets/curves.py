"""Live curves: the loss terms of a run, and Dice on held-out slices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qtpy.QtWidgets import QGridLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from napari_sslseg.widgets import judgements
from napari_sslseg.widgets.judgements import JUDGED
from napari_sslseg.widgets.plots import small, small_plot
from sslseg.core.events import Compared, CriticJudged, StepReported, Validated

GROUPS = {
    "supervised": ("#6ea8ff", "supervised: on your labels"),
    "unsupervised": (
        "#f0a35e",
        "unsupervised: on everything unlabelled, and what discriminators push",
    ),
    "critic": ("#c58af9", "critic: the discriminator's own loss; at 0.69 it knows nothing"),
    "accuracy": ("#c58af9", "critic, dashed: how often it is right; at 0.5 it knows nothing"),
}
DICE, BASELINE = "#4fbf83", "#b9bfc9"
HELD_OUT = (
    "Your labels on slices kept out of a part of the training (the plan says how much); the\n"
    "figure is of the model before they joined. It is measured on the grid that the network\n"
    "sees, before small islands are erased: masks may come out a little different."
)
IN_PART = (
    "Partly labelled: such a slice is measured only where you painted. Without painted background\n"
    "a model that paints too much is not found out: mark slices complete (C)."
)
IN_KNOWN = (
    "Known volumes: other slices of the same volumes teach. Volumes that the model never saw may\n"
    "come out worse."
)
OF_SOURCE = "Source only: none of these slices is of the target, of which the figure tells nothing."
PLUS_MINUS = (
    "± is the standard error: over cases where there are three or more, else over slices.\n"
    "With fewer than four slices it says little."
)
UNMEASURED = (
    "A class that is on no held-out slice has no Dice. Slices that take longer to predict than a\n"
    "tenth of the run are not measured: train for longer, or on a faster computer."
)
COMPARED = (
    "Both models learnt for the same time with the same settings; the baseline from your labels\n"
    "alone. The slices held out stayed so to the end, where both were measured. A gain smaller\n"
    "than twice its ± is no proof. Predictions come from the method."
)
KEPT = 600
"""Points of a curve; a longer run is thinned by half."""

FIGURES = ("disagreement",)
"""Terms that tell something and are no loss."""


def group_of(term: str) -> str:
    """Return which curve a term belongs to; "" for one that belongs to none."""
    if term in FIGURES:
        return ""
    if term.endswith("accuracy"):
        return "accuracy"
    if term.startswith(("critic", "discriminator")):
        return "critic"
    return "supervised" if term.startswith(("supervised", "dice", "cross")) else "unsupervised"


LEAST = 60
"""Pixels of height that a plot keeps where words take some of it."""

QWIDGETSIZE_MAX = 2**24 - 1
"""Qt's word for any height; not every binding has it."""

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
    """Two small plots: losses; Dice and what critics were judged to be.

    Pyqtgraph is loaded with the first run, not with the dock.
    """

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
        self._judged_label = QLabel()
        self._judged_label.setObjectName("judged")
        self._comparison = QLabel()
        self._comparison.setObjectName("comparison")
        self._comparison.setWordWrap(True)
        self._comparison.setToolTip(COMPARED)
        self._series: dict[str, Series] = {}
        self._curves: dict[str, Any] = {}
        self._critics: dict[str, float] = {}
        self._drawn_at = -DRAWN_EVERY
        self.setVisible(False)

    def reset(self) -> None:
        """Begin a new run."""
        if not self._curves:
            self._build()
        self._series = {name: Series() for name in (*GROUPS, *JUDGED, "dice", "baseline")}
        self._critics = {}
        self._drawn_at = -DRAWN_EVERY
        for name in self._series:
            self._draw(name)
        self._say_dice(None)
        self._say_judged(None)
        self._comparison.setVisible(False)
        self.setVisible(True)

    def add_step(self, event: StepReported) -> None:
        """Draw the terms of a step."""
        sums = self._summed(event.terms)
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

    def add_judgement(self, event: CriticJudged) -> None:
        """Draw what the critics were judged to be."""
        for name, value in judgements.figures(event).items():
            self._add(name, event.step, value)
        self._say_judged(event)

    def add_baseline(self, event: Validated) -> None:
        """Draw a validation of the supervised baseline, in grey."""
        if event.mean is not None:
            self._add("baseline", event.step, event.mean)

    def compare(self, event: Compared) -> None:
        """Say what the unlabelled volumes gave."""
        self._comparison.setText(small(event.words, DICE))
        self._comparison.setVisible(True)

    def points(self, name: str) -> tuple[list[float], list[float]]:
        """Return the drawn points of one of `GROUPS`, of `JUDGED`, "dice" or "baseline"."""
        series = self._series.get(name, Series())
        return series.x, series.y

    def _summed(self, terms: Mapping[str, float]) -> dict[str, float]:
        """Return the value of each curve: the sum of its terms; of critics the mean.

        Not every critic learns at each step: what each said last counts.
        """
        sums: dict[str, float] = {}
        for term, value in terms.items():
            group = group_of(term)
            if group in ("critic", "accuracy"):
                self._critics[term] = value
                same = [v for name, v in self._critics.items() if group_of(name) == group]
                sums[group] = sum(same) / len(same)
            else:
                sums[group] = sums.get(group, 0.0) + value
        return sums

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
            words, tip = event.words, UNMEASURED
        else:
            words = event.words
            scores = (
                f"{name}: {'n/a' if value is None else f'{value:.3f}'}"
                for name, value in event.dice.items()
            )
            notes = [OF_SOURCE] * event.source + [IN_KNOWN] * event.known
            notes += [IN_PART] * bool(event.partial)
            tip = "\n".join((HELD_OUT, *notes, PLUS_MINUS, *scores))
        self._dice_label.setText(small(words, DICE))
        self._dice_label.setToolTip(tip)

    def _say_judged(self, event: CriticJudged | None) -> None:
        self._judged_label.setText(judgements.line(event))
        self._judged_label.setToolTip(judgements.tip(event))

    def _build(self) -> None:
        import pyqtgraph

        losses, dice = small_plot(self), small_plot(self)
        dice.setYRange(0, 1, padding=0.08)
        for name, (color, _) in GROUPS.items():
            pen = pyqtgraph.mkPen(color, width=1.5, dash=[2, 3] if name == "accuracy" else None)
            self._curves[name] = losses.plot([], [], pen=pen)
        for name, (color, _) in JUDGED.items():
            pen = pyqtgraph.mkPen(color, width=1.5)
            self._curves[name] = dice.plot(
                [], [], pen=pen, symbol="o", symbolSize=3, symbolBrush=color, symbolPen=None
            )
        for name, color in (("baseline", BASELINE), ("dice", DICE)):
            pen = pyqtgraph.mkPen(color, width=2)
            self._curves[name] = dice.plot(
                [], [], pen=pen, symbol="o", symbolSize=4, symbolBrush=color
            )
        self._layout.addWidget(self._legend, 0, 0)
        self._layout.addWidget(_in_one_height(self._dice_label, dice), 0, 1, 2, 1)
        for label in (self._legend, self._judged_label):
            label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self._dice_label.setWordWrap(True)
        self._dice_label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        self._layout.setColumnStretch(0, 6)
        self._layout.setColumnStretch(1, 5)
        self._layout.addWidget(losses, 1, 0)
        self._layout.addWidget(self._judged_label, 2, 0, 1, 2)
        self._layout.addWidget(self._comparison, 3, 0, 1, 2)


def _in_one_height(label: QLabel, plot: QWidget) -> QWidget:
    """Return a label above a plot, which makes room for a second line of words.

    Together they are as high as the parts beside them: what is below must not move.
    """
    both = QWidget()
    both.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Ignored)
    plot.setMinimumHeight(LEAST)
    plot.setMaximumHeight(QWIDGETSIZE_MAX)
    column = QVBoxLayout(both)
    column.setContentsMargins(0, 0, 0, 0)
    column.setSpacing(2)
    column.addWidget(label)
    column.addWidget(plot, 1)
    return both
