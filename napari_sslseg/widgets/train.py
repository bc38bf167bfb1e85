"""Train: method, minutes, one large button, progress, curves."""

from __future__ import annotations

from pathlib import Path

from napari.utils import progress
from qtpy.QtWidgets import (
    QCheckBox,
    QDoubleSpinBox,
    QHBoxLayout,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_sslseg.controller import Controller
from napari_sslseg.history import last_plan, last_training
from napari_sslseg.widgets.activity import activity_bar
from napari_sslseg.widgets.corrections import CorrectionsWidget
from napari_sslseg.widgets.curves import CurvesWidget
from napari_sslseg.widgets.guard import guarded
from napari_sslseg.widgets.method_choice import advice, method_combo, pretraining_combo, tip
from napari_sslseg.widgets.parameters import ParameterForm
from napari_sslseg.widgets.style import Section, button, hint
from sslseg.core.catalogue import DEFAULT_PRETRAINING, methods, pretraining_methods
from sslseg.core.commands import Pretrain, Stop, Train
from sslseg.core.config import TrainRequest
from sslseg.core.events import (
    CommandDone,
    Compared,
    CriticJudged,
    Event,
    Progress,
    RunFinished,
    RunStarted,
    StepReported,
    Task,
    Validated,
)
from sslseg.core.words import counted
from sslseg.runner import RunnerState

BASELINE = "supervised"
NEVER = "no training yet"
NO_PLAN = "The plan of a training stands here once it has begun."
SHOWN_EVERY = 1.0
"""Seconds between looks at the progress; each one repaints part of the window."""


class TrainWidget(QWidget):
    """Asks for training and shows how it goes; every button follows what the engine tells."""

    def __init__(self, controller: Controller, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._controller = controller
        self._methods = {method.name: method for method in methods()}
        self._pretrainings = {method.name: method for method in pretraining_methods()}
        self._bar: progress | None = None
        self._shown_at = 0.0
        self._began = False
        self._doing = ""
        self._counting = ""
        self._baseline = ""
        self.method = method_combo(tuple(self._methods.values()))
        self.pretrain_method = pretraining_combo(tuple(self._pretrainings.values()))
        self.minutes = _minutes_box()
        self.summary = hint()
        self.form = ParameterForm()
        self.pretrain_summary = hint()
        self.pretrain_form = ParameterForm()
        self.train_button = _train_button()
        self.pretrain_button = _pretrain_button()
        self.stop_button = button("Stop", "Stop now; what was learnt is kept", "stop")
        self.bar = QProgressBar()
        self.bar.setToolTip("Progress of the work at hand, and the time left")
        self.curves = CurvesWidget()
        self.corrections = CorrectionsWidget(controller)
        self.compare = _compare_box()
        self.fresh = _fresh_box()
        self.plan = hint(NO_PLAN)
        self._more = Section("Settings", _stacked(self.fresh, self.form), folded=True, aside=True)
        self._why = Section("Plan", self.plan, folded=True, aside=True)
        self._how = _how_section(_stacked(self.pretrain_summary, self.pretrain_form))
        self._arrange()
        self._connect()
        self._choose_method()
        self._choose_pretraining()
        self._project: Path | None = None
        self._idle(NEVER)
        self._refresh()

    def value(self) -> TrainRequest:
        """Return what a click on Train asks for."""
        return TrainRequest(
            method=self.method.currentData(),
            minutes=self.minutes.value() or None,
            fresh=self.fresh.isChecked(),
            settings=self.form.value(),
            baseline=self.compare.isEnabled() and self.compare.isChecked(),
        )

    def pretraining(self) -> TrainRequest:
        """Return what a click on Learn from images asks for: the network of a click on Train."""
        asked = self.value()
        method = self._methods[asked.method or ""]
        shared = {each.name for each in method.parameters if each.group == "training"}
        settings = {name: value for name, value in asked.settings.items() if name in shared}
        if method.dimensions != "any":
            settings["dimensions"] = method.dimensions
        way = self.pretrain_method.currentData()
        return asked.model_copy(
            update={
                "method": None if way == DEFAULT_PRETRAINING else way,
                "settings": settings | self.pretrain_form.value(),
            }
        )

    def shut(self) -> None:
        """Take the progress bar out of napari's activity dock."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _arrange(self) -> None:
        what = QHBoxLayout()
        what.addWidget(self.method, 1)
        what.addWidget(self.minutes)
        heads = QHBoxLayout()
        heads.addWidget(self._more.head, 1)
        heads.addWidget(self._why.head, 1)
        heads.addWidget(self.compare)
        go = QHBoxLayout()
        go.addWidget(self.train_button, 3)
        go.addWidget(self.stop_button, 1)
        images = QHBoxLayout()
        images.addWidget(self.pretrain_method, 1)
        images.addWidget(self._how.head)
        images.addWidget(self.pretrain_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(what)
        layout.addWidget(self.summary)
        layout.addLayout(heads)
        layout.addWidget(self._more)
        layout.addWidget(self._why)
        layout.addLayout(images)
        layout.addWidget(self._how)
        layout.addLayout(go)
        layout.addWidget(self.bar)
        layout.addWidget(self.curves)
        layout.addWidget(self.corrections)

    def _connect(self) -> None:
        self.method.currentIndexChanged.connect(self._choose_method)
        self.pretrain_method.currentIndexChanged.connect(self._choose_pretraining)
        self.train_button.clicked.connect(self._train)
        self.pretrain_button.clicked.connect(self._pretrain)
        self.stop_button.clicked.connect(self._stop)
        self._controller.told.connect(self._follow)
        self._controller.status_changed.connect(self._refresh)
        self._controller.project_changed.connect(self._refresh)
        self._controller.project_changed.connect(self._remember)
        self._controller.worklist.changed.connect(self._advise)

    @guarded
    def _train(self) -> None:
        self._controller.send(Train(request=self.value()))

    @guarded
    def _pretrain(self) -> None:
        self._controller.send(Pretrain(request=self.pretraining()))

    @guarded
    def _stop(self) -> None:
        self._controller.send(Stop())

    def _choose_method(self) -> None:
        method = self._methods.get(self.method.currentData() or "")
        if method is not None:
            self.method.setToolTip(tip(method))
            self.form.set_method(method)
            self.compare.setEnabled(method.name != BASELINE)
        self._advise()

    def _choose_pretraining(self) -> None:
        way = self._pretrainings.get(self.pretrain_method.currentData() or "")
        if way is not None:
            self.pretrain_method.setToolTip(tip(way))
            self.pretrain_summary.setText(way.summary)
            self.pretrain_form.set_method(way)

    def _advise(self) -> None:
        method = self._methods.get(self.method.currentData() or "")
        if method is not None:
            self.summary.setText(advice(method, len(self._controller.worklist.domains())))

    def _remember(self) -> None:
        """Say of another project when it was trained last."""
        store = self._controller.store
        path = None if store is None else store.path
        if path != self._project:
            self._project = path
            self.curves.setVisible(False)  # they are of the project before
            self.plan.setText("\n".join(last_plan(path) if path else ()) or NO_PLAN)
            self.shut()  # nobody tells any more how a run of that project ends
            self._idle((last_training(path) if path else "") or NEVER)

    # ---- what the engine tells ----

    def _refresh(self) -> None:
        store, state = self._controller.store, self._controller.status.state
        ready = (
            store is not None and not store.read_only and bool(self._controller.worklist.summaries)
        )
        at_work = self._controller.awaits("train", "pretrain", "predict", "export", "simulate")
        free = ready and not self._controller.awaits("train", "pretrain", "simulate")
        self.train_button.setEnabled(free)
        self.pretrain_button.setEnabled(free)
        self.stop_button.setEnabled(at_work and state is not RunnerState.STOPPING)

    def _follow(self, event: Event) -> None:
        if isinstance(event, RunStarted):
            self._start(event)
        elif isinstance(event, StepReported):
            self._step(event)
        elif isinstance(event, Validated):
            beside = event.run == self._baseline
            (self.curves.add_baseline if beside else self.curves.add_validation)(event)
        elif isinstance(event, CriticJudged) and event.run != self._baseline:
            self.curves.add_judgement(event)
        elif isinstance(event, Compared):
            self.curves.compare(event)
        elif isinstance(event, Progress):
            self._count(event)
        elif isinstance(event, RunFinished):
            self._finish(event)
        elif isinstance(event, CommandDone):
            self._done(event)

    def _start(self, event: RunStarted) -> None:
        self._baseline = event.run if event.baseline else ""
        if not event.baseline:
            self.curves.reset()
            self.plan.setText("\n".join(event.plan))
        if event.task is Task.TRAINING:
            self.fresh.setChecked(False)  # else every later round would forget the one before
        self.shut()
        self._began = True
        self._shown_at = -SHOWN_EVERY
        self._doing = event.task.capitalize()
        self._bar = activity_bar(f"{self._doing} {event.method}")
        self._show(0.0, f"{self._doing}: first steps")

    def _step(self, event: StepReported) -> None:
        if event.run != self._baseline:
            self.curves.add_step(event)
        if event.seconds - self._shown_at < SHOWN_EVERY and event.fraction < 1:
            return
        self._shown_at = event.seconds
        beside = "baseline, " if event.run == self._baseline else ""
        words = f"{beside}step {event.step}, {duration(event.seconds_left)} left"
        self._show(event.fraction, words)
        gain = round(100 * event.fraction) - self._bar.n if self._bar is not None else 0
        if self._bar is not None and gain > 0:  # napari runs the event loop at each update
            self._bar.update(gain)

    def _count(self, event: Progress) -> None:
        if event.done < event.total:
            self._counting = event.task
            self._show(event.done / event.total, f"{event.task}: {event.done}/{event.total}")
        elif self._bar is not None:
            self._show(0.0, f"{self._doing}: first steps")
        else:
            self._idle(f"{event.task}: done")

    def _finish(self, event: RunFinished) -> None:
        self.shut()
        beside = "baseline " if event.run == self._baseline else ""
        steps = counted(event.step, "step")
        self._idle(f"{beside}{event.reason}: {steps} in {duration(event.seconds)}")

    def _done(self, event: CommandDone) -> None:
        """Say what did not work or was stopped; the reason is a notification of the controller."""
        if event.command in ("train", "pretrain"):
            if event.message and not self._began:
                self._idle("not started")
            self._began = False
        elif event.command == "simulate":
            self._idle("simulation not done" if event.message else "simulation ended")
        elif event.message and self._bar is None:
            self._idle(f"{event.command}: not done")
        if self._counting and self._bar is None:  # else what was stopped would stand at its count
            self._idle(f"{self._counting}: stopped")

    def _show(self, fraction: float, words: str) -> None:
        self.bar.setRange(0, 1000)
        self.bar.setValue(round(1000 * min(1.0, fraction)))
        self.bar.setFormat(words)

    def _idle(self, words: str) -> None:
        self._counting = ""
        self.bar.setRange(0, 1000)
        self.bar.setValue(0)
        self.bar.setFormat(words)


def duration(seconds: float) -> str:
    """Return a length of time in words, such as "2 min 05 s"."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def _train_button() -> QPushButton:
    return button(
        "Train",
        "Train on everything labelled so far, and on all unlabelled volumes too.\n"
        "Go on labelling meanwhile: new strokes join the training.",
        "train",
    )


def _how_section(body: QWidget) -> Section:
    section = Section("How", body, folded=True, aside=True)
    section.head.setObjectName("pretrain_how")
    section.head.setToolTip("What this way to learn from images does, and its settings")
    return section


def _pretrain_button() -> QPushButton:
    return button(
        "Learn from images first",
        "Let the program look at all volumes, without any label, for the minutes above.\n"
        "The next training with this form then starts from what it learnt, which can help with\n"
        "few labels.\n"
        "Train and label as usual afterwards; nothing you painted is touched.",
        "pretrain",
    )


def _compare_box() -> QCheckBox:
    box = QCheckBox("Compare with supervised")
    box.setObjectName("compare")
    box.setToolTip(
        "Tick this before you press Train. Afterwards a model is trained on your labels alone,\n"
        "for as long and with the same settings, and you see what the unlabelled volumes gave.\n"
        "Both learn from the labels of now; what you draw meanwhile waits for the next training.\n"
        "Takes twice the time. Needs a run that is not stopped, and held-out slices: there are\n"
        "some from the fourth labelled slice on. Neither model learns from these, not even in the\n"
        "second half: train once more without this for the best masks."
    )
    return box


def _fresh_box() -> QCheckBox:
    box = QCheckBox("Start anew")
    box.setObjectName("fresh")
    box.setToolTip(
        "The next training does not go on from what the last one learnt, only from what images\n"
        "alone taught, if anything. Your labels stay as they are.\n"
        "Holds for one training: once that has begun, the box is empty again."
    )
    return box


def _stacked(*parts: QWidget) -> QWidget:
    whole = QWidget()
    layout = QVBoxLayout(whole)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(2)
    for part in parts:
        layout.addWidget(part)
    return whole


def _minutes_box() -> QDoubleSpinBox:
    """Return the field for the length of a training; 0 leaves it to the planner."""
    box = QDoubleSpinBox()
    box.setObjectName("minutes")
    box.setRange(0, 24 * 60)
    box.setDecimals(2)
    box.setSingleStep(0.5)
    box.setSuffix(" min")
    box.setSpecialValueText("auto")
    box.setValue(4)
    box.setToolTip("How long to train. Stop may be pressed earlier. 0: the program chooses.")
    return box
