"""What a new project needs: a folder, and the names of the classes."""

from __future__ import annotations

from pathlib import Path

from psygnal import Signal
from qtpy.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QFormLayout,
    QLineEdit,
    QPlainTextEdit,
    QWidget,
)

from napari_sslseg.widgets.folder import folder_row
from napari_sslseg.widgets.style import hint


class NewProjectDialog(QDialog):
    """Asks once, then emits `decided` with the project folder and the class names."""

    decided = Signal(Path, tuple)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("New project")
        self.name = QLineEdit("my-project")
        self.name.setToolTip("The project becomes a folder of this name")
        self.folder = QLineEdit(str(Path.home()))
        self.folder.setToolTip("Where the project folder is made")
        self.classes = QPlainTextEdit()
        self.classes.setPlaceholderText("liver\ntumour")
        self.classes.setToolTip("What to segment: one name per line. More can be added later.")
        self.classes.setFixedHeight(90)
        self.classes.setStyleSheet("border: 1px solid #5a606b;")
        kinds = QDialogButtonBox.StandardButton
        self._buttons = QDialogButtonBox(kinds.Ok | kinds.Cancel)
        self._buttons.accepted.connect(self.accept)
        self._buttons.rejected.connect(self.reject)
        form = QFormLayout(self)
        form.addRow("Name", self.name)
        form.addRow("In folder", folder_row(self.folder, "Where to make it"))
        form.addRow("Classes", self.classes)
        form.addRow(hint("The volumes stay where they are; labels and models go into the project."))
        form.addRow(self._buttons)
        self.accepted.connect(self._decide)
        for changed in (self.name.textChanged, self.folder.textChanged, self.classes.textChanged):
            changed.connect(self._check)
        self._check()

    def value(self) -> tuple[Path, tuple[str, ...]]:
        """Return the project folder and the class names."""
        lines = (line.strip() for line in self.classes.toPlainText().splitlines())
        folder = Path(self.folder.text().strip()) / self.name.text().strip()
        return folder, tuple(line for line in lines if line)

    def _check(self) -> None:
        ready = bool(self.name.text().strip() and self.folder.text().strip() and self.value()[1])
        self._buttons.button(QDialogButtonBox.StandardButton.Ok).setEnabled(ready)

    def _decide(self) -> None:
        self.decided.emit(*self.value())
