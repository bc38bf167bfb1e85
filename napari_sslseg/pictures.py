"""Pictures of suggested slices: each is read once for every prediction of its case."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from psygnal import Signal

from napari_sslseg.background import Background
from napari_sslseg.thumbnails import Rgb, read_thumbnails
from sslseg.core.geometry import Plane
from sslseg.core.suggestion import Box, Suggestion
from sslseg.storage import arrays
from sslseg.storage.store import ProjectStore

SIZE = 56
"""Side of a picture in pixels."""

Key = tuple[str, Plane, int, Box | None]
Kept = dict[Key, tuple[Path | None, Rgb]]
"""The prediction that is drawn in a picture, and the picture."""

Found = list[tuple[Suggestion, Rgb]]


class Pictures:
    """Reads pictures beside the window and keeps them until another project is open.

    Emits `ready` with a suggestion and its picture.

    Parameters
    ----------
    background : Background
        Of its own: a picture takes a whole volume, and nobody waits for it.
    """

    ready = Signal(Suggestion, object)

    def __init__(self, background: Background) -> None:
        self._background = background
        self._project: Path | None = None
        self._kept: Kept = {}

    def ask(self, store: ProjectStore, suggestions: tuple[Suggestion, ...]) -> None:
        """Give a picture of each suggestion: what is kept at once, what is missing when read.

        What was asked for before and is not read yet is no longer asked for.
        """
        if store.path != self._project:
            self._project, self._kept = store.path, {}
        self._background.forget()
        given = dict(self._kept)
        self._hand_over([(each, given[key(each)][1]) for each in suggestions if key(each) in given])
        for case in dict.fromkeys(each.case for each in suggestions):
            wanted = [each for each in suggestions if each.case == case]
            work = partial(_read, store, wanted, self._kept, given)
            self._background.submit(work, self._hand_over, _no_picture)

    def _hand_over(self, found: Found) -> None:
        for suggestion, picture in found:
            self.ready.emit(suggestion, picture)


def key(suggestion: Suggestion) -> Key:
    """Return what a picture shows, whatever the reason to suggest it."""
    return (suggestion.case, suggestion.plane, suggestion.slice, suggestion.box)


def _read(store: ProjectStore, wanted: list[Suggestion], kept: Kept, given: Kept) -> Found:
    """Return the pictures of slices of one case that were not `given`; work for the background.

    Only this writes into `kept`: what was read and dropped on the way is not read again.
    """
    case = wanted[0].case
    prediction = arrays.latest_prediction(store.path, case)
    missing = [each for each in wanted if key(each) not in kept or kept[key(each)][0] != prediction]
    if missing:
        slices = tuple((each.plane, each.slice, each.box) for each in missing)
        colors = {label.value: _rgb(label.color) for label in store.classes}
        pictures = read_thumbnails(store.source_path(case), prediction, slices, colors, SIZE)
        new = zip(missing, pictures, strict=True)
        kept.update({key(each): (prediction, picture) for each, picture in new})
    return [
        (each, kept[key(each)][1]) for each in wanted if kept[key(each)] is not given.get(key(each))
    ]


def _rgb(color: str) -> tuple[int, int, int]:
    return (int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16))


def _no_picture(error: Exception) -> None:
    """Leave the place black: what is wrong with the image is told when its case is shown."""
