"""Masks in the format of the images they belong to (NIfTI for DICOM), exactly on their grid."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sslseg.core.control import Control
from sslseg.core.events import Event, Exported, Progress
from sslseg.export.masks import MaskSource, cases_with_masks, mask
from sslseg.storage.arrays import make_folder
from sslseg.storage.images import label_ending, refuse_images_folder, write_labels
from sslseg.storage.store import ProjectStore


def export_nifti(
    store: ProjectStore, out: Path, what: MaskSource, control: Control
) -> Iterator[Event]:
    """Write one mask for each case that has one, named after its image.

    Voxels are uint8 class numbers; background, and in annotations everything unlabelled, is 0.

    Parameters
    ----------
    store : ProjectStore
        The project.
    out : Path
        Folder; made if missing. Files of the same name are replaced.
    what : MaskSource
        Whose masks.
    control : Control
        Asked between cases.

    Yields
    ------
    Progress, then one Exported

    Raises
    ------
    SslsegError
        If there is nothing to export, a source is gone or changed, the folder is that of the
        images, or the disk is full.
    Cancelled
        If a stop was asked for; the masks already written are whole.
    """
    cases = cases_with_masks(store, what)
    sources = {name: store.source_path(name) for name in cases}
    targets = {name: out / f"{name}{label_ending(source)}" for name, source in sources.items()}
    for name in cases:
        refuse_images_folder(out, sources[name])
    make_folder(out)
    for done, name in enumerate(cases):
        yield Progress(task="exporting", done=done, total=len(cases))
        control.check()
        write_labels(targets[name], mask(store, name, what), store.case(name), sources[name])
    yield Progress(task="exporting", done=len(cases), total=len(cases))
    yield Exported(files=tuple(str(path) for path in targets.values()))
