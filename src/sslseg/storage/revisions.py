"""Rows of slice revisions: written once, read newest first, verified on the way."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from sslseg.core.annotation import BACKGROUND, UNPAINTED, SliceKey, SliceRecord, SliceState
from sslseg.core.errors import SslsegError, UnknownLabels
from sslseg.core.geometry import Array, Geometry, Plane
from sslseg.core.volume import ClassLabel
from sslseg.storage.packing import checksum, pack, unpack, values_in
from sslseg.storage.split import hold_out

Labels = npt.NDArray[np.uint8]

_COLUMNS = "id, case_name, plane, slice, state, time, author, model, validation"
_JOINED = "revisions LEFT JOIN slices USING (case_name, plane, slice)"


def insert(db: sqlite3.Connection, record: SliceRecord, labels: Labels) -> int:
    """Append one revision inside the caller's transaction; its number is given by the database.

    Parameters
    ----------
    db : sqlite3.Connection
        With an open transaction.
    record : SliceRecord
        Its `revision` and `validation` are ignored.
    labels : ndarray of uint8
        ``(H, W)``.
    """
    key = record.key
    if labels.any() or record.state is SliceState.COMPLETE:
        _fix_split(db, key, labels)
    cursor = db.execute(
        "INSERT INTO revisions (case_name, plane, slice, state, labels, sha256, time, author,"
        " model) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *_place(key),
            record.state.value,
            pack(labels),
            checksum(key, record.state, labels),
            record.time,
            record.author,
            record.model,
        ),
    )
    return int(cursor.lastrowid or 0)


def newest(
    db: sqlite3.Connection, case: str | None, until: int | None = None
) -> tuple[SliceRecord, ...]:
    """Return the newest revision of each slice of a case (of all cases: None), oldest first.

    With `until` those are passed over that were saved after that revision.
    """
    asked = {"case_name = ?": case, "id <= ?": until}
    given = {words: value for words, value in asked.items() if value is not None}
    chosen = f"WHERE {' AND '.join(given)}" if given else ""
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM {_JOINED} WHERE id IN (SELECT max(id) FROM revisions {chosen}"
        " GROUP BY case_name, plane, slice) ORDER BY id",
        tuple(given.values()),
    )
    return tuple(_record(row) for row in rows)


def history(db: sqlite3.Connection, key: SliceKey) -> tuple[SliceRecord, ...]:
    """Return all revisions of one slice, oldest first."""
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM {_JOINED} WHERE (case_name, plane, slice) = (?, ?, ?) ORDER BY id",
        _place(key),
    )
    return tuple(_record(row) for row in rows)


def find(db: sqlite3.Connection, revision: int) -> SliceRecord:
    """Return one revision; raises SslsegError if there is none of that number."""
    row = db.execute(f"SELECT {_COLUMNS} FROM {_JOINED} WHERE id = ?", (revision,)).fetchone()
    if row is None:
        raise SslsegError(
            f"revision {revision}", "a revision of this project", "Look at the slice's history."
        )
    return _record(row)


def read(db: sqlite3.Connection, record: SliceRecord, geometry: Geometry) -> Labels:
    """Return the verified labels ``(H, W)`` of a revision; SslsegError if damaged."""
    row = db.execute(
        "SELECT labels, sha256 FROM revisions WHERE id = ?", (record.revision,)
    ).fetchone()
    shape = geometry.slice_shape(record.key.plane)
    return unpack(row["labels"], shape, record.key, record.state, row["sha256"])


def last_good(
    db: sqlite3.Connection, record: SliceRecord, geometry: Geometry
) -> tuple[SliceRecord, Labels] | None:
    """Return the newest undamaged revision of a slice up to `record`, if one is left."""
    for earlier in reversed(history(db, record.key)):
        if earlier.revision <= record.revision:
            try:
                return earlier, read(db, earlier, geometry)
            except SslsegError:
                continue  # damaged too: the one before
    return None


def refuse_unknown(labels: Array, classes: Sequence[ClassLabel], where: str) -> None:
    """Raise UnknownLabels where labels hold a value that is neither 0 nor that of a class."""
    unknown = sorted(set(np.unique(labels).tolist()) - {label.value for label in classes} - {0})
    if unknown:
        names = ", ".join(f"{label.value} {label.name}" for label in classes)
        raise UnknownLabels(
            f"label values {unknown} in {where}",
            f"0 and the project's classes ({names})",
            "Add the missing classes to the project, or correct the labels.",
        )


def check(labels: Labels, geometry: Geometry, key: SliceKey, classes: Sequence[ClassLabel]) -> None:
    """Refuse labels that do not fit their slice or the classes, before anything is written."""
    if not 0 <= key.index < geometry.slices(key.plane):
        raise SslsegError(
            f"{key.plane.value} slice {key.index} of case {key.case}",
            f"a slice from 0 to {geometry.slices(key.plane) - 1}",
            "Choose a slice inside the volume; nothing was changed.",
        )
    if labels.shape != geometry.slice_shape(key.plane) or labels.dtype != np.uint8:
        raise SslsegError(
            f"{labels.dtype} labels of shape {labels.shape} for {key.plane.value} slice"
            f" {key.index} of case {key.case}",
            f"uint8 labels of shape {geometry.slice_shape(key.plane)}",
            "Choose labels that were made on this image; nothing was changed.",
        )
    where = f"{key.plane.value} slice {key.index} of case {key.case}"
    refuse_unknown(np.where(labels == BACKGROUND, 0, labels), classes, where)


def _fix_split(db: sqlite3.Connection, key: SliceKey, labels: Labels) -> None:
    """Decide whether a slice is held out, if it has never been decided."""
    known = db.execute(
        "SELECT 1 FROM slices WHERE (case_name, plane, slice) = (?, ?, ?)", _place(key)
    )
    if known.fetchone():
        return
    rows = db.execute("SELECT name, validation FROM cases WHERE validation IS NOT NULL")
    decided = {row["name"]: bool(row["validation"]) for row in rows}
    count, held = db.execute("SELECT count(*), total(validation) FROM slices").fetchone()
    undone = _undone_slices(db)  # they teach nothing, so nothing is held out for their sake
    bare = _bare_cases(db, undone) - {key.case}
    case_held, slice_held = hold_out(
        key.case,
        {name: validation for name, validation in decided.items() if name not in bare},
        count - len(undone),
        int(held) - sum(row["validation"] for row in undone),
        partial(_shows_what_none_teaches, db, labels),
    )
    db.execute("UPDATE cases SET validation = ? WHERE name = ?", (case_held, key.case))
    db.execute("INSERT INTO slices VALUES (?, ?, ?, ?)", (*_place(key), slice_held))


def _undone_slices(db: sqlite3.Connection) -> list[sqlite3.Row]:
    """Return case, plane, slice and `validation` of the slices whose strokes were all undone."""
    db.execute(
        "CREATE INDEX IF NOT EXISTS revisions_undone ON revisions (case_name, plane, slice, id)"
        " WHERE state = 'none'"
    )
    return db.execute(
        "SELECT DISTINCT case_name, plane, slice, validation"
        " FROM revisions AS this JOIN slices USING (case_name, plane, slice)"
        " WHERE state = 'none' AND NOT EXISTS (SELECT 1 FROM revisions AS later"
        " WHERE (later.case_name, later.plane, later.slice)"
        " = (this.case_name, this.plane, this.slice)"
        " AND later.id > this.id)"
    ).fetchall()


def _bare_cases(db: sqlite3.Connection, undone: Sequence[sqlite3.Row]) -> set[str]:
    """Return the cases all of whose slices were undone."""
    counts = Counter(row["case_name"] for row in undone)
    every = "SELECT count(*) FROM slices WHERE case_name = ?"
    return {
        name for name, bare in counts.items() if db.execute(every, (name,)).fetchone()[0] == bare
    }


def _shows_what_none_teaches(db: sqlite3.Connection, labels: Labels) -> bool:
    """Tell whether some class of these labels is on no annotated slice that is not held out."""
    missing = set(np.unique(labels).tolist()) - {UNPAINTED, BACKGROUND}
    newest = db.execute(
        "SELECT max(id) AS id FROM revisions JOIN slices USING (case_name, plane, slice)"
        " WHERE slices.validation = 0 GROUP BY case_name, plane, slice ORDER BY max(id) DESC"
    )
    for row in newest if missing else ():
        found = db.execute("SELECT labels FROM revisions WHERE id = ?", (row["id"],)).fetchone()
        missing -= values_in(found["labels"])
        if not missing:
            return False
    return bool(missing)


def _place(key: SliceKey) -> Sequence[str | int]:
    return (key.case, key.plane.value, key.index)


def _record(row: sqlite3.Row) -> SliceRecord:
    return SliceRecord(
        key=SliceKey(case=row["case_name"], plane=Plane(row["plane"]), index=row["slice"]),
        state=SliceState(row["state"]),
        revision=row["id"],
        time=row["time"],
        author=row["author"],
        model=row["model"],
        validation=bool(row["validation"]),
    )
