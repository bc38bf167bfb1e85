"""Replay the loop with an annotator who knows the truth: what to ask for, and the curves."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from psygnal import Signal
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QDoubleSpinBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_sslseg.controller import Controller
from napari_sslseg.widgets.folder import folder_row
from napari_sslseg.widgets.plots import small, small_plot
from napari_sslseg.widgets.style import hint
from sslseg.core.catalogue import DEFAULT_METHOD, methods
from sslseg.core.config import SimulationRequest, TrainRequest
from sslseg.core.events import Event, SimulationReported
from sslseg.storage.arrays import make_folder, write_atomic
from sslseg.suggest.strategies import AUTO, STRATEGIES

REMEMBERED = "simulations/asked.json"
"""In the project: what was asked for last, since only the same request goes on where it was."""

COLORS = ("#6ea8ff", "#f0a35e", "#4fbf83", "#c58af9", "#ff8f8f", "#d9cf6b", "#6fc3df", "#b9bfc9")


AUTOMATIC = -1
HOLDOUT = (
    "Cases kept out of the simulated project, to be scored on.\n"
    "Automatic: one in five where ten or more have labels, at least two.\n"
    "0: scored on the project's own cases, whose images were learnt from"
)


class SimulateDialog(QDialog):
    """Asks what to simulate; emits `decided` with the request."""

    decided = Signal(SimulationRequest)

    def __init__(self, asked: SimulationRequest, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Simulate")
        self.labels = QLineEdit(asked.labels)
        self.labels.setToolTip("A folder with one label file per case, named like its image")
        self.labels.setMinimumWidth(340)
        self.rounds = _count(asked.rounds, 1, "How often the annotator labels and the model trains")
        self.slices = _count(asked.slices, 1, "Slices labelled in each round")
        self.minutes = _minutes(asked.train.minutes, "How long each round trains")
        self.last = _minutes(asked.last_minutes, "How long the last round trains")
        tip = "Repetitions with other random draws; three show what is chance"
        self.seeds = _count(len(asked.seeds), 1, tip)
        kept_out = AUTOMATIC if asked.holdout is None else asked.holdout
        self.holdout = _count(kept_out, AUTOMATIC, HOLDOUT)
        self.holdout.setSpecialValueText("automatic")
        self.strategies = _ticks(
            ((name, each.summary) for name, each in STRATEGIES.items()), asked.strategies
        )
        self.methods = _ticks(((each.name, each.advice) for each in methods()), asked.methods)
        self.buttons = QDialogButtonBox()
        self._arrange()
        for ticks in (self.strategies, self.methods):
            ticks.itemChanged.connect(self._allow)
        self._allow()
        self.accepted.connect(self._decide)

    def value(self) -> SimulationRequest:
        """Return what is asked for."""
        return SimulationRequest(
            labels=self.labels.text().strip(),
            rounds=self.rounds.value(),
            slices=self.slices.value(),
            strategies=_ticked(self.strategies),
            methods=_ticked(self.methods),
            seeds=tuple(range(self.seeds.value())),
            train=TrainRequest(minutes=self.minutes.value()),
            last_minutes=self.last.value(),
            holdout=None if self.holdout.value() == AUTOMATIC else self.holdout.value(),
        )

    def _arrange(self) -> None:
        kinds = QDialogButtonBox.StandardButton
        self.buttons.setStandardButtons(kinds.Ok | kinds.Cancel)
        self.buttons.button(kinds.Ok).setText("Simulate")
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        form = QFormLayout(self)
        form.addRow("True labels", folder_row(self.labels, "True labels"))
        form.addRow("Rounds", self.rounds)
        form.addRow("Slices a round", self.slices)
        form.addRow("Minutes a round", self.minutes)
        form.addRow("Minutes of the last", self.last)
        form.addRow("Strategies", self.strategies)
        form.addRow("Methods", self.methods)
        form.addRow("Repetitions", self.seeds)
        form.addRow("Cases kept out", self.holdout)
        form.addRow(
            hint(
                "Works on copies; your labels stay as they are. Stop whenever you like: the same "
                "request goes on where it was."
            )
        )
        form.addRow(self.buttons)

    def _allow(self) -> None:
        """Only what has a strategy and a method can be played."""
        played = bool(_ticked(self.strategies)) and bool(_ticked(self.methods))
        self.buttons.button(QDialogButtonBox.StandardButton.Ok).setEnabled(played)

    def _decide(self) -> None:
        self.decided.emit(self.value())


def usual_request(labels: Path) -> SimulationRequest:
    """Return what is offered where nothing was asked for yet."""
    return SimulationRequest(
        labels=str(labels),
        rounds=6,
        slices=8,
        strategies=(AUTO, "equal"),
        methods=(DEFAULT_METHOD,),
        train=TrainRequest(minutes=1.0),
        last_minutes=4.0,
    )


def last_request(project: Path) -> SimulationRequest | None:
    """Return what was asked for last in a project; None where that cannot be read."""
    try:
        return SimulationRequest.model_validate_json((project / REMEMBERED).read_bytes())
    except (OSError, ValueError):
        return None


def remember(project: Path, request: SimulationRequest) -> None:
    """Keep what is asked for.

    Raises
    ------
    SslsegError
        Where it cannot be written.
    """
    path = project / REMEMBERED
    make_folder(path.parent)
    write_atomic(path, request.model_dump_json().encode())


class SimulationWidget(QWidget):
    """Dice against slices and against annotation minutes, an arm a line; hidden before.

    Emits `appeared` when there is something to see for the first time.
    """

    appeared = Signal()

    def __init__(self, controller: Controller, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._controller = controller
        self._plots: dict[str, Any] = {}
        self.lines: dict[str, list[Any]] = {}
        self.label = QLabel()
        self.label.setWordWrap(True)
        self.legend = QLabel()
        self.legend.setWordWrap(True)
        self._row = QHBoxLayout()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.label)
        layout.addLayout(self._row)
        layout.addWidget(self.legend)
        controller.told.connect(self._follow)
        controller.project_changed.connect(self._leave)
        self._of: Path | None = None
        self.setVisible(False)

    def _follow(self, event: Event) -> None:
        if isinstance(event, SimulationReported):
            self._show(event)

    def _project(self) -> Path | None:
        store = self._controller.store
        return None if store is None else store.path

    def _leave(self) -> None:
        """The curves of one project say nothing of the next."""
        if self._project() != self._of:
            self.setVisible(False)

    def _show(self, event: SimulationReported) -> None:
        self._of = self._project()
        if not self._plots:
            self._build()
        names = list(dict.fromkeys(curve.name for curve in event.curves))
        colors = {name: COLORS[i % len(COLORS)] for i, name in enumerate(names)}
        for along, plot in self._plots.items():
            plot.clear()
            self.lines[along] = [
                plot.plot(*_points(getattr(curve, along), curve.dice), **_look(colors[curve.name]))
                for curve in event.curves
            ]
        picture = f"Curves: simulations/{Path(event.picture).name} in the project."
        words = f"Simulated rounds: {event.done} of {event.total}. {event.words} {picture}"
        self.label.setText(small(words))
        self.legend.setText(" · ".join(small(name, color) for name, color in colors.items()))
        self.setToolTip(f"As a picture: {event.picture}\nAs numbers: {event.report}")
        if self.isHidden():
            self.setVisible(True)
            self.appeared.emit()

    def _build(self) -> None:
        for along, words in (("slices", "labelled slices"), ("minutes", "minutes of labelling")):
            plot = self._plots[along] = small_plot(self, 130)
            plot.setYRange(0, 1, padding=0.02)
            plot.setLabel("bottom", words, color="#a7adb8")
            self._row.addWidget(plot)


def _points(along: tuple[float, ...], dice: tuple[float | None, ...]) -> tuple[list[float], ...]:
    """Return the x and y of the defined points."""
    found = [(x, y) for x, y in zip(along, dice, strict=True) if y is not None]
    return [x for x, _ in found], [y for _, y in found]


def _look(color: str) -> dict[str, Any]:
    return {"pen": color, "symbol": "o", "symbolSize": 5, "symbolBrush": color, "symbolPen": color}


def _count(value: int, least: int, tip: str) -> QSpinBox:
    box = QSpinBox()
    box.setRange(least, 9999)
    box.setValue(value)
    box.setToolTip(tip)
    return box


def _minutes(value: float | None, tip: str) -> QDoubleSpinBox:
    box = QDoubleSpinBox()
    box.setRange(0.01, 24 * 60)
    box.setSuffix(" min")
    box.setValue(1.0 if value is None else value)
    box.setToolTip(tip)
    return box


def _ticks(entries: Iterable[tuple[str, str]], ticked: tuple[str, ...]) -> QListWidget:
    """Return a list whose entries can be ticked."""
    chosen = QListWidget()
    for name, summary in entries:
        item = QListWidgetItem(f"{name}: {summary}")
        item.setToolTip(summary)
        item.setData(Qt.ItemDataRole.UserRole, name)
        state = Qt.CheckState.Checked if name in ticked else Qt.CheckState.Unchecked
        item.setCheckState(state)
        chosen.addItem(item)
    chosen.setFixedHeight(96)
    chosen.setToolTip("Each ticked one is tried")
    return chosen


def _ticked(chosen: QListWidget) -> tuple[str, ...]:
    items = [chosen.item(row) for row in range(chosen.count())]
    return tuple(
        item.data(Qt.ItemDataRole.UserRole)
        for item in items
        if item.checkState() is Qt.CheckState.Checked
    )
