"""Next: which slice to label now, and why."""

from __future__ import annotations

import numpy as np
from napari.utils.notifications import show_info
from psygnal import Signal
from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QIcon, QImage, QKeyEvent, QPixmap
from qtpy.QtWidgets import QListWidget, QListWidgetItem, QVBoxLayout, QWidget

from napari_sslseg.controller import Controller
from napari_sslseg.thumbnails import Rgb, read_thumbnails
from napari_sslseg.widgets.guard import guarded
from napari_sslseg.widgets.style import button
from sslseg.core.geometry import Plane
from sslseg.core.suggestion import Box, Suggestion
from sslseg.runner import RunnerState
from sslseg.storage import arrays
from sslseg.storage.store import ProjectStore

SIZE = 56
"""Side of a picture in pixels."""

NO_VOLUMES = "Suggestions appear once the project holds volumes."
STARTING = "The engine is starting; suggestions follow in a few seconds."
ENDED = "The engine ended before it could suggest anything; Train starts it again."
LOOKING = "The program looks for the slices that would help most…"
NOTHING = "Nothing to suggest. New suggestions come after a training or with new volumes."


class SuggestionList(QListWidget):
    """Pictures and reasons; emits `chosen` with the place in the list."""

    chosen = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("suggestion_list")
        self.setIconSize(QSize(SIZE, SIZE))
        self.setWordWrap(True)
        self.setSpacing(1)
        self.setVerticalScrollMode(QListWidget.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setMinimumHeight(round(1.5 * SIZE))
        self.setToolTip("Slices from which the model would learn most. A click goes there.")
        self.itemClicked.connect(self._choose)
        self.itemActivated.connect(self._choose)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Leave letters and digits to the viewer's shortcuts; move with the arrow keys."""
        if event.text().isalnum():
            event.ignore()
        else:
            super().keyPressEvent(event)

    def sizeHint(self) -> QSize:
        """Ask for the least only; the dock gives what is left."""
        return QSize(300, self.minimumHeight())

    def set_value(self, suggestions: tuple[Suggestion, ...], instead: str = NOTHING) -> None:
        """Show these suggestions, or words where there is none."""
        self.clear()
        if not suggestions:
            item = QListWidgetItem(instead, self)
            item.setFlags(Qt.ItemFlag.NoItemFlags)
        for each in suggestions:
            text = f"{each.case} · {each.plane} {each.slice}\n{each.reason}"
            item = QListWidgetItem(_icon(np.zeros((SIZE, SIZE, 3), np.uint8)), text, self)
            item.setToolTip(f"{each.reason}\nPress to go there.")

    def set_picture(self, row: int, picture: Rgb) -> None:
        """Show the picture of one suggestion."""
        item = self.item(row)
        if item is not None:
            item.setIcon(_icon(picture))

    def _choose(self, item: QListWidgetItem) -> None:
        if item.flags() & Qt.ItemFlag.ItemIsEnabled:
            self.chosen.emit(self.row(item))


class SuggestionsWidget(QWidget):
    """The open suggestions and the way to the next one; `next_button` is placed by the dock."""

    def __init__(self, controller: Controller, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._controller = controller
        self._shown: tuple[Suggestion, ...] = ()
        self.list = SuggestionList()
        self.next_button = button(
            "Next slice (N)",
            "Go to the slice from which the model would learn most",
            "next_suggestion",
        )
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.list, 1)
        self.list.chosen.connect(self._go)
        self.next_button.clicked.connect(self.go_next)
        controller.queue.changed.connect(self._refresh)
        controller.case_changed.connect(self._mark)
        controller.status_changed.connect(self._explain)
        controller.project_changed.connect(self._explain)
        self._refresh()

    @guarded
    def go_next(self) -> None:
        """Jump to the next suggestion."""
        if self._controller.store is not None and not self._controller.next_suggestion():
            show_info("No suggestions yet; they come after a training, or with new volumes.")

    @guarded
    def _go(self, row: int) -> None:
        if row < len(self._shown):
            self._controller.go_to(self._shown[row])

    def _refresh(self) -> None:
        items = self._controller.queue.items
        if items != self._shown or not items:
            self._shown = items
            self.list.set_value(items, self._why_empty())
            self._ask_pictures()
        self.next_button.setEnabled(bool(items))
        self._mark()

    def _explain(self) -> None:
        """Say why the list is empty, as far as that changed."""
        if not self._shown:
            self.list.set_value((), self._why_empty())

    def _why_empty(self) -> str:
        if not self._controller.worklist.summaries:
            return NO_VOLUMES
        if self._controller.awaits("suggest"):
            starting = self._controller.status.state is RunnerState.STARTING
            return STARTING if starting else LOOKING
        failed = self._controller.status.state is RunnerState.FAILED
        return ENDED if failed else NOTHING

    def _mark(self) -> None:
        position = self._controller.queue.position()
        self.list.setCurrentRow(position)
        if position >= 0:
            self.list.scrollToItem(self.list.item(position))

    def _ask_pictures(self) -> None:
        """Read what is needed beside the window, one volume after the other."""
        store = self._controller.store
        if store is None:
            return
        colors = {label.value: _rgb(label.color) for label in store.classes}
        for case in dict.fromkeys(each.case for each in self._shown):
            slices = tuple((e.plane, e.slice, e.box) for e in self._shown if e.case == case)
            self._ask_case(store, case, slices, colors)

    def _ask_case(
        self,
        store: ProjectStore,
        case: str,
        slices: tuple[tuple[Plane, int, Box | None], ...],
        colors: dict[int, tuple[int, int, int]],
    ) -> None:
        def read() -> tuple[Rgb, ...]:
            prediction = arrays.latest_prediction(store.path, case)
            return read_thumbnails(store.source_path(case), prediction, slices, colors, SIZE)

        def show(pictures: tuple[Rgb, ...]) -> None:
            for (plane, index, _), picture in zip(slices, pictures, strict=True):
                for row, each in enumerate(self._shown):
                    if (each.case, each.plane, each.slice) == (case, plane, index):
                        self.list.set_picture(row, picture)

        self._controller.background.submit(read, show, _no_picture)


def _no_picture(error: Exception) -> None:
    """Leave the place black: what is wrong with the image is told when its case is shown."""


def _icon(picture: Rgb) -> QIcon:
    data = np.ascontiguousarray(picture)
    height, width, _ = data.shape
    image = QImage(data.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888)
    return QIcon(QPixmap.fromImage(image))


def _rgb(color: str) -> tuple[int, int, int]:
    return (int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16))
