"""The cases with true labels: those that the annotator may touch, and those kept out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sslseg.core.config import SimulationRequest
from sslseg.core.errors import SslsegError
from sslseg.core.volume import CaseRecord
from sslseg.storage.images import label_files, read_labels
from sslseg.storage.schema import DATABASE
from sslseg.storage.store import ProjectStore


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
    files : mapping
        Their label files.
    kept_out : tuple of str
        Cases that no simulated project holds and that all models are scored on; may be empty.
    """

    project: Path
    classes: tuple[str, ...]
    cases: Mapping[str, CaseRecord]
    files: Mapping[str, Path]
    kept_out: tuple[str, ...]

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
        if not cases:
            raise SslsegError(
                f"no label file for any case of {project} in {request.labels}",
                "label files named like the images",
                "Check the folder and the names.",
            )
        kept_out = _kept_out(list(cases), request)
        return cls(project, classes, cases, {name: files[name] for name in cases}, kept_out)

    @property
    def pool(self) -> tuple[str, ...]:
        """The cases of the simulated project."""
        return tuple(name for name in self.cases if name not in self.kept_out)

    @property
    def scored(self) -> tuple[str, ...]:
        """The cases that models are scored on."""
        return self.kept_out or self.pool

    def truth(self, case: str) -> npt.NDArray[np.uint8]:
        """Read the true labels ``(X, Y, Z)`` of a case."""
        record = self.cases[case]
        return read_labels(self.files[case], record.geometry, record.reorientation)

    def facts(self) -> list[Any]:
        """Return what identifies the images, the labels and their parts in the play."""
        inputs = [
            (name, case.sha256, case.domain, self.files[name].stat().st_size)
            for name, case in self.cases.items()
        ]
        return [inputs, self.kept_out]

    def scoring(self) -> dict[str, Any]:
        """Return on what models are scored, for people who read the result."""
        words = (
            "Whole volumes of cases that were no part of the project: no model saw them."
            if self.kept_out
            else "Voxels that nobody had annotated, in the cases of the project itself: their "
            "images were learnt from (transductive)."
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
    unknown = [name for name in request.score_cases if name not in names]
    if unknown:
        raise SslsegError(
            f"case {unknown[0]} to be scored on",
            "a case of the project that has a label file",
            "Check the name.",
        )
    chosen = set(request.score_cases) or set(sorted(names, key=_shuffled)[: request.holdout])
    if len(chosen) >= len(names):
        raise SslsegError(
            f"{len(chosen)} of {len(names)} cases with labels kept out",
            "at least one left to label",
            "Keep fewer cases out, or add cases with labels.",
        )
    return tuple(name for name in names if name in chosen)


def _shuffled(name: str) -> str:
    """Return a key that orders names in the same, arbitrary way for every strategy and seed."""
    return hashlib.sha256(name.encode()).hexdigest()
