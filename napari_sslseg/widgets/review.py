"""Look at what the model says, and take it out of the program."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QSlider, QVBoxLayout, QWidget

from napari_sslseg.controller import Controller
from napari_sslseg.widgets.export import ExportDialog
from napari_sslseg.widgets.guard import guarded
from napari_sslseg.widgets.simulate import (
    SimulateDialog,
    last_request,
    remember,
    usual_request,
)
from napari_sslseg.widgets.style import button, hint
from sslseg.core.commands import Export, Predict, Simulate
from sslseg.core.config import SimulationRequest
from sslseg.core.events import CriticJudged, Event, RunStarted
from sslseg.core.prediction import CriticHealth, Prediction
from sslseg.storage import arrays
from sslseg.storage.store import ProjectStore

NOT_PREDICTED = "This case has no prediction yet."

TOGGLES = {
    "prediction": ("Prediction (P)", "Show or hide the outlines that the model draws"),
    "uncertainty": (
        "Uncertainty (U)",
        "Show or hide where the model is unsure: from dark (a little) to bright (very).\n"
        "Clear where it is sure.",
    ),
    "confidence": (
        "Confidence (D)",
        "Show or hide what the discriminator thinks of the prediction: how much it looks like\n"
        "a human's labels there. Only places below the threshold are shown.",
    ),
}


class LookWidget(QWidget):
    """Toggles for the model's layers, the threshold, and whether confidence can be believed."""

    def __init__(self, controller: Controller, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._controller = controller
        self._baseline = ""
        self._toggles: dict[str, QPushButton] = {}
        row = QHBoxLayout()
        row.setSpacing(2)
        for name, (text, tip) in TOGGLES.items():
            toggle = button(text, tip, f"show_{name}", checkable=True)
            toggle.setChecked(controller.view.layers.visible(name))
            self._toggles[name] = toggle
            row.addWidget(toggle)
        self._threshold = QSlider(Qt.Orientation.Horizontal)
        self._threshold.setObjectName("confidence_threshold")
        self._threshold.setRange(0, 100)
        self._threshold.setValue(50)
        self._threshold.setToolTip("Show confidence only where it is below this")
        self._limit = QLabel("below 0.50")
        self._below = QWidget()
        below = QHBoxLayout(self._below)
        below.setContentsMargins(0, 0, 0, 0)
        below.addWidget(QLabel("Show confidence"))
        below.addWidget(self._threshold, 1)
        below.addWidget(self._limit)
        self._critic = hint(CriticHealth().words)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addLayout(row)
        layout.addWidget(self._critic)
        layout.addWidget(self._below)
        self._below.setVisible(controller.view.layers.visible("confidence"))
        self._toggles["prediction"].clicked.connect(self.toggle_prediction)
        self._toggles["uncertainty"].clicked.connect(self.toggle_uncertainty)
        self._toggles["confidence"].clicked.connect(self.toggle_confidence)
        self._threshold.valueChanged.connect(self._set_threshold)
        controller.told.connect(self._follow)
        controller.predicted.connect(self._follow_prediction)
        controller.project_changed.connect(self._forget)
        controller.case_changed.connect(self._follow_case)
        controller.view.layers.toggled.connect(self._refresh)

    def toggle_prediction(self) -> None:
        """Show or hide the prediction."""
        self._toggle("prediction")

    def toggle_uncertainty(self) -> None:
        """Show or hide the uncertainty."""
        self._toggle("uncertainty")

    def toggle_confidence(self) -> None:
        """Show or hide the confidence."""
        self._toggle("confidence")

    def _toggle(self, name: str) -> None:
        layers = self._controller.view.layers
        layers.set_visible(name, not layers.visible(name))

    def _refresh(self) -> None:
        layers = self._controller.view.layers
        for name, toggle in self._toggles.items():
            toggle.setChecked(layers.visible(name))
        self._below.setVisible(layers.visible("confidence"))

    def _set_threshold(self, percent: int) -> None:
        self._controller.view.layers.set_threshold(percent / 100)
        self._limit.setText(f"below {percent / 100:.2f}")

    def _follow(self, event: Event) -> None:
        if isinstance(event, RunStarted):
            self._baseline = event.run if event.baseline else ""
        elif isinstance(event, CriticJudged) and event.run != self._baseline:
            self._say(event.health)  # predictions are the method's, never the baseline's

    def _follow_prediction(self, prediction: Prediction) -> None:
        self._say(prediction.info.critic)

    def _follow_case(self) -> None:
        """Take back what was said of another case's prediction where this one has none."""
        store, case = self._controller.store, self._controller.view.case
        if store is None or case is None:
            return
        if arrays.latest_prediction(store.path, case.name) is None:
            self._critic.setText(NOT_PREDICTED)

    def _forget(self) -> None:
        """Say nothing of the critic of a project that is no longer on the screen."""
        if self._controller.view.case is None:
            self._critic.setText(CriticHealth().words)

    def _say(self, health: CriticHealth) -> None:
        self._critic.setText(health.words if health.healthy else f"⚠ {health.words}")


class FinishWidget(QWidget):
    """Predict every case; export; replay the loop where the truth is known."""

    def __init__(self, controller: Controller, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._controller = controller
        self._predict = button(
            "Predict all", "Let the newest model segment every case of the project", "predict_all"
        )
        self._export = button("Export…", "Write masks for other programs", "export")
        self._simulate = button(
            "Simulate…",
            "Where you have true labels: replay the loop with an annotator who knows them, and\n"
            "see what strategies and methods reach for the same slices and minutes",
            "simulate",
        )
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._predict)
        layout.addWidget(self._export)
        layout.addWidget(self._simulate)
        self._predict.clicked.connect(self._predict_all)
        self._export.clicked.connect(self._ask)
        self._simulate.clicked.connect(self._ask_simulation)
        controller.project_changed.connect(self._refresh)
        controller.status_changed.connect(self._refresh)
        self._refresh()

    @guarded
    def _predict_all(self) -> None:
        self._controller.send(Predict())

    @guarded
    def _ask(self) -> None:
        store = self._controller.store
        if store is not None:
            dialog = ExportDialog(store.path, self)
            dialog.decided.connect(self._write)
            dialog.open()

    @guarded
    def _write(self, out: Path, form: str, what: str) -> None:
        self._controller.send(Export(out=str(out), format=form, what=what))

    @guarded
    def _ask_simulation(self) -> None:
        store = self._controller.store
        if store is not None:
            asked = last_request(store.path) or usual_request(_labels_of(store))
            dialog = SimulateDialog(asked, self)
            dialog.decided.connect(self._play)
            dialog.open()

    @guarded
    def _play(self, request: SimulationRequest) -> None:
        if self._controller.store is not None:
            remember(self._controller.store.path, request)
        self._controller.send(Simulate(request=request))

    def _refresh(self) -> None:
        idle = not self._controller.awaits("train", "pretrain", "predict", "export", "simulate")
        ready = self._controller.store is not None and bool(self._controller.worklist.summaries)
        self._predict.setEnabled(ready and idle)
        self._export.setEnabled(ready and idle)
        self._simulate.setEnabled(ready and idle)


def _labels_of(store: ProjectStore) -> Path:
    """Return where true labels are likely: beside the project, or beside the images' folder."""
    beside = store.path.parent / "labels"
    images = {(store.path / case.source).resolve().parent for case in store.cases()}
    likely = [beside, *sorted(folder.parent / "labels" for folder in images)]
    return next((folder for folder in likely if folder.is_dir()), beside)
