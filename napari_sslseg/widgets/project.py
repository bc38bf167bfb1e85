"""The project and its cases."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QFileDialog,
    QHBoxLayout,
    QInputDialog,
    QLineEdit,
    QVBoxLayout,
    QWidget,
)
from superqt import QElidingLabel

from napari_sslseg.controller import Controller
from napari_sslseg.summaries import Worklist
from napari_sslseg.widgets.case_table import CaseTable
from napari_sslseg.widgets.guard import guarded
from napari_sslseg.widgets.new_project import NewProjectDialog
from napari_sslseg.widgets.style import button

IMAGES = "Volumes (*.nii *.nii.gz *.nrrd *.nhdr *.mha *.mhd);;All files (*)"


class ProjectWidget(QWidget):
    """Open, make and fill projects; choose a case. `title` is placed by the dock."""

    def __init__(self, controller: Controller, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._controller = controller
        self.title = QElidingLabel()
        self._new = button("New…", "Make a project: a folder, and what to segment", "new_project")
        self._open = button("Open…", "Open a project folder", "open_project")
        self._add = button(
            "Add volumes…",
            "Add image files to the project (NIfTI, NRRD, MetaImage).\n"
            "The files stay where they are and are never changed.",
            "add_images",
        )
        self._folder = button("DICOM…", "Add a folder that holds one DICOM series", "add_dicom")
        self._filter = QLineEdit()
        self._filter.setPlaceholderText("Filter cases")
        self._filter.setToolTip("Show only cases whose name, state or domain contains this")
        self._filter.setClearButtonEnabled(True)
        self._next = button("Next undone", "Show the next case that is not marked done")
        self._done = button(
            "Done",
            "Mark the case on the screen as checked, or take it back",
            "case_done",
            checkable=True,
        )
        self.table = CaseTable()
        self._domain = self.table.menu.addAction("Set domain…")
        self._domain.setObjectName("set_domain")
        self._domain.setToolTip("Say which scanner, site or sequence the selected cases come from")
        self._arrange()
        self._connect()
        self._refresh()

    def _arrange(self) -> None:
        buttons = QHBoxLayout()
        for widget in (self._new, self._open, self._add, self._folder):
            buttons.addWidget(widget)
        finder = QHBoxLayout()
        finder.addWidget(self._filter, 1)
        finder.addWidget(self._next)
        finder.addWidget(self._done)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(buttons)
        layout.addLayout(finder)
        layout.addWidget(self.table, 1)
        self.table.setMinimumHeight(96)

    def _connect(self) -> None:
        self._new.clicked.connect(self._ask_new)
        self._open.clicked.connect(self._ask_open)
        self._add.clicked.connect(self._ask_images)
        self._folder.clicked.connect(self._ask_dicom)
        self._filter.textChanged.connect(self.table.filter)
        self._next.clicked.connect(self._show_next)
        self._done.clicked.connect(self._toggle_done)
        self.table.chosen.connect(self._show)
        self._domain.triggered.connect(self._ask_domain)
        self._controller.project_changed.connect(self._refresh)
        self._controller.worklist.changed.connect(self._refresh)
        self._controller.case_changed.connect(self._refresh)

    @guarded
    def _ask_new(self) -> None:
        dialog = NewProjectDialog(self)
        dialog.decided.connect(self._make)
        dialog.open()

    @guarded
    def _make(self, path: Path, classes: tuple[str, ...]) -> None:
        self._controller.new_project(path, classes)

    @guarded
    def _ask_open(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self, "Open a project folder")
        if chosen:
            self._controller.open_project(Path(chosen))

    @guarded
    def _ask_images(self) -> None:
        chosen, _ = QFileDialog.getOpenFileNames(self, "Add volumes", "", IMAGES)
        self._controller.add_images([Path(name) for name in chosen])

    @guarded
    def _ask_dicom(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self, "Add a folder with one DICOM series")
        if chosen:
            self._controller.add_images([Path(chosen)])

    @guarded
    def _show(self, name: str) -> None:
        shown = self._controller.view.case
        if shown is None or shown.name != name:
            try:
                self._controller.show_case(name)
            finally:
                self._refresh()  # where it failed, the row of the case that is still shown

    @guarded
    def _show_next(self) -> None:
        self._controller.show_next_undone()

    @guarded
    def _toggle_done(self) -> None:
        shown = self._controller.view.case
        if shown is not None:
            done = shown.name in self._controller.worklist.done()
            self._controller.set_done(shown.name, not done)

    @guarded
    def _ask_domain(self) -> None:
        names = self.table.selected()
        if names:
            dialog = domain_dialog(names, self._controller.worklist, self)
            dialog.textValueSelected.connect(partial(self._set_domain, names))
            dialog.open()

    @guarded
    def _set_domain(self, names: tuple[str, ...], domain: str) -> None:
        self._controller.set_domain(names, domain)

    def _refresh(self) -> None:
        store, shown = self._controller.store, self._controller.view.case
        summaries = self._controller.worklist.summaries
        if store is None:
            self.title.setText("none is open: New, Open, or File, Open Sample")
        else:
            locked = " · read-only" if store.read_only else ""
            done = f"{len(self._controller.worklist.done())} of {len(summaries)} done"
            self.title.setText(f"{store.path.name} · {done}{locked}")
            self.title.setToolTip(str(store.path))
        writable = store is not None and not store.read_only
        self._add.setEnabled(writable)
        self._folder.setEnabled(writable)
        self._domain.setEnabled(writable and bool(summaries))
        self._done.setEnabled(writable and shown is not None)
        self._next.setEnabled(bool(summaries))
        self._done.setChecked(shown is not None and shown.name in self._controller.worklist.done())
        self.table.set_value(summaries.values(), shown.name if shown else None)


def domain_dialog(names: tuple[str, ...], worklist: Worklist, parent: QWidget) -> QInputDialog:
    """Return a dialog that asks for the domain of cases and offers the known ones."""
    dialog = QInputDialog(parent)
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    dialog.setWindowTitle("Set domain")
    which = names[0] if len(names) == 1 else f"{len(names)} cases"
    dialog.setLabelText(f"Scanner, site or sequence of {which}; empty where it does not matter")
    dialog.setComboBoxItems([domain for domain in worklist.domains() if domain])
    dialog.setComboBoxEditable(True)
    now = {worklist.summaries[name].domain for name in names}
    dialog.setTextValue(now.pop() if len(now) == 1 else "")
    return dialog
