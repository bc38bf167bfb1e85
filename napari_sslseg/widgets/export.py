"""Asks what to write for other programs, in which format, and where."""

from __future__ import annotations

from pathlib import Path

from psygnal import Signal
from qtpy.QtWidgets import (
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFormLayout,
    QLineEdit,
    QWidget,
)

from napari_sslseg.widgets.folder import folder_row
from napari_sslseg.widgets.style import hint

FORMATS = {
    "nifti": "One mask for each volume, on its own grid",
    "nnunet": "A dataset folder for nnU-Net",
}
CONTENTS = {"predictions": "the model's predictions", "annotations": "your own labels"}

NOT_EMPTY = "⚠ This folder is not empty: files of the same name are replaced."


class ExportDialog(QDialog):
    """Emits `decided` with folder, format and content.

    Parameters
    ----------
    project : Path
        Its folder; each content is offered a place of its own in it.
    """

    decided = Signal(Path, str, str)

    def __init__(self, project: Path, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Export")
        self._project = project
        self._proposed = ""
        self.what = _choice(CONTENTS, "What to write")
        self.form = _choice(FORMATS, "In which format")
        self.folder = QLineEdit()
        self.folder.setToolTip("Where to write; made if it does not exist")
        self.folder.setMinimumWidth(340)
        self.warning = hint("")
        kinds = QDialogButtonBox.StandardButton
        buttons = QDialogButtonBox(kinds.Ok | kinds.Cancel)
        self.go = buttons.button(kinds.Ok)
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        form = QFormLayout(self)
        form.addRow("Write", self.what)
        form.addRow("As", self.form)
        form.addRow("Into", folder_row(self.folder, "Export into"))
        form.addRow(self.warning)
        form.addRow(hint("Research software, not a medical device: check every mask."))
        form.addRow(buttons)
        self.accepted.connect(self._decide)
        self.what.currentIndexChanged.connect(self._propose)
        self.form.currentIndexChanged.connect(self._propose)
        self.folder.textChanged.connect(self._warn)
        self._propose()

    @property
    def _out(self) -> Path:
        return Path(self.folder.text().strip())

    def _propose(self) -> None:
        """Offer a folder for what is chosen, unless the user has chosen one."""
        if self.folder.text() == self._proposed:
            name = f"{self.what.currentData()}-{self.form.currentData()}"
            self._proposed = str(self._project / "export" / name)
            self.folder.setText(self._proposed)

    def _warn(self) -> None:
        replaces = _holds_files(self._out)
        self.warning.setText(NOT_EMPTY if replaces else "")
        self.go.setText("Export and replace" if replaces else "Export")

    def _decide(self) -> None:
        self.decided.emit(self._out, self.form.currentData(), self.what.currentData())


def _holds_files(folder: Path) -> bool:
    try:
        return any(folder.iterdir())
    except OSError:
        return False  # not there yet, or not ours to look into: the export tells


def _choice(entries: dict[str, str], tip: str) -> QComboBox:
    combo = QComboBox()
    combo.setToolTip(tip)
    for key, text in entries.items():
        combo.addItem(text, key)
    return combo
