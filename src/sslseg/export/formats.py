"""Which formats there are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from sslseg.core.control import Control
from sslseg.core.errors import SslsegError
from sslseg.core.events import Event, Exported
from sslseg.export.masks import MaskSource
from sslseg.export.nifti import export_nifti
from sslseg.export.nnunet import export_nnunet
from sslseg.storage.runs import behind
from sslseg.storage.store import ProjectStore

Exporter = Callable[[ProjectStore, Path, MaskSource, Control], Iterator[Event]]

FORMATS: dict[str, Exporter] = {"nifti": export_nifti, "nnunet": export_nnunet}


def export(
    store: ProjectStore, out: Path, form: str, what: str, control: Control
) -> Iterator[Event]:
    """Write `what` of all cases to the folder `out` in the format called `form`.

    Raises
    ------
    SslsegError
        For an unknown format or content, where a file is in the way, or when there is nothing to
        write.
    """
    if form not in FORMATS:
        raise SslsegError(
            f"export format {form!r}", "one of " + ", ".join(FORMATS), "Choose one of these."
        )
    sources = [source.value for source in MaskSource]
    if what not in sources:
        raise SslsegError(
            f"content {what!r}", "one of " + ", ".join(sources), "Choose one of these."
        )
    in_the_way = next((path for path in (out, *out.parents) if path.is_file()), None)
    if in_the_way is not None:
        raise SslsegError(
            f"{in_the_way}, which is a file", "a folder to export to", "Choose another folder."
        )
    before = {str(path) for pattern in ("*", "*/*") for path in out.glob(pattern)}
    for event in FORMATS[form](store, out, MaskSource(what), control):
        if isinstance(event, Exported):
            replaced = sum(file in before for file in event.files)
            yield event.model_copy(update={"replaced": replaced, **_behind(store, what)})
        else:
            yield event


def _behind(store: ProjectStore, what: str) -> dict[str, int]:
    """Return what an export of predictions owes to its reader: how many are not of this model."""
    if what != MaskSource.PREDICTIONS:
        return {}
    older, missing = behind(store.path, [record.name for record in store.cases()])
    return {"older": older, "missing": missing}
