"""Live curves: the loss terms of a run, and Dice on held-out slices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QGridLayout, QLabel, QSizePolicy, QWidget

from sslseg.core.events import StepReported, Validated

if TYPE_CHECKING:
    import pyqtgraph

GROUPS = {
    "supervised": ("#6ea8ff", "supervised: on your labels"),
    "unsupervised": ("#f0a35e", "unsupervised: on everything unlabelled"),
    "critic": ("#c58af9", "critic: the discriminator's judgement"),
}
DICE = "#4fbf83"
HELD_OUT = (
    "Your labels on slices kept out of the first 60 % of the training; the figure is of\n"
    "the model before they joined."
)
KEPT = 600
"""Points of a curve; a longer run is thinned by half."""


def group_of(term: str) -> str:
    """Return which curve a loss term belongs to."""
    if any(word in term for word in ("critic", "adversarial", "discriminator")):
        return "critic"
    return "supervised" if term.startswith(("supervised", "dice", "cross")) else "unsupervised"


DRAWN_EVERY = 1.0
"""Seconds between drawings of the loss curves."""


def _small(words: str, color: str) -> str:
    return f"<span style='color:{color}; font-size:8pt'>{words}</span>"


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
            " · ".join(_small(name, color) for name, (color, _) in GROUPS.items())
        )
        self._legend.setToolTip(
            "Parts of the loss\n" + "\n".join(words for _, words in GROUPS.values())
        )
        self._dice_label = QLabel(_small("Dice on held-out slices", DICE))
        self._series: dict[str, Series] = {}
        self._curves: dict[str, Any] = {}
        self._drawn_at = -DRAWN_EVERY
        self.setVisible(False)

    def reset(self) -> None:
        """Begin a new run."""
        if not self._curves:
            self._build()
        self._series = {name: Series() for name in (*GROUPS, "dice")}
        self._drawn_at = -DRAWN_EVERY
        for name in self._series:
            self._draw(name)
        self._say_dice(None)
        self.setVisible(True)

    def add_step(self, event: StepReported) -> None:
        """Draw the terms of a step."""
        sums: dict[str, float] = {}
        for term, value in event.terms.items():
            sums[group_of(term)] = sums.get(group_of(term), 0.0) + value
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

    def points(self, name: str) -> tuple[list[float], list[float]]:
        """Return the drawn points of "supervised", "unsupervised", "critic" or "dice"."""
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
            words = f"Dice {event.mean:.2f} on {event.slices} held-out"
            scores = (
                f"{name}: {'n/a' if value is None else f'{value:.3f}'}"
                for name, value in event.dice.items()
            )
            tip = "\n".join((HELD_OUT, *scores))
        self._dice_label.setText(_small(words, DICE))
        self._dice_label.setToolTip(tip)

    def _build(self) -> None:
        import pyqtgraph

        losses, dice = self._plot(pyqtgraph), self._plot(pyqtgraph)
        dice.setYRange(0, 1, padding=0.08)
        for name, (color, _) in GROUPS.items():
            self._curves[name] = losses.plot([], [], pen=pyqtgraph.mkPen(color, width=1.5))
        self._curves["dice"] = dice.plot(
            [], [], pen=pyqtgraph.mkPen(DICE, width=2), symbol="o", symbolSize=4, symbolBrush=DICE
        )
        self._layout.addWidget(self._legend, 0, 0)
        self._layout.addWidget(self._dice_label, 0, 1)
        for label in (self._legend, self._dice_label):
            label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self._layout.setColumnStretch(0, 6)
        self._layout.setColumnStretch(1, 5)
        self._layout.addWidget(losses, 1, 0)
        self._layout.addWidget(dice, 1, 1)

    def _plot(self, graph: pyqtgraph) -> pyqtgraph.PlotWidget:
        plot = graph.PlotWidget(self, background=None)
        plot.setFixedHeight(88)
        plot.setMinimumWidth(60)
        plot.setMenuEnabled(False)
        plot.setMouseEnabled(x=False, y=False)
        plot.hideButtons()
        plot.getAxis("left").setWidth(30)
        plot.getAxis("bottom").setHeight(18)
        for axis in ("left", "bottom"):
            plot.getAxis(axis).setTextPen("#a7adb8")
            plot.getAxis(axis).setPen("#5a606b")
        return plot
