"""The cases with true labels: those that the annotator may touch, and those kept out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sslseg.core.config import SimulationRequest
from sslseg.core.control import Control
from sslseg.core.errors import SslsegError
from sslseg.core.events import Progress
from sslseg.core.seeds import derived
from sslseg.core.volume import CaseRecord, ClassLabel
from sslseg.storage.images import fingerprint, label_files, read_labels
from sslseg.storage.revisions import refuse_unknown
from sslseg.storage.schema import DATABASE
from sslseg.storage.store import ProjectStore

CHECKING = "Checking labels"
ENOUGH, ONE_IN = 10, 5
"""From so many labelled cases on one in five, at least two, is kept out to be scored on."""


@dataclass(frozen=True)
class World:
    """What a simulation plays on; nothing in it is ever written to.

    Parameters
    ----------
    project : Path
        The user's project; results are files of their own in its folder.
    classes : tuple of str
        Foreground classes in order of value.
    cases : mapping
        All cases with true labels by name, their sources absolute.
    files, prints : mapping
        Their label files, and the fingerprints of these.
    kept_out : tuple of str
        Cases that no simulated project holds and that all models are scored on; may be empty.
    size : int or None
        How many of the others a simulated project holds; None for all.
    unlabelled : int
        Cases of the project without a label file, which take no part.
    """

    project: Path
    classes: tuple[str, ...]
    cases: Mapping[str, CaseRecord]
    files: Mapping[str, Path]
    prints: Mapping[str, str]
    kept_out: tuple[str, ...]
    size: int | None = None
    unlabelled: int = 0

    @classmethod
    def of(cls, project: Path, request: SimulationRequest) -> World:
        """Find the cases that take part.

        Raises
        ------
        SslsegError
            When no case has labels, a case to be kept out is unknown, or none would be left.
        """
        files = label_files(Path(request.labels))
        with ProjectStore.open(project, read_only=True) as store:
            cases = {
                case.name: case.model_copy(
                    update={"source": str(store.source_path(case.name).absolute())}
                )
                for case in store.cases()
                if case.name in files
            }
            classes = tuple(label.name for label in store.classes)
            unlabelled = len(store.cases()) - len(cases)
        if not cases:
            raise SslsegError(
                f"no label file for any case of {project} in {request.labels}",
                "label files named like the images",
                "Check the folder and the names.",
            )
        kept_out = _kept_out(list(cases), request)
        _check_pool(len(cases) - len(kept_out), request.pool)
        chosen = {name: files[name] for name in cases}
        prints = {name: fingerprint(file) for name, file in chosen.items()}
        return cls(project, classes, cases, chosen, prints, kept_out, request.pool, unlabelled)

    @property
    def taking_part(self) -> str:
        """How many cases take part, in words; "" where all do."""
        if not self.unlabelled:
            return ""
        every = len(self.cases) + self.unlabelled
        return f"{len(self.cases)} of {every} cases have labels and take part."

    @property
    def free(self) -> tuple[str, ...]:
        """The cases that a simulated project may hold."""
        return tuple(name for name in self.cases if name not in self.kept_out)

    def pool(self, seed: int) -> tuple[str, ...]:
        """Return the cases of the simulated projects of one seed."""
        if self.size is None:
            return self.free
        rng = np.random.default_rng(derived(seed, 0, "cases"))
        drawn = set(rng.permutation(len(self.free))[: self.size].tolist())
        return tuple(name for number, name in enumerate(self.free) if number in drawn)

    @property
    def scored(self) -> tuple[str, ...]:
        """The cases that models are scored on; none where each seed has its own."""
        return self.kept_out or (self.free if self.size is None else ())

    def truth(self, case: str) -> npt.NDArray[np.uint8]:
        """Read the true labels ``(X, Y, Z)`` of a case."""
        record = self.cases[case]
        return read_labels(self.files[case], record.geometry, record.reorientation)

    def check(self, names: Iterable[str], control: Control) -> Iterator[Progress]:
        """Read the labels of these cases, so that a bad file is told before hours of training.

        Raises
        ------
        SslsegError
            When a file is unreadable, on another grid than its image, or has a value of no class.
        Cancelled
            When the control asks for it.
        """
        classes = [
            ClassLabel(value=value, name=name, color="")
            for value, name in enumerate(self.classes, start=1)
        ]
        wanted = list(names)
        for done, name in enumerate(wanted, start=1):
            control.check()
            refuse_unknown(self.truth(name), classes, str(self.files[name]))
            yield Progress(task=CHECKING, done=done, total=len(wanted))

    def facts(self) -> list[Any]:
        """Return what identifies the images, the labels and their parts in the play."""
        inputs = [
            (name, case.sha256, case.domain, self.prints[name]) for name, case in self.cases.items()
        ]
        return [inputs, self.classes, self.kept_out, self.size]

    def scoring(self) -> dict[str, Any]:
        """Return on what models are scored, for people who read the result."""
        words = (
            "Whole volumes of cases that were no part of the project: no model saw them."
            if self.kept_out
            else "Whole volumes of the project's own cases (`cases` of each arm), by the model's "
            "prediction, also where slices were annotated, so that all arms of a seed are measured "
            "on the same voxels. Their images were learnt from (transductive)."
        )
        return {
            "cases": list(self.scored),
            "transductive": not self.kept_out,
            "words": words,
        }


def make_project(folder: Path, world: World, names: Sequence[str]) -> None:
    """Make a project of these cases, or finish making it."""
    if not (folder / DATABASE).exists():
        ProjectStore.create(folder, world.classes).close()
    with ProjectStore.open(folder) as store:
        if not store.cases():
            store.add_cases([world.cases[name] for name in names])


def _kept_out(names: Sequence[str], request: SimulationRequest) -> tuple[str, ...]:
    """Return the cases to be kept out: the named ones, else some that follow from their names."""
    if request.score_cases and request.holdout is not None:
        raise SslsegError("--holdout and --score-cases", "one of them", "Leave one out.")
    unknown = [name for name in request.score_cases if name not in names]
    if unknown:
        raise SslsegError(
            f"case {unknown[0]} to be scored on",
            "a case of the project that has a label file",
            "Check the name.",
        )
    count = _automatic(len(names)) if request.holdout is None else request.holdout
    chosen = set(request.score_cases) or set(sorted(names, key=_shuffled)[:count])
    if len(chosen) >= len(names):
        raise SslsegError(
            f"{len(chosen)} of {len(names)} cases with labels kept out",
            "at least one left to label",
            "Keep fewer cases out, or add cases with labels.",
        )
    return tuple(name for name in names if name in chosen)


def _automatic(count: int) -> int:
    """Return how many of `count` cases are kept out where nobody says."""
    return max(2, count // ONE_IN) if count >= ENOUGH else 0


def _check_pool(there: int, wanted: int | None) -> None:
    if wanted is not None and wanted > there:
        raise SslsegError(
            f"{wanted} cases for the annotator",
            f"at most the {there} that have labels and are not kept out",
            "Ask for fewer with --pool, or keep fewer out.",
        )


def _shuffled(name: str) -> str:
    """Return a key that orders names in the same, arbitrary way for every strategy and seed."""
    return hashlib.sha256(name.encode()).hexdigest()
