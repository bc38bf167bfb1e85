"""The field of a folder in a dialog, with a button that lets one be chosen."""

from __future__ import annotations

from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QLineEdit

from napari_sslseg.widgets.style import button


def folder_row(edit: QLineEdit, title: str) -> QHBoxLayout:
    """Return a row of `edit` and the button; `title` is that of the file dialog."""

    def browse() -> None:
        chosen = QFileDialog.getExistingDirectory(edit, title, edit.text())
        if chosen:
            edit.setText(chosen)

    choose = button("…", "Choose the folder")
    choose.clicked.connect(browse)
    row = QHBoxLayout()
    row.addWidget(edit, 1)
    row.addWidget(choose)
    return row
