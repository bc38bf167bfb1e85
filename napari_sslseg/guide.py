"""Keeps the list of suggestions true while slices are labelled."""

from __future__ import annotations

from napari_sslseg.case_view import CaseView
from napari_sslseg.labels_adapter import Slices
from napari_sslseg.suggestions import SuggestionQueue
from sslseg.core.annotation import SliceKey, SliceState
from sslseg.core.geometry import Plane
from sslseg.core.suggestion import Suggestion

FEW = 3
"""Suggestions left from which on new ones are wanted."""


class Guide:
    """Takes a suggestion out once its slice was labelled and the user has gone on from it.

    A complete slice leaves the list at once, a partial one stays while it is on the screen: more
    strokes may follow. `wants_more` tells that few are left since then.
    """

    def __init__(self, view: CaseView, queue: SuggestionQueue) -> None:
        self._view, self._queue = view, queue
        self._here: SliceKey | None = None
        self._state = SliceState.NONE
        self.wants_more = False
        view.moved.connect(self._look)

    def take(self, suggestions: tuple[Suggestion, ...]) -> None:
        """Begin a new list; whatever was wanted before is answered by it."""
        self._queue.set(suggestions)
        self.wants_more = False

    def saved(self, case: str, plane: Plane, slices: Slices) -> None:
        """Slices of a plane are on disk."""
        for index, (_, state) in slices.items():
            key = SliceKey(case=case, plane=plane, index=index)
            gone = state is not SliceState.NONE and key != self._shown()
            if gone or state is SliceState.COMPLETE:
                self._drop(key)

    def leave(self) -> None:
        """The user wants to go on from the slice on the screen."""
        self._look()
        if self._here is not None and self._state is not SliceState.NONE:
            self._drop(self._here)

    def _look(self) -> None:
        shown = self._shown()
        if shown != self._here and self._here is not None and self._state is not SliceState.NONE:
            self._drop(self._here)
        self._here, self._state = shown, self._view.state

    def _shown(self) -> SliceKey | None:
        case, slices = self._view.case, self._view.slices
        if case is None:
            return None
        return SliceKey(case=case.name, plane=slices.plane, index=slices.index)

    def _drop(self, key: SliceKey) -> None:
        before = len(self._queue.items)
        self._queue.drop(key)
        self.wants_more |= len(self._queue.items) < min(before, FEW)
