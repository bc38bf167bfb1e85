"""A project as it is at one moment, for two trainings that are to learn from the same."""

from __future__ import annotations

import sqlite3

from sslseg.core.annotation import SliceRecord
from sslseg.core.volume import CaseRecord, ClassLabel
from sslseg.storage import revisions
from sslseg.storage.store import ProjectStore


class Snapshot(ProjectStore):
    """Cases, classes and annotations of a store as they were when this was made; read only.

    It reads through the connection of that store, which must stay open. Past revisions are never
    changed, so nothing is copied.
    """

    def __init__(self, store: ProjectStore) -> None:
        self.__dict__.update(vars(store))  # the same connection, and the same lock around it
        self._take(None)
        self._only_read = True
        with self._lock:
            self._until = store.revision()
            self._classes, self._cases = store.classes, store.cases()

    def close(self) -> None:
        """Leave the connection to the store that it belongs to."""

    @property
    def classes(self) -> tuple[ClassLabel, ...]:
        """All classes of that moment by value."""
        return self._classes

    def cases(self) -> tuple[CaseRecord, ...]:
        """Return all cases of that moment in the order in which they were added."""
        return self._cases

    def revision(self) -> int:
        """Return the newest revision of that moment."""
        return self._until

    def _newest(self, db: sqlite3.Connection, case: str | None) -> tuple[SliceRecord, ...]:
        return revisions.newest(db, case, self._until)
