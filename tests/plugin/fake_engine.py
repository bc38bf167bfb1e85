"""A real runner without an engine: answers commands by arithmetic, with real files on disk."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy import ndimage

from sslseg.core.annotation import BACKGROUND
from sslseg.core.commands import (
    Command,
    Export,
    Open,
    Predict,
    Pretrain,
    ShowCase,
    Simulate,
    Stop,
    Suggest,
    Train,
)
from sslseg.core.events import (
    ArmCurve,
    CommandDone,
    Compared,
    CriticJudged,
    Event,
    Exported,
    FinishReason,
    Opened,
    PredictionReady,
    Progress,
    RunFinished,
    RunStarted,
    SimulationReported,
    StepReported,
    SuggestionsReady,
    Task,
    Validated,
    WorkerReady,
)
from sslseg.core.geometry import Plane
from sslseg.core.prediction import CriticHealth, Prediction, PredictionInfo
from sslseg.core.suggestion import Suggestion
from sslseg.runner import RunnerState, RunnerStatus
from sslseg.storage.arrays import save_prediction
from sslseg.storage.images import read_volume
from sslseg.storage.store import ProjectStore

HEALTH = CriticHealth(
    auc=0.81,
    healthy=True,
    words="Confidence can be used (AUC 0.81).",
    accuracy_real=0.8,
    accuracy_fake=0.7,
    diversity=0.05,
)
BOX = (4, 9, 5, 11)
"""Rows and columns that every suggestion is about."""


class FakeRunner:
    """Does one event of its work at each poll, so that a test can look in between."""

    def __init__(self, steps: int = 20) -> None:
        self.sent: list[Command] = []
        self.closed = self.killed = self.silent = False
        self.steps = steps
        self._project = Path()
        self._shown = ""
        self._stopping = False
        self._versions = 0
        self._run = ""
        self._work: deque[Iterator[Event]] = deque()

    @property
    def status(self) -> RunnerStatus:
        state = RunnerState.READY
        if self.closed:
            state = RunnerState.CLOSED
        elif self._run:
            state = RunnerState.STOPPING if self._stopping else RunnerState.RUNNING
        return RunnerStatus(state, self._run, "cpu", "Training" if self._run else "", self.silent)

    def send(self, command: Command) -> None:
        self.sent.append(command)
        if isinstance(command, ShowCase):
            self._shown = command.case
        elif isinstance(command, Stop):
            self._stopping = bool(self._work)
        else:
            self._work.append(self._perform(command))

    def poll(self) -> list[Event]:
        while self._work:
            event = next(self._work[0], None)
            if event is not None:
                return [event]
            self._work.popleft()
        return []

    def kill(self) -> None:
        self.killed, self.silent = True, False

    def close(self) -> None:
        self.closed = True

    def _perform(self, command: Command) -> Iterator[Event]:
        if isinstance(command, Open):
            self._project = Path(command.project)
            yield WorkerReady(device="cpu")
            yield Opened(project=command.project)
        elif isinstance(command, Train):
            yield from self._train(command)
            if command.request.baseline:
                yield from self._compare()
        elif isinstance(command, Simulate):
            yield from self._simulate(command)
        elif isinstance(command, Pretrain):
            yield from self._pretrain(command)
        elif isinstance(command, Predict):
            for case in self._cases():
                yield self._predict(case)
        elif isinstance(command, Suggest):
            yield self._suggest(command.count)
        elif isinstance(command, Export):
            yield Exported(files=(f"{command.out}/a.nii.gz",))
        yield CommandDone(command=command.kind)

    def _train(self, command: Train) -> Iterator[Event]:
        if self._stopping:  # before it began
            self._stopping = False
            return
        self._run = f"run-{len(self.sent)}"
        run = self._run
        yield RunStarted(
            run=run,
            method=command.request.method or "mean-teacher",
            device="cpu",
            plan=(
                "2.5-D residual U-Net with 9 neighbouring slices: the volumes are small.",
                "Patches of 48 x 48, 8 at a time, width 16: fits 2 cores.",
            ),
            steps=self.steps,
            minutes=None,
        )
        step = 0
        for step in range(1, self.steps + 1):
            if self._stopping:
                break
            done = step / self.steps
            yield StepReported(
                run=run,
                step=step,
                fraction=done,
                seconds=step * 0.3,
                seconds_left=(self.steps - step) * 0.3,
                terms={
                    "supervised": 1.2 * np.exp(-3 * done) + 0.08 * np.sin(9 * step),
                    "consistency": 0.4 * done * np.exp(-done),
                    "adversarial": 0.15 + 0.03 * np.cos(5 * step),
                },
                learning_rate=1e-3,
            )
            if step % 5 == 0:
                mean = 0.85 * (1 - np.exp(-4 * done))
                dice = {"nucleus": mean + 0.02, "capsule": mean - 0.02}
                without = (mean - 0.03, mean + 0.05)
                yield Validated(run=run, step=step, dice=dice, mean=mean, slices=2, without=without)
                yield self._predict(self._shown)
        yield CriticJudged(run=run, step=step, health=HEALTH)
        yield self._predict(self._shown)
        yield self._suggest(12)
        reason = FinishReason.STOPPED if self._stopping else FinishReason.COMPLETED
        self._run, self._stopping = "", False
        yield RunFinished(run=run, reason=reason, step=step, seconds=step * 0.3)

    def _compare(self) -> Iterator[Event]:
        """A baseline of three steps, a tenth worse than a method that reached 0.8."""
        run = f"baseline-{len(self.sent)}"
        started = {"run": run, "method": "supervised", "device": "cpu", "plan": ("Labels alone.",)}
        yield RunStarted(**started, steps=3, minutes=None, baseline=True)
        yield StepReported(
            run=run,
            step=3,
            fraction=1,
            seconds=1,
            seconds_left=0,
            terms={"supervised": 9.0},
            learning_rate=1e-3,
        )
        theirs, ours = (
            Validated(run=run, step=3, dice={}, mean=mean, slices=2, without=(mean - 0.1, mean))
            for mean in (0.7, 0.8)
        )
        yield theirs
        yield CriticJudged(run=run, step=3, health=HEALTH)
        yield RunFinished(run=run, reason=FinishReason.COMPLETED, step=3, seconds=1)
        yield Compared(method="mean-teacher", measured=ours, baseline=theirs)

    def _simulate(self, command: Simulate) -> Iterator[Event]:
        """Each round adds 0.1 to the Dice of the first strategy, 0.2 to that of the others."""
        asked = command.request
        ways = [(s, m) for s in asked.strategies for m in asked.methods]
        curves: list[ArmCurve] = []
        for number, (strategy, method) in enumerate(ways):
            curves.append(ArmCurve(strategy=strategy, method=method, seed=0))
            for done in range(1, asked.rounds + 1):
                if self._stopping:
                    self._stopping = False
                    return
                count = range(1, done + 1)
                curves[-1] = ArmCurve(
                    strategy=strategy,
                    method=method,
                    seed=0,
                    slices=tuple(asked.slices * n for n in count),
                    minutes=tuple(1.5 * n for n in count),
                    dice=tuple((0.2 if number else 0.1) * n for n in count),
                )
                yield Progress(task="Simulating, in %", done=50, total=100)
                yield SimulationReported(
                    curves=tuple(curves),
                    done=asked.rounds * number + done,
                    total=asked.rounds * len(ways),
                    words=f"{method}, {strategy}.",
                    report="r.json",
                    picture="p.svg",
                )

    def _pretrain(self, command: Pretrain) -> Iterator[Event]:
        self._run = run = f"run-{len(self.sent)}"
        plan = ("No label is looked at.",)
        yield RunStarted(
            run=run,
            task=Task.PRETRAINING,
            method=command.request.method or "masked",
            device="cpu",
            plan=plan,
            steps=self.steps,
            minutes=None,
        )
        step = 0
        for step in range(1, self.steps + 1):
            if self._stopping:
                break
            done = step / self.steps
            yield StepReported(
                run=run,
                step=step,
                fraction=done,
                seconds=step * 0.3,
                seconds_left=(self.steps - step) * 0.3,
                terms={"reconstruction": float(np.exp(-done))},
                learning_rate=1e-3,
            )
        reason = FinishReason.STOPPED if self._stopping else FinishReason.COMPLETED
        self._run, self._stopping = "", False
        yield RunFinished(run=run, reason=reason, step=step, seconds=step * 0.3)

    def _cases(self) -> list[str]:
        with ProjectStore.open(self._project, read_only=True) as store:
            return [case.name for case in store.cases()]

    def _predict(self, case: str) -> PredictionReady:
        """Predict a ball in the middle: class 1 inside, class 2 around it."""
        with ProjectStore.open(self._project, read_only=True) as store:
            shape = read_volume(store.source_path(case)).data.shape
            classes = tuple(label.name for label in store.classes)
        labels = ball_labels(shape)
        self._versions += 1
        edge = ndimage.gaussian_filter(
            np.abs(ndimage.laplace((labels > 0).astype(np.float32))), 1.0
        )
        uncertainty = np.clip(edge / edge.max(), 0, 1).astype(np.float16)
        probability = np.stack([labels == value for value in range(3)]).astype(np.float16)
        prediction = Prediction(
            labels=labels,
            probability=probability,
            uncertainty=uncertainty,
            mutual_information=uncertainty,
            confidence=(1 - uncertainty).astype(np.float16),
            info=PredictionInfo(
                case=case,
                version=f"v{self._versions:03d}",
                run=self._run,
                method="mean-teacher",
                step=self._versions,
                time=time.time(),
                classes=classes,
                critic=HEALTH,
            ),
        )
        folder = save_prediction(self._project, prediction, {})
        return PredictionReady(case=case, version=prediction.info.version, folder=str(folder))

    def _suggest(self, count: int) -> SuggestionsReady:
        cases = self._cases()
        found = [
            Suggestion(
                case=cases[(i + 2) % len(cases)],
                plane=list(Plane)[i % 3],
                slice=3 + i,
                score=1.0 / (1 + i),
                reason="two versions of the model disagree about capsule; 14 mm from the nearest "
                "labelled slice",
                box=BOX,
            )
            for i in range(min(count, 12))  # its volumes have no more slices
        ]
        return SuggestionsReady(suggestions=tuple(found))


def ball_labels(shape: tuple[int, ...]) -> np.ndarray:
    """Return ``(X, Y, Z)`` uint8: 1 within a sixth of the volume's middle, 2 within a quarter."""
    grids = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij")
    radius = np.sqrt(sum(grid**2 for grid in grids))
    labels = np.zeros(shape, np.uint8)
    labels[radius < 0.5] = 2
    labels[radius < 0.33] = 1
    assert BACKGROUND not in labels
    return labels
