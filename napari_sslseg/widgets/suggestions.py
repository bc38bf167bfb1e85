"""Next: which slice to label now, and why."""

from __future__ import annotations

import numpy as np
from napari.utils.notifications import show_info
from psygnal import Signal
from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QIcon, QImage, QKeyEvent, QPixmap
from qtpy.QtWidgets import QListWidget, QListWidgetItem, QVBoxLayout, QWidget

from napari_sslseg.controller import Controller
from napari_sslseg.pictures import SIZE, Pictures
from napari_sslseg.thumbnails import Rgb
from napari_sslseg.widgets.guard import guarded
from napari_sslseg.widgets.style import button
from sslseg.core.suggestion import PAGE, Suggestion
from sslseg.runner import RunnerState

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
        self.setToolTip(
            "Slices worth labelling next, best first; after these come others. A click goes there."
        )
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
            "Next slice (N)", "Go to the slice worth labelling next", "next_suggestion"
        )
        self._pictures = Pictures(controller.threads.pictures)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.list, 1)
        self._pictures.ready.connect(self._show_picture)
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
            show_info(self._why_empty())

    @guarded
    def _go(self, row: int) -> None:
        if row < len(self._shown):
            self._controller.go_to(self._shown[row])

    def _refresh(self) -> None:
        items = self._page()
        if items != self._shown or not items:
            self._shown = items
            self.list.set_value(items, self._why_empty())
            if self._controller.store is not None:
                self._pictures.ask(self._controller.store, items)
        self.next_button.setEnabled(bool(items))
        self._mark()

    def _page(self) -> tuple[Suggestion, ...]:
        """Return the suggestions in sight: the page of the last visited one."""
        queue = self._controller.queue
        first = max(0, queue.position()) // PAGE * PAGE
        return queue.items[first : first + PAGE]

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
        visited = self._controller.queue.position()
        position = visited % PAGE if visited >= 0 else visited
        self.list.setCurrentRow(position)
        if position >= 0:
            self.list.scrollToItem(self.list.item(position))

    def _show_picture(self, suggestion: Suggestion, picture: Rgb) -> None:
        if suggestion in self._shown:
            self.list.set_picture(self._shown.index(suggestion), picture)


def _icon(picture: Rgb) -> QIcon:
    data = np.ascontiguousarray(picture)
    height, width, _ = data.shape
    image = QImage(data.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888)
    return QIcon(QPixmap.fromImage(image))
