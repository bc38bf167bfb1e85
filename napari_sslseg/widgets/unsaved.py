"""Asks before a window closes with strokes that are nowhere but on its screen."""

from __future__ import annotations

from qtpy.QtWidgets import QMessageBox, QWidget

TITLE = "Strokes that are not saved"
QUESTION = (
    "The last strokes on {case} could not be written to the project.\n\n"
    "Keep the window open, mend what the message said (a full disk, a folder that is away), and "
    "they are written within a second."
)


def may_lose(case: str, parent: QWidget) -> bool:
    """Ask whether the window may close although strokes on `case` would be lost."""
    box = QMessageBox(parent)
    box.setObjectName("unsaved")
    box.setIcon(QMessageBox.Icon.Warning)
    box.setWindowTitle(TITLE)
    box.setText(QUESTION.format(case=case))
    keep = box.addButton("Keep open", QMessageBox.ButtonRole.RejectRole)
    lose = box.addButton("Close and lose them", QMessageBox.ButtonRole.DestructiveRole)
    box.setDefaultButton(keep)
    box.setEscapeButton(keep)
    box.exec()
    return box.clickedButton() is lose
