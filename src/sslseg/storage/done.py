"""Which cases the user is through with: a setting of the project."""

from __future__ import annotations

from collections.abc import Iterable

from sslseg.core.errors import SslsegError
from sslseg.storage.store import ProjectStore

KEY = "done_cases"


def done_cases(store: ProjectStore) -> frozenset[str]:
    """Return the names of the cases marked as done."""
    found = store.setting(KEY)
    return frozenset(found if isinstance(found, list) else ())


def mark_done(store: ProjectStore, names: Iterable[str]) -> None:
    """Keep the names of all cases that are done."""
    store.set_setting(KEY, sorted(names))


def gone(store: ProjectStore) -> set[str]:
    """Return the cases whose image lies nowhere any more: nobody can look at a slice of them."""
    names = set()
    for record in store.cases():
        try:
            store.source_path(record.name)
        except SslsegError:
            names.add(record.name)
    return names
