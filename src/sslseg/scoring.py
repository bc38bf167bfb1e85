"""The predictions of a project beside true labels, with one case in memory at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sslseg.core.control import Control
from sslseg.core.errors import SslsegError
from sslseg.core.events import Progress
from sslseg.evaluation import Measures, evaluate_case, summarise
from sslseg.export.masks import predicted, prediction_of
from sslseg.storage.arrays import latest_prediction
from sslseg.storage.images import label_files, read_labels
from sslseg.storage.store import ProjectStore


class Scoring:
    """Measures case after case: a CT with its labels takes a hundred megabytes and seconds.

    Parameters
    ----------
    store : ProjectStore
        The project.
    labels : Path
        One label file per case, named like the image.
    cases : sequence of str
        Empty takes every case that has both a prediction and a label file.

    Raises
    ------
    SslsegError
        When an asked case lacks one of them, or no case has both.
    """

    def __init__(self, store: ProjectStore, labels: Path, cases: Sequence[str]) -> None:
        self._store = store
        self._files = label_files(labels)
        self._wanted = _chosen(store, labels, self._files, cases)
        self._measured: dict[str, dict[str, Measures]] = {}

    def events(self, control: Control) -> Iterator[Progress]:
        """Measure, telling each case.

        Raises
        ------
        SslsegError
            When a file cannot be read, or lies on another grid than its image.
        Cancelled
            When the control asks for it; `found` then holds the cases measured so far.
        """
        for done, name in enumerate(self._wanted, start=1):
            control.check()
            self._measured[name] = self._measure(name)
            yield Progress(task="Evaluating", done=done, total=len(self._wanted))

    @property
    def found(self) -> dict[str, Any]:
        """What was measured so far, in the shape of `sslseg.evaluation.evaluate`."""
        return summarise(self._measured, self._store.classes)

    def _measure(self, name: str) -> dict[str, Measures]:
        record = self._store.case(name)
        truth = read_labels(self._files[name], record.geometry, record.reorientation)
        said = predicted(self._store, name)
        return evaluate_case(said, truth, record.geometry.spacing, self._store.classes)


def _chosen(
    store: ProjectStore, labels: Path, files: Mapping[str, Path], cases: Sequence[str]
) -> list[str]:
    """Return the cases to be measured; what lacks is told before the first one is."""
    for name in cases:
        store.case(name)
        if name not in files:
            raise SslsegError(
                f"no label file of case {name} in {labels}",
                "one named like its image",
                "Check the folder and the names.",
            )
        prediction_of(store, name)
    known = (record.name for record in store.cases())
    wanted = list(dict.fromkeys(cases)) or [
        name for name in known if name in files and latest_prediction(store.path, name)
    ]
    if not wanted:
        raise SslsegError(
            f"no case with both a prediction and a label file in {labels}",
            "label files named like the images, and predicted cases",
            "Run `sslseg predict` first, and check the names.",
        )
    return wanted
