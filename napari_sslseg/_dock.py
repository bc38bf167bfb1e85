"""The dock: composes the parts, and ends the engine when the window closes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from napari.utils.notifications import show_warning
from qtpy.QtCore import QCoreApplication, QEvent, QObject, Qt, QTimer
from qtpy.QtGui import QResizeEvent, QShowEvent
from qtpy.QtWidgets import QDockWidget, QGridLayout, QScrollArea, QVBoxLayout, QWidget

from napari_sslseg import shortcuts
from napari_sslseg.controller import Controller
from napari_sslseg.widgets.annotate import AnnotateWidget
from napari_sslseg.widgets.project import ProjectWidget
from napari_sslseg.widgets.review import FinishWidget, LookWidget
from napari_sslseg.widgets.silence import SilenceNotice
from napari_sslseg.widgets.simulate import SimulationWidget
from napari_sslseg.widgets.status import StatusLine
from napari_sslseg.widgets.style import SHEET, Section
from napari_sslseg.widgets.suggestions import SuggestionsWidget
from napari_sslseg.widgets.train import TrainWidget
from napari_sslseg.widgets.unsaved import may_lose
from sslseg.core.annotation import BACKGROUND
from sslseg.runner import ProcessRunner, Runner

if TYPE_CHECKING:
    import napari.viewer

WIDTH = 400

LEFT = "The last strokes could not be saved. They are in the layer 'annotation': save it as a file."


class SegmentationDock(QWidget):
    """Label a few slices, train beside it, look, correct, export.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Given by napari.
    make_runner : callable
        Makes what the training runs in; a child process unless told otherwise.
    """

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        make_runner: Callable[[], Runner] = ProcessRunner,
    ) -> None:
        super().__init__()
        self._viewer = viewer
        self.controller = Controller(viewer, make_runner)
        self.cases = ProjectWidget(self.controller)
        self.annotate = AnnotateWidget(self.controller)
        self.train = TrainWidget(self.controller)
        self.look = LookWidget(self.controller)
        self.suggestions = SuggestionsWidget(self.controller)
        self.finish = FinishWidget(self.controller)
        self.simulation = SimulationWidget(self.controller)
        self.silence = SilenceNotice(self.controller)
        self.status = StatusLine(self.controller)
        self._handlers = self._shortcuts()
        self._window: QWidget | None = None
        self._arrange()
        shortcuts.bind([viewer], self._handlers)
        self.controller.case_changed.connect(self._bind_layers)
        self.controller.predicted.connect(self._bind_layers)
        self.controller.view.glimpsed.connect(self._bind_layers)
        self.controller.project_changed.connect(self._entitle)
        self.controller.view.layers.binned.connect(self._restore_soon)
        self._end_with_application()

    # ---- for scripts and tests ----

    def open_project(self, path: str | Path) -> None:
        """Open a project folder; raises SslsegError if it is none."""
        self.controller.open_project(Path(path))

    def show_case(self, case: str) -> None:
        """Show a case of the open project; raises SslsegError if it cannot be read."""
        self.controller.show_case(case)

    def shut(self) -> None:
        """Write what is not written, end the engine and leave the viewer; safe to call twice.

        Strokes that cannot be written stay on the screen, as a layer of the viewer's own.
        """
        if not self.controller.closed:
            if self.controller.view.flush():
                self.controller.view.clear()
            else:
                show_warning(LEFT)
            shortcuts.unbind([self._viewer], self._handlers)
            self._end()

    def _end(self) -> None:
        """Write what is not written and end the engine, with the window gone or going."""
        self._watch(None)
        self.train.shut()
        self.controller.close()

    # ---- how it is put together ----

    def _arrange(self) -> None:
        self.setStyleSheet(SHEET)
        self.setMinimumWidth(WIDTH)
        inner = QWidget()
        layout = QVBoxLayout(inner)
        layout.setContentsMargins(8, 4, 8, 4)
        layout.setSpacing(4)
        self.annotate.go_on_with(self.suggestions.next_button)
        # of a height that does not change: what begins to be shown while training must not move
        # the buttons under the mouse
        layout.addWidget(Section("Cases", self.cases, beside=self.cases.title))
        layout.addWidget(Section("Label", self.annotate, beside=self.annotate.place))
        layout.addWidget(Section("Train", self.train))
        layout.addWidget(Section("Look", self.look))
        layout.addWidget(Section("Next", self.suggestions), 1)
        layout.addWidget(self.finish)
        layout.addWidget(self.simulation)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QScrollArea.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(inner)
        self.simulation.appeared.connect(self._show_simulation)
        self._scroll = scroll
        # napari adds a stretch to vertical layouts, which would take half of the height.
        outer = QGridLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.setSpacing(0)
        outer.addWidget(scroll)
        outer.addWidget(self.silence)
        outer.addWidget(self.status)  # these in sight however far one has scrolled

    def _show_simulation(self) -> None:
        """Scroll to the curves once they have their place."""
        QTimer.singleShot(0, self._scroll_to_simulation)

    def _scroll_to_simulation(self) -> None:
        if not self.controller.closed:
            self._scroll.ensureWidgetVisible(self.simulation)

    def _shortcuts(self) -> dict[str, Callable[..., None]]:
        weak = shortcuts.weak
        handlers = {
            "C": weak(self.annotate.complete),
            "A": weak(self.annotate.accept),
            "E": weak(self.annotate.extend),
            "N": weak(self.suggestions.go_next),
            "P": weak(self.look.toggle_prediction),
            "U": weak(self.look.toggle_uncertainty),
            "D": weak(self.look.toggle_confidence),
            "0": weak(self.annotate.choose, BACKGROUND),
        }
        for value in range(1, 10):
            handlers[str(value)] = weak(self.annotate.choose, value)
        return handlers

    def _bind_layers(self) -> None:
        shortcuts.bind(self.controller.view.layers.all(), self._handlers)

    def _entitle(self) -> None:
        if self.controller.store is not None:
            self._viewer.title = f"SSL Segmentation: {self.controller.store.path.name}"

    # ---- the end ----

    def _end_with_application(self) -> None:
        application = QCoreApplication.instance()
        if application is not None:
            application.aboutToQuit.connect(self._end)
        # `self` is half gone by then, so the controller, which is whole, does the rest.
        self.destroyed.connect(self.controller.close)

    def showEvent(self, event: QShowEvent) -> None:
        """Watch the window: napari tells its docked widgets nothing when it closes."""
        super().showEvent(event)
        if not self.controller.closed:
            self._watch(_main_window(self))

    def _watch(self, window: QWidget | None) -> None:
        if self._window is not None:
            self._window.removeEventFilter(self)
        self._window = window
        if window is not None:
            window.installEventFilter(self)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Give the worklist its share of the height, whatever else is shown below it."""
        super().resizeEvent(event)
        self.cases.table.fit(event.size().height())

    def event(self, event: QEvent) -> bool:
        """Leave the viewer when the user takes the dock out of the window."""
        taken_out = event.type() == QEvent.Type.ParentChange and self.parent() is None
        if taken_out and self._window is not None:
            self.shut()
        return super().event(event)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Write strokes when the window is asked to close, and end if it does."""
        if watched is self._window and event.type() == QEvent.Type.Close:
            if not self._may_close():
                event.ignore()
                return True
            QTimer.singleShot(0, self._shut_if_closed)
        return super().eventFilter(watched, event)

    def _may_close(self) -> bool:
        """Write strokes; where that fails, it is the user who says whether they may be lost."""
        view = self.controller.view
        if self._window is None or view.case is None or view.flush():
            return True
        return may_lose(view.case.name, self._window)

    def _restore_soon(self) -> None:
        QTimer.singleShot(0, self._restore_layers)

    def _restore_layers(self) -> None:
        """Give back layers that were thrown away, but not those of a viewer that closes."""
        if self._window is not None and self._window.isVisible():
            self.controller.view.layers.restore()

    def _shut_if_closed(self) -> None:
        if self._window is not None and not self._window.isVisible():
            self._end()


def _main_window(widget: QWidget) -> QWidget:
    """Return napari's window: a panel that floats is a window of its own, which may be hidden."""
    window = widget.window()
    owner = window.parentWidget() if isinstance(window, QDockWidget) else None
    return window if owner is None else owner.window()
