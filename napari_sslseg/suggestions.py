"""The ranked list of slices to label next, and the place in it."""

from __future__ import annotations

from psygnal import Signal

from sslseg.core.annotation import SliceKey
from sslseg.core.suggestion import Suggestion


def key_of(suggestion: Suggestion) -> SliceKey:
    """Return which slice a suggestion means."""
    return SliceKey(case=suggestion.case, plane=suggestion.plane, index=suggestion.slice)


class SuggestionQueue:
    """Suggestions that are still open, best first; emits `changed`."""

    changed = Signal()

    def __init__(self) -> None:
        self.items: tuple[Suggestion, ...] = ()
        self._visited: SliceKey | None = None

    def set(self, suggestions: tuple[Suggestion, ...]) -> None:
        """Take a new list; the next step begins at its top."""
        self.items = suggestions
        self._visited = None
        self.changed.emit()

    def drop(self, key: SliceKey) -> None:
        """Take a slice out that was labelled."""
        self._keep(tuple(item for item in self.items if key_of(item) != key))

    def drop_case(self, name: str) -> None:
        """Take all slices of a case out."""
        self._keep(tuple(item for item in self.items if item.case != name))

    def _keep(self, kept: tuple[Suggestion, ...]) -> None:
        """Go on with these; if the last visited one is gone, from the one before it."""
        if len(kept) == len(self.items):
            return
        before = [item for item in self.items[: self.position() + 1] if item in kept]
        self._visited = key_of(before[-1]) if before else None
        self.items = kept
        self.changed.emit()

    def visit(self, suggestion: Suggestion) -> None:
        """Remember which one is on the screen; `advance` goes on from there."""
        self._visited = key_of(suggestion)

    def advance(self) -> Suggestion | None:
        """Return the one after the last visited, going round; None where there is none."""
        if not self.items:
            return None
        suggestion = self.items[(self.position() + 1) % len(self.items)]
        self.visit(suggestion)
        return suggestion

    def position(self) -> int:
        """Return the place of the last visited one, -1 where there is none."""
        keys = [key_of(item) for item in self.items]
        return keys.index(self._visited) if self._visited in keys else -1
