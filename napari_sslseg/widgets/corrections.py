"""How good predictions were before their slices were labelled, as points that can be clicked."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QLabel, QSizePolicy, QVBoxLayout, QWidget

from napari_sslseg.controller import Controller
from napari_sslseg.corrections import Correction
from napari_sslseg.widgets.guard import guarded
from napari_sslseg.widgets.plots import small, small_plot
from sslseg.core.spread import mean_and_error, with_error

COLOR = "#6fc3df"
LAST = 10
"""Slices that the figure is of."""

TICKS = 6
"""As many numbers have room below the plot; they count slices, so they are whole."""

DRAWN_AFTER_MS = 200

TIP = (
    "Each point is a slice that you labelled: how well the prediction on the screen at your first\n"
    "stroke agreed with the labels that it has now (1 is perfect), in the order of labelling.\n"
    "No label of the slice had taught it, so rising points are honest progress; but hard slices\n"
    "are suggested first, and a prediction accepted as it was counts as right.\n"
    "Hollow: partly labelled, painted voxels only. A slice first painted on a preview has no\n"
    "point. A click shows the slice."
)


class CorrectionsWidget(QWidget):
    """A small plot; hidden until there is a point."""

    def __init__(self, controller: Controller, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._controller = controller
        self._points: tuple[Correction, ...] = ()
        self._scatter: Any = None
        self.plot: Any = None
        self.label = QLabel()
        self.label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setToolTip(TIP)
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(2)
        self._layout.addWidget(self.label)
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(DRAWN_AFTER_MS)
        self._soon.timeout.connect(self._refresh)
        controller.corrections.changed.connect(self._hurry)
        self.setVisible(False)

    def value(self) -> tuple[Correction, ...]:
        """Return the corrections shown, in order."""
        return self._points

    def _hurry(self) -> None:
        # A project that is opened tells of one case after the other: one drawing for many.
        if not self._soon.isActive():
            self._soon.start()

    def _refresh(self) -> None:
        self._points = self._controller.corrections.points
        if self._points and self._scatter is None:
            self._build()
        if self._scatter is not None:
            self._scatter.setData(
                x=list(range(1, len(self._points) + 1)),
                y=[point.dice for point in self._points],
                data=list(self._points),
                brush=[COLOR if point.complete else None for point in self._points],
            )
            step = max(1, len(self._points) // TICKS)
            self.plot.getAxis("bottom").setTickSpacing(step, step)
        mean, error = mean_and_error([point.dice for point in self._points[-LAST:]])
        words = with_error(mean, error, min(LAST, len(self._points)))
        self.label.setText(small(f"Before you labelled them: {words}", COLOR))
        self.setVisible(bool(self._points))

    def _build(self) -> None:
        import pyqtgraph

        self.plot = small_plot(self, 64)
        self.plot.setYRange(0, 1, padding=0.06)
        self.plot.getAxis("left").setTicks([[(0, "0"), (0.5, "0.5"), (1, "1")]])
        self._scatter = pyqtgraph.ScatterPlotItem(
            size=8, pen=pyqtgraph.mkPen(COLOR), hoverable=True, tip=_tip
        )
        self._scatter.sigClicked.connect(self._clicked)
        self.plot.addItem(self._scatter)
        self._layout.addWidget(self.plot)

    @guarded
    def _clicked(self, _scatter: Any, spots: Any) -> None:
        if len(spots):
            self._controller.show_slice(spots[-1].data().key)


def _tip(x: float, y: float, data: Correction) -> str:
    """Return what a point says under the mouse."""
    key = data.key
    return f"{key.case}, {key.plane} slice {key.index}: Dice {data.dice:.2f}"
