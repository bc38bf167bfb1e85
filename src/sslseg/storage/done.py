"""Which cases the user is through with: a setting of the project."""

from __future__ import annotations

from collections.abc import Iterable

from sslseg.storage.store import ProjectStore

KEY = "done_cases"


def done_cases(store: ProjectStore) -> frozenset[str]:
    """Return the names of the cases marked as done."""
    found = store.setting(KEY)
    return frozenset(found if isinstance(found, list) else ())


def mark_done(store: ProjectStore, names: Iterable[str]) -> None:
    """Keep the names of all cases that are done."""
    store.set_setting(KEY, sorted(names))
