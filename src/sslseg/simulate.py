"""The simulated annotator: the whole loop on a labelled folder, round by round, with resume.

It works on a project of its own under ``PROJECT/simulations/`` and never touches the user's
annotations. Each finished round is one line of ``PROJECT/simulation-<hash>.jsonl``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from sslseg.core.annotation import IGNORE, SliceKey, SliceState
from sslseg.core.config import TrainRequest
from sslseg.core.control import Control
from sslseg.core.errors import SslsegError
from sslseg.core.events import Event
from sslseg.core.geometry import take_slice
from sslseg.core.volume import CaseRecord
from sslseg.evaluation import dice
from sslseg.session import Session
from sslseg.storage.arrays import latest_prediction, load_array
from sslseg.storage.images import case_name, is_image, read_labels
from sslseg.storage.schema import DATABASE
from sslseg.storage.store import ProjectStore
from sslseg.suggest.acquisition import outline_mm
from sslseg.suggest.cost import drawing_seconds
from sslseg.terminal import Summary

AUTHOR = "simulated annotator"
Labels = npt.NDArray[np.uint8]
Follow = Callable[[Iterator[Event]], Summary]


class Round(BaseModel):
    """What one round did and how good the model was after it.

    Parameters
    ----------
    round : int
        From 1.
    slices : tuple of SliceKey
        Labelled in this round.
    annotated : int
        Slices labelled so far.
    dice : mapping
        Class name to mean Dice over the cases, on unannotated voxels only; "mean" over classes.
    annotation_seconds, train_seconds : float
        Estimated for the human, measured for the machine; of this round.
    """

    model_config = ConfigDict(frozen=True)
    round: int
    slices: tuple[SliceKey, ...]
    annotated: int
    dice: dict[str, float | None]
    annotation_seconds: float
    train_seconds: float

    def words(self) -> str:
        """Return one line for the screen."""
        mean = self.dice["mean"]
        value = "undefined" if mean is None else f"{mean:.3f}"
        return f"Round {self.round}: {self.annotated} slices labelled, Dice {value}."


@dataclass(frozen=True)
class Plan:
    """What to simulate.

    Parameters
    ----------
    rounds, slices : int
        How many rounds, and slices in each.
    strategy : str
        How slices are chosen.
    request : TrainRequest
        How each round trains; the seed grows by one each round.
    """

    rounds: int
    slices: int
    strategy: str
    request: TrainRequest

    def facts(self) -> dict[str, Any]:
        """Return what identifies the simulation; more rounds continue the same one."""
        request = self.request.model_dump(mode="json", exclude={"device"})
        return {"slices_per_round": self.slices, "strategy": self.strategy, **request}


def replay(
    project: Path, labels: Path, plan: Plan, control: Control, follow: Follow
) -> Iterator[Round]:
    """Yield all rounds in order, those of an earlier, interrupted call first.

    Parameters
    ----------
    project : Path
        The user's project; its cases that have a label file take part.
    labels : Path
        A folder with one label file per case, named like its image.
    plan : Plan
        What to simulate.
    control : Control
        Stops at the next step; the unfinished round is done again next time.
    follow : callable
        Tells the events of training and prediction, and returns what they said.

    Raises
    ------
    SslsegError
        When no case has labels, or a training fails.
    Cancelled
        When the control asks for it.
    """
    with ProjectStore.open(project, read_only=True) as store:
        files = _label_files(labels)
        known = {case.name: case for case in store.cases() if case.name in files}
        sources = {name: store.source_path(name) for name in known}
        classes = [label.name for label in store.classes]
    if not known:
        raise SslsegError(
            f"no label file for any case of {project} in {labels}",
            "label files named like the images",
            "Check the folder and the names.",
        )
    name = _identity(plan, known, files)
    scratch = project / "simulations" / name
    _make_scratch(scratch, classes, known, sources)
    log = project / f"simulation-{name}.jsonl"
    truths = _Truths({case: files[case] for case in known}, known)
    with Session(scratch) as session:
        done = _rounds_in(log)[: plan.rounds]
        yield from done
        for number in range(len(done) + 1, plan.rounds + 1):
            one = _one_round(session, truths, plan, number, _rounds_in(log), control, follow)
            with log.open("a", encoding="utf-8") as stream:
                stream.write(one.model_dump_json() + "\n")
            yield one


class _Truths(Mapping[str, Labels]):
    """True labels ``(X, Y, Z)`` by case, read when asked for."""

    def __init__(self, files: Mapping[str, Path], cases: Mapping[str, CaseRecord]) -> None:
        self._files = files
        self._cases = cases

    def __getitem__(self, case: str) -> Labels:
        record = self._cases[case]
        return read_labels(self._files[case], record.geometry, record.reorientation)

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)


def _one_round(
    session: Session,
    truths: _Truths,
    plan: Plan,
    number: int,
    before: list[Round],
    control: Control,
    follow: Follow,
) -> Round:
    keys = _annotate(session, truths, plan, number, before)
    request = plan.request.model_copy(update={"seed": plan.request.seed + number - 1})
    trained = follow(session.train(request, control))
    control.check()
    if trained.failure:
        raise SslsegError(
            f"a training that failed: {trained.failure}", "one that ends well", "Simulate again."
        )
    follow(session.predict((), control))
    return Round(
        round=number,
        slices=keys,
        annotated=len(session.store.slices()),
        dice=_unannotated_dice(session, truths),
        annotation_seconds=_annotation_seconds(session, keys),
        train_seconds=trained.finished.seconds if trained.finished else 0.0,
    )


def _annotate(
    session: Session, truths: _Truths, plan: Plan, number: int, before: list[Round]
) -> tuple[SliceKey, ...]:
    """Label the round's slices; those an interrupted call labelled already count."""
    old = {key for one in before for key in one.slices}
    keys = [record.key for record in session.store.slices() if record.key not in old]
    missing = plan.slices - len(keys)
    seed = plan.request.seed + number - 1
    if missing > 0:
        for found in session.suggest(missing, plan.strategy, seed):
            truth = take_slice(truths[found.case], found.plane, found.slice)
            drawn = {found.slice: (np.ascontiguousarray(truth), SliceState.COMPLETE)}
            session.store.save_slices(found.case, found.plane, drawn, author=AUTHOR)
            keys.append(SliceKey(case=found.case, plane=found.plane, index=found.slice))
    return tuple(keys)


def _annotation_seconds(session: Session, keys: tuple[SliceKey, ...]) -> float:
    """Return the estimated time of a human for these slices, by the length of their outlines."""
    seconds = 0.0
    for key in keys:
        labels = take_slice(session.store.annotation(key.case).labels, key.plane, key.index)
        alone = np.expand_dims(labels, key.plane.axis)
        spacing = session.store.case(key.case).geometry.spacing
        outline = float(outline_mm(alone, key.plane, spacing)[0])
        seconds += float(drawing_seconds(outline))
    return round(seconds, 1)


def _unannotated_dice(session: Session, truths: _Truths) -> dict[str, float | None]:
    """Return class name to mean Dice over the cases where nobody annotated; and "mean"."""
    values: dict[str, list[float]] = {label.name: [] for label in session.store.classes}
    for case, truth in truths.items():
        folder = latest_prediction(session.store.path, case)
        assert folder is not None
        predicted = load_array(folder, "labels")
        unknown = session.store.annotation(case).target() == IGNORE
        for label in session.store.classes:
            value = dice((predicted == label.value)[unknown], (truth == label.value)[unknown])
            if value is not None:
                values[label.name].append(value)
    means = {name: float(np.mean(found)) if found else None for name, found in values.items()}
    defined = [mean for mean in means.values() if mean is not None]
    return {**means, "mean": float(np.mean(defined)) if defined else None}


def _rounds_in(log: Path) -> list[Round]:
    """Return the finished rounds; a line cut short by a crash is dropped from the file."""
    if not log.exists():
        return []
    text = log.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        log.write_text(whole, encoding="utf-8")
    return [Round.model_validate_json(line) for line in whole.splitlines()]


def _identity(plan: Plan, cases: Mapping[str, CaseRecord], files: Mapping[str, Path]) -> str:
    """Return a short hash of the plan, the images and the label files taking part."""
    inputs = [(name, case.sha256, files[name].stat().st_size) for name, case in cases.items()]
    facts = json.dumps([plan.facts(), inputs], sort_keys=True)
    return hashlib.sha256(facts.encode()).hexdigest()[:10]


def _make_scratch(
    folder: Path,
    classes: list[str],
    cases: Mapping[str, CaseRecord],
    sources: Mapping[str, Path],
) -> None:
    """Make the simulation's own project, or finish making it."""
    if not (folder / DATABASE).exists():
        ProjectStore.create(folder, classes).close()
    records = [
        case.model_copy(update={"source": str(sources[name].absolute())})
        for name, case in cases.items()
    ]
    with ProjectStore.open(folder) as store:
        if not store.cases():
            store.add_cases(records)


def _label_files(folder: Path) -> dict[str, Path]:
    """Return the label files of a folder by case name."""
    if not folder.is_dir():
        raise SslsegError(f"no folder {folder}", "a folder of label files", "Check the path.")
    return {case_name(path): path for path in sorted(folder.iterdir()) if is_image(path)}
