"""A bar in napari's activity dock that leaves the window its time."""

from __future__ import annotations

from napari.utils import progress
from qtpy.QtWidgets import QApplication, QLabel, QMainWindow

SPINNER_PERCENT = 10
"""Speed of napari's spinner. At its own speed, 33 pictures a second, it has the whole window
composed anew each time, which takes half a core where OpenGL is drawn in software."""


def activity_bar(words: str) -> progress[int]:
    """Return a new bar from 0 to 100 in napari's activity dock."""
    bar = progress(total=100, desc=words)
    for window in QApplication.topLevelWidgets():
        if isinstance(window, QMainWindow):
            for label in window.statusBar().findChildren(QLabel):
                _calm(label)
    return bar


def _calm(label: QLabel) -> None:
    movie = label.movie()
    if movie is not None:
        movie.setSpeed(SPINNER_PERCENT)
