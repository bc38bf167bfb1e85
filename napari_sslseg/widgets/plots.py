"""Small plots as the dock shows them; pyqtgraph is loaded with the first one, not with the dock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QWidget

if TYPE_CHECKING:
    import pyqtgraph


def small_plot(parent: QWidget, height: int = 88) -> pyqtgraph.PlotWidget:
    """Return an empty plot without menus, as high as told, in pixels."""
    import pyqtgraph

    plot = pyqtgraph.PlotWidget(parent, background=None)
    plot.setFixedHeight(height)
    plot.setMinimumWidth(60)
    plot.setMenuEnabled(False)
    plot.setMouseEnabled(x=False, y=False)
    plot.hideButtons()
    plot.getPlotItem().layout.setContentsMargins(1, 6, 1, 1)  # for half of the topmost number
    plot.getAxis("left").setWidth(30)
    plot.getAxis("bottom").setHeight(18)
    for axis in ("left", "bottom"):
        plot.getAxis(axis).setTextPen("#a7adb8")
        plot.getAxis(axis).setPen("#5a606b")
    return plot


def small(words: str, color: str = "#a7adb8") -> str:
    """Return words as rich text in small letters."""
    return f"<span style='color:{color}; font-size:8pt'>{words}</span>"
