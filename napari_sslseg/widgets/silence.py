"""What is said of an engine that has not been heard for long."""

from __future__ import annotations

from qtpy.QtWidgets import QHBoxLayout, QWidget

from napari_sslseg.controller import Controller
from napari_sslseg.widgets.guard import guarded
from napari_sslseg.widgets.style import button, hint

WORDS = "The engine has been silent for a minute.\nWait, press Stop, or end it."
MEANING = (
    "The engine was asked for something{work} and has said nothing for a minute or more.\n"
    "It may be busy with a large volume. If Stop does not help, end it: your labels are kept."
)
TIP = (
    "End the background process by force. Your labels are kept, and what the training had saved.\n"
    "Train starts the engine again."
)


class SilenceNotice(QWidget):
    """Hidden until the engine, asked for something, says nothing for long; offers to end it."""

    def __init__(self, controller: Controller, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("silence")
        self._controller = controller
        self.words = hint(WORDS)
        self._end = button("End engine", TIP, "end_engine")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(8, 2, 8, 2)
        layout.addWidget(self.words, 1)
        layout.addWidget(self._end)
        self._end.clicked.connect(self._end_engine)
        controller.status_changed.connect(self._refresh)
        self.setVisible(False)

    @guarded
    def _end_engine(self) -> None:
        self._controller.end_engine()

    def _refresh(self) -> None:
        status = self._controller.status
        if status.silent:
            work = f" ({status.detail.lower()})" if status.detail else ""
            self.words.setToolTip(MEANING.format(work=work))
        self.setVisible(status.silent)
