"""Label: classes, plane, the state of this slice, complete and accept."""

from __future__ import annotations

from functools import partial

import numpy as np
import numpy.typing as npt
from napari.utils.notifications import show_info
from qtpy.QtWidgets import (
    QButtonGroup,
    QGridLayout,
    QHBoxLayout,
    QInputDialog,
    QPushButton,
    QVBoxLayout,
    QWidget,
)
from superqt import QElidingLabel

from napari_sslseg.controller import Controller
from napari_sslseg.layers import BACKGROUND_COLOR
from napari_sslseg.widgets.guard import guarded
from napari_sslseg.widgets.style import Pill, button, chip_sheet
from sslseg.core.annotation import BACKGROUND, UNPAINTED, SliceState
from sslseg.core.geometry import Plane
from sslseg.suggest.propagation import REACH

PLANES = (Plane.AXIAL, Plane.CORONAL, Plane.SAGITTAL)
CHIPS_PER_ROW = 4

IS_COMPLETE = "This slice is complete. Reopen it (C) first."

COMPLETE_TIP = (
    "Say that this slice is finished: everything you did not paint is background.\n"
    "An empty slice teaches too: nothing of interest is on it.\nPress again to reopen the slice."
)
ACCEPT_TIP = (
    "Copy the model's prediction on this slice into your labels.\n"
    "What you painted yourself stays as it is. Ctrl+Z takes it back."
)
EXTEND_TIP = (
    "Carry your labels from the nearest labelled slices of this plane onto this one,\n"
    f"up to {REACH} slices far, following what the images show. Needs no model.\n"
    "What you painted yourself stays as it is. Correct it, then mark the slice complete:\n"
    "a training learns from it as from what you paint. Ctrl+Z takes it back."
)


class AnnotateWidget(QWidget):
    """Everything about the slice on the screen. `place` says which it is; the dock places it."""

    def __init__(self, controller: Controller, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._controller = controller
        self._actions = QGridLayout()
        self._chips = QGridLayout()
        self._chips.setSpacing(4)
        self._group = QButtonGroup(self)
        self._planes = {
            plane: button(
                str(plane), f"Show the {plane} plane at the same place", str(plane), checkable=True
            )
            for plane in PLANES
        }
        self._plane_group = QButtonGroup(self)
        self.place = QWidget()
        self._words = QElidingLabel()
        self._pill = Pill()
        self._pill.setObjectName("slice_state")
        self._pill.setToolTip(
            "State of this slice.\nnone: not labelled. partial: only what you painted counts.\n"
            "complete: what you did not paint is background."
        )
        self._complete = button("Complete (C)", COMPLETE_TIP, "complete_slice")
        self._accept = button("Accept prediction (A)", ACCEPT_TIP, "accept_prediction")
        self._extend = button("Extend from neighbour (E)", EXTEND_TIP, "extend_neighbour")
        self._arrange()
        self._connect()
        self._refresh_classes()
        self._refresh()

    def _arrange(self) -> None:
        planes = QHBoxLayout()
        planes.setSpacing(2)
        for widget in self._planes.values():
            planes.addWidget(widget)
        place = QHBoxLayout(self.place)
        place.setContentsMargins(0, 0, 0, 0)
        place.addWidget(self._words, 1)
        place.addWidget(self._pill)
        self._actions.addWidget(self._accept, 0, 0)
        self._actions.addWidget(self._extend, 0, 1)
        self._actions.addWidget(self._complete, 1, 0)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(5)
        for part in (self._chips, planes, self._actions):
            layout.addLayout(part)

    def go_on_with(self, next_button: QWidget) -> None:
        """Place what comes after a slice is labelled."""
        self._actions.addWidget(next_button, 1, 1)

    def _connect(self) -> None:
        self._complete.clicked.connect(self.complete)
        self._accept.clicked.connect(self.accept)
        self._extend.clicked.connect(self.extend)
        self._group.idClicked.connect(self.choose)
        for plane, widget in self._planes.items():
            self._plane_group.addButton(widget, plane.axis)
        self._plane_group.idClicked.connect(self._choose_plane)
        self._controller.project_changed.connect(self._refresh_classes)
        self._controller.project_changed.connect(self._refresh)
        self._controller.case_changed.connect(self._follow_case)
        self._controller.view.moved.connect(self._refresh)
        self._controller.saved.connect(self._refresh)
        self._controller.predicted.connect(self._refresh)
        self._controller.view.glimpsed.connect(self._refresh)

    # ---- what keys and buttons do ----

    @guarded
    def choose(self, value: int) -> None:
        """Choose the class that the brush paints; 255 is painted background."""
        if self._controller.view.case is not None and self._group.button(value) is not None:
            self._controller.view.layers.activate_brush(value)

    @guarded
    def complete(self) -> None:
        """Mark the slice complete, or take it back."""
        self._controller.view.toggle_complete()

    @guarded
    def accept(self) -> None:
        """Copy the prediction of the slice into the annotation."""
        if not self._accept.isEnabled() or self._refused():
            return
        if not self._controller.view.accept():
            show_info("The prediction adds nothing on this slice.")

    @guarded
    def extend(self) -> None:
        """Carry labels from neighbouring slices onto this one, beside the window."""
        if self._refused():
            return
        view = self._controller.view
        work = view.extension() if self._extend.isEnabled() else None
        if view.case is None or work is None:
            show_info(f"No labelled {view.slices.plane} slice within {REACH} slices.")
            return
        place = (view.case.name, view.slices.plane, view.slices.index)
        self._controller.background.submit(work, partial(self._fill, *place))

    def _refused(self) -> bool:
        """Say that a complete slice takes nothing over: what was erased there was erased."""
        complete = self._controller.view.state is SliceState.COMPLETE
        if complete:
            show_info(IS_COMPLETE)
        return complete

    def _fill(self, case: str, plane: Plane, index: int, said: npt.NDArray[np.uint8]) -> None:
        """Write what was carried onto a slice, if its case is still on the screen."""
        view = self._controller.view
        if view.case is None or view.case.name != case:
            return
        if view.state_of(plane, index) is SliceState.COMPLETE:  # since it was asked for
            show_info(IS_COMPLETE)
        elif not view.fill(plane, index, said):
            show_info("The neighbours add nothing on this slice.")

    # ---- what is shown ----

    def _refresh_classes(self) -> None:
        for widget in self._group.buttons():
            self._group.removeButton(widget)
            widget.deleteLater()
        while self._chips.count():
            item = self._chips.takeAt(0)
            chip = item.widget() if item is not None else None
            if chip is not None:
                chip.deleteLater()
        chips = self._class_chips()
        for position, chip in enumerate(chips):
            self._chips.addWidget(chip, position // CHIPS_PER_ROW, position % CHIPS_PER_ROW)
        self._follow_selected()

    def _class_chips(self) -> list[QPushButton]:
        store = self._controller.store
        if store is None:
            return []
        chips = []
        for label in store.classes:
            key = f"{label.value}  " if label.value < 10 else ""
            tip = f"Paint {label.name} (key {label.value})" if key else f"Paint {label.name}"
            chips.append(self._chip(f"{key}{label.name}", tip, label.value, label.color))
        tip = (
            "Paint what is certainly background (key 0).\n"
            "Useful on partial slices, where unpainted voxels teach nothing."
        )
        chips.append(self._chip("0  background", tip, BACKGROUND, BACKGROUND_COLOR))
        if not store.read_only:
            more = button("+", "Add a class to the project", "add_class")
            more.clicked.connect(self._ask_class)
            chips.append(more)
        return chips

    def _chip(self, text: str, tip: str, value: int, color: str) -> QPushButton:
        chip = button(text, tip, f"class_{value}", checkable=True)
        chip.setStyleSheet(chip_sheet(color))
        self._group.addButton(chip, value)
        return chip

    @guarded
    def _ask_class(self) -> None:
        name, said = QInputDialog.getText(self, "Add a class", "Name of the new class")
        if said and name.strip():
            self._controller.add_class(name.strip())

    def _choose_plane(self, axis: int) -> None:
        self._controller.view.slices.set_plane(Plane.of_axis(axis))

    def _follow_case(self) -> None:
        self._controller.view.layers.annotation.events.selected_label.connect(self._follow_selected)
        self._follow_selected()
        self._refresh()

    def _follow_selected(self, event: object = None) -> None:
        if self._controller.view.case is None:
            return
        layer = self._controller.view.layers.annotation
        chip = self._group.button(layer.selected_label)
        if chip is not None:
            chip.setChecked(True)
        elif layer.selected_label != UNPAINTED and self._group.checkedId() > 0:
            show_info(f"{layer.selected_label} is no class of this project; + adds one.")
            layer.selected_label = self._group.checkedId()

    def _refresh(self) -> None:
        view = self._controller.view
        case, store = view.case, self._controller.store
        writable = case is not None and store is not None and not store.read_only
        state = view.state
        self._pill.set_value(str(state))
        complete = state is SliceState.COMPLETE
        self._complete.setText("Reopen (C)" if complete else "Complete (C)")
        self._complete.setEnabled(writable)
        self._accept.setEnabled(writable and view.can_accept)
        self._extend.setEnabled(writable)
        for plane, widget in self._planes.items():
            widget.setEnabled(case is not None)
            widget.setChecked(case is not None and plane is view.slices.plane)
        if case is None:
            self._words.setText("no case on the screen")
            return
        last = case.geometry.slices(view.slices.plane) - 1
        words = f"{case.name} · {view.slices.plane} {view.slices.index} / {last}"
        self._words.setText(words)
        self._words.setToolTip(words)
