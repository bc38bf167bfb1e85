"""nnU-Net's raw data layout, with its ignore label for everything that nobody labelled.

Cases with masks become ``imagesTr`` and ``labelsTr``, all others ``imagesTs``. Sparse annotations
can then be trained on by nnU-Net v2 as they are.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import numpy as np

from sslseg.core.control import Control
from sslseg.core.errors import SslsegError
from sslseg.core.events import Event, Exported, Progress
from sslseg.core.volume import CaseRecord
from sslseg.export.masks import MaskSource, cases_with_masks, target_mask
from sslseg.storage.arrays import make_folder, write_atomic
from sslseg.storage.images import read_volume, write_labels, write_volume
from sslseg.storage.store import ProjectStore

_ENDING = ".nii.gz"


def export_nnunet(
    store: ProjectStore, out: Path, what: MaskSource, control: Control
) -> Iterator[Event]:
    """Write a dataset folder that nnU-Net v2 reads; call it ``Dataset001_Name`` for its use.

    Parameters
    ----------
    store : ProjectStore
        The project.
    out : Path
        The dataset folder; made if missing. Files of the same name are replaced.
    what : MaskSource
        Whose masks to train on.
    control : Control
        Asked between cases.

    Yields
    ------
    Progress, then one Exported

    Raises
    ------
    SslsegError
        If there is nothing to export, the folder holds a case on the other side, a source is gone
        or changed, or the disk is full.
    Cancelled
        If a stop was asked for; ``dataset.json``, which is written last, is then missing.
    """
    labelled = cases_with_masks(store, what)
    records = store.cases()
    _refuse_both_sides(out, records, labelled)
    folder = make_folder(out)
    ignore = len(store.classes) + 1
    uses_ignore = False
    files: list[str] = []
    for done, record in enumerate(records):
        yield Progress(task="exporting", done=done, total=len(records))
        control.check()
        source = store.source_path(record.name)
        part = "Tr" if record.name in labelled else "Ts"
        image = folder / f"images{part}" / f"{record.name}_0000{_ENDING}"
        write_volume(image, read_volume(source).data, record, source)
        files.append(str(image))
        if part == "Tr":
            path = folder / "labelsTr" / f"{record.name}{_ENDING}"
            target = target_mask(store, record.name, what, ignore)
            uses_ignore = uses_ignore or bool(np.any(target == ignore))
            write_labels(path, target, record, source)
            files.append(str(path))
    facts = folder / "dataset.json"
    write_atomic(facts, _dataset(store, records, len(labelled), ignore if uses_ignore else None))
    yield Progress(task="exporting", done=len(records), total=len(records))
    yield Exported(files=(*files, str(facts)))


def _refuse_both_sides(
    folder: Path, records: Sequence[CaseRecord], labelled: Collection[str]
) -> None:
    """Raise SslsegError where a case would be learnt from and tested on, or keep an old mask."""
    for record in records:
        name = record.name
        image = folder / f"images{'Ts' if name in labelled else 'Tr'}" / f"{name}_0000{_ENDING}"
        mask = folder / "labelsTr" / f"{name}{_ENDING}"
        stale = image if name in labelled or not mask.exists() else mask
        if stale.exists():
            raise SslsegError(
                f"{stale}, where case {name} does not belong any more",
                "a folder in which every case is on one side",
                "Export into a new folder, or remove that file.",
            )


def _dataset(
    store: ProjectStore, records: tuple[CaseRecord, ...], training: int, ignore: int | None
) -> bytes:
    """Return ``dataset.json``; nnU-Net wants its ignore label to be the highest."""
    labels = {"background": 0} | {label.name: label.value for label in store.classes}
    if ignore is not None:
        labels["ignore"] = ignore
    all_ct = all(record.modality == "CT" for record in records)
    content = {
        "channel_names": {"0": "CT" if all_ct else "MRI"},
        "labels": labels,
        "numTraining": training,
        "file_ending": _ENDING,
    }
    return json.dumps(content, indent=2).encode()
