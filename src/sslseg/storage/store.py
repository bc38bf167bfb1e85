"""The project: classes, cases, settings and every revision of every annotated slice."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from sslseg.core.annotation import Annotation, SliceKey, SliceRecord, SliceState
from sslseg.core.errors import SslsegError
from sslseg.core.geometry import Plane, take_slice
from sslseg.core.volume import CaseRecord, ClassLabel
from sslseg.storage import revisions, schema
from sslseg.storage.arrays import make_folder
from sslseg.storage.lease import Denial, Lease, LeaseHolder, acquire, refusal, user_name
from sslseg.storage.naming import check_case_name, domain_name, new_class

HOME = "home"
"""Project setting: where the folder was when the first cases were added."""


class ProjectStore:
    """A project folder's ``project.sqlite``; made by `create` or `open`, safe from any thread.

    Annotations are rows that are only ever added: one for each saved revision of a slice. What a
    call returned as saved survives every later crash. One process writes at a time; the store
    opens read-only for all others; a read-only store writes nothing of its own.
    """

    def __init__(
        self,
        path: Path,
        connection: sqlite3.Connection,
        taken: Lease | Denial,
        *,
        only_read: bool,
    ) -> None:
        self.path = path
        self._only_read = only_read
        self._connection = connection
        self._take(taken)
        self._writer = self._lease is not None
        self._lock = threading.RLock()

    @classmethod
    def create(cls, path: Path, classes: Sequence[str]) -> Self:
        """Make a project folder with these classes, numbered from 1, and open it.

        Raises
        ------
        SslsegError
            If there is a project already, or a class name is empty or taken.
        """
        labels: tuple[ClassLabel, ...] = ()
        for name in classes:
            labels += (new_class(name, labels),)
        if (path / schema.DATABASE).exists():
            raise SslsegError(
                f"a project in {path} already", "a new or empty folder", "Choose another folder."
            )
        make_folder(path)
        schema.create(path, labels)
        return cls.open(path)

    @classmethod
    def open(cls, path: Path, read_only: bool = False) -> Self:
        """Open a project folder.

        Parameters
        ----------
        path : Path
            The folder.
        read_only : bool
            Never write. Where another process holds the lease, or the folder cannot be written
            to, the store is read-only in any case; `refusal` says why.

        Raises
        ------
        SslsegError
            If there is no project, or its file is damaged or of a newer version.
        """
        schema.require(path)
        taken = None if read_only else acquire(path)
        lease = taken if isinstance(taken, Lease) else None
        try:
            connection = schema.connect(path, read_only=lease is None)
        except SslsegError:
            if lease:
                lease.release()
            raise
        return cls(path, connection, taken, only_read=read_only)

    def close(self) -> None:
        """Close the file and give the lease back; closing twice does nothing."""
        with self._lock:
            self._connection.close()
            if self._lease:
                self._lease.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def read_only(self) -> bool:
        """Whether this process may not write; `refusal` says why."""
        return self._lease is None

    def refusal(self) -> SslsegError:
        """Return why this process may not write, and what to do about it."""
        if self._only_read:
            return SslsegError(
                f"a project that was opened for reading only, {self.path}",
                "one that was opened for writing",
                "Open it again.",
            )
        return refusal(self.path, self._denial)

    @property
    def lease_holder(self) -> LeaseHolder | None:
        """Who writes to the project instead of this process, if anybody does."""
        return self._denial if isinstance(self._denial, LeaseHolder) else None

    def _take(self, taken: Lease | Denial) -> None:
        self._lease = taken if isinstance(taken, Lease) else None
        self._denial = None if isinstance(taken, Lease) else taken

    # ---- classes and cases ----

    @property
    def classes(self) -> tuple[ClassLabel, ...]:
        """All classes by value; background is not among them."""
        with self._reading() as db:
            rows = db.execute("SELECT value, name, color FROM classes ORDER BY value").fetchall()
        return tuple(ClassLabel(**dict(row)) for row in rows)

    def add_class(self, name: str) -> ClassLabel:
        """Add a class with the next value; raises SslsegError if the name is empty or taken."""
        with self._writing() as db:
            label = new_class(name, self.classes)
            schema.insert_class(db, label)
        return label

    def cases(self) -> tuple[CaseRecord, ...]:
        """Return all cases in the order in which they were added."""
        with self._reading() as db:
            rows = db.execute("SELECT record FROM cases ORDER BY id").fetchall()
        return tuple(CaseRecord.model_validate_json(row["record"]) for row in rows)

    def case(self, name: str) -> CaseRecord:
        """Return one case; raises SslsegError if there is none of that name."""
        with self._reading() as db:
            row = db.execute(
                "SELECT record FROM cases WHERE name = ? COLLATE BINARY", (name,)
            ).fetchone()
        if row is None:
            raise SslsegError(
                f"no case named '{name}' in {self.path}",
                "a case of this project",
                "Add its image, or check the name.",
            )
        return CaseRecord.model_validate_json(row["record"])

    def add_case(self, record: CaseRecord) -> CaseRecord:
        """Add one case, as `add_cases`; return it as stored."""
        return self.add_cases([record])[0]

    def add_cases(self, records: Sequence[CaseRecord]) -> tuple[CaseRecord, ...]:
        """Add cases, all or none; sources become relative to the project where possible.

        Raises
        ------
        SslsegError
            If a name is taken (upper and lower case count as equal) or no folder can have it.
        """
        stored = [r.model_copy(update={"source": self._relative(r.source)}) for r in records]
        with self._writing() as db:
            home = json.dumps(str(self.path.resolve()))
            db.execute("INSERT OR IGNORE INTO settings VALUES (?, ?)", (HOME, home))
            for record in stored:
                check_case_name(record.name)
                if db.execute("SELECT 1 FROM cases WHERE name = ?", (record.name,)).fetchone():
                    raise SslsegError(
                        f"a second case named '{record.name}' ({record.source})",
                        "a name of its own for each case",
                        "Rename the file or its folder, then add it again; nothing was changed.",
                    )
                db.execute(
                    "INSERT INTO cases (name, record) VALUES (?, ?)",
                    (record.name, record.model_dump_json()),
                )
                if record.domain:
                    schema.insert_domain(db, record.name, record.domain, user_name())
        return tuple(stored)

    def set_domain(self, cases: Iterable[str], domain: str, author: str | None = None) -> None:
        """Say which scanner, site or sequence cases come from, all of them or none.

        Parameters
        ----------
        cases : iterable of str
            Names of the cases.
        domain : str
            "" takes back what was said.
        author : str or None
            None takes the name of the person at this computer.

        Raises
        ------
        SslsegError
            If a case is unknown, or the name cannot be shown in a line.
        """
        domain, author = domain_name(domain), author or user_name()
        with self._writing() as db:
            for name in cases:
                record = self.case(name)
                if record.domain != domain:
                    changed = record.model_copy(update={"domain": domain})
                    db.execute(
                        "UPDATE cases SET record = ? WHERE name = ?",
                        (changed.model_dump_json(), name),
                    )
                    schema.insert_domain(db, name, domain, author)

    def source_path(self, case: str) -> Path:
        """Return the image of a case; raises SslsegError if it has vanished."""
        source = self.case(case).source
        # beside the folder, or where the folder was at first: it may be a copy
        homes = (self.path.resolve(), Path(self.setting(HOME) or self.path))
        paths = [Path(os.path.normpath(home / source)) for home in homes]
        found = next((path for path in paths if path.exists()), None)
        if found is None:
            raise SslsegError(
                f"no image of case {case} at {paths[0]}",
                "the file that was added",
                "Put it back, or connect the drive it lies on; annotations are not affected.",
            )
        return found

    # ---- annotations ----

    def save_slices(
        self,
        case: str,
        plane: Plane,
        slices: Mapping[int, tuple[npt.NDArray[np.uint8], SliceState]],
        author: str | None = None,
        model: str = "",
    ) -> int:
        """Save a new revision of each slice given, all of them or none.

        Parameters
        ----------
        case : str
            Name of the case.
        plane : Plane
            Plane of all slices.
        slices : mapping of int to (ndarray of uint8, SliceState)
            By slice number: labels ``(H, W)`` (0 unpainted, 1 to 254 classes, 255 painted
            background) and how much they say.
        author : str or None
            None takes the name of the person at this computer.
        model : str
            The model version that was on the screen.

        Returns
        -------
        int
            The newest revision of the project. When this returns, everything is on disk.

        Raises
        ------
        SslsegError
            If labels do not fit, the store is read-only or the disk is full; nothing is changed.
        """
        geometry, classes = self.case(case).geometry, self.classes
        now, author = time.time(), author or user_name()
        with self._writing() as db:
            for index in sorted(slices):
                labels, state = slices[index]
                key = SliceKey(case=case, plane=plane, index=index)
                revisions.check(labels, geometry, key, classes)
                record = SliceRecord(
                    key=key, state=state, revision=0, time=now, author=author, model=model
                )
                revisions.insert(db, record, labels)
            return self.revision()

    def annotation(self, case: str, skip_damaged: bool = False) -> Annotation:
        """Return all that was painted on a case; later slices lie over earlier ones.

        Parameters
        ----------
        case : str
            Name of the case.
        skip_damaged : bool
            Use the last good revision of a slice whose newest one is damaged.

        Raises
        ------
        SslsegError
            If a revision is damaged; names case, plane and slice.
        """
        geometry = self.case(case).geometry
        with self._reading() as db:
            newest = self._newest(db, case)
            if skip_damaged:
                good = [revisions.last_good(db, record, geometry) for record in newest]
            else:
                good = [(record, revisions.read(db, record, geometry)) for record in newest]
        annotation = Annotation.empty(geometry)
        states = {}
        for record, labels in sorted((g for g in good if g), key=lambda g: g[0].revision):
            take_slice(annotation.labels, record.key.plane, record.key.index)[...] = labels
            states[record.key.plane, record.key.index] = record.state
        return Annotation(annotation.labels, states)

    def slices(self, case: str | None = None) -> tuple[SliceRecord, ...]:
        """Return the newest revision of each slice of a case, or of all, oldest first."""
        with self._reading() as db:
            return self._newest(db, case)

    def _newest(self, db: sqlite3.Connection, case: str | None) -> tuple[SliceRecord, ...]:
        return revisions.newest(db, case)

    def history(self, key: SliceKey) -> tuple[SliceRecord, ...]:
        """Return all revisions of a slice, oldest first."""
        with self._reading() as db:
            return revisions.history(db, key)

    def labels_at(self, revision: int) -> npt.NDArray[np.uint8]:
        """Return the labels ``(H, W)`` of one revision; SslsegError if unknown or damaged."""
        with self._reading() as db:
            record = revisions.find(db, revision)
            return revisions.read(db, record, self.case(record.key.case).geometry)

    def revision(self) -> int:
        """Return the newest revision of the project, 0 before the first; cheap, for polling."""
        with self._reading() as db:
            return int(db.execute("SELECT coalesce(max(id), 0) FROM revisions").fetchone()[0])

    # ---- settings ----

    def setting(self, key: str) -> Any:
        """Return a JSON value of the project, None where it was never set."""
        with self._reading() as db:
            row = db.execute("SELECT value FROM settings WHERE key = ?", (key,)).fetchone()
        return None if row is None else json.loads(row["value"])

    def set_setting(self, key: str, value: Any) -> None:
        """Keep a small JSON value under a name."""
        with self._writing() as db:
            db.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (key, json.dumps(value)))

    # ---- one connection, one writer ----

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._lock, schema.reported(self.path):
            yield self._connection

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """Give a connection inside a transaction, if this process still holds the lease."""
        with self._lock, schema.reported(self.path):
            self._keep_lease()
            with schema.transaction(self._connection):
                yield self._connection

    def _keep_lease(self) -> None:
        """Renew the lease; raises SslsegError if it was never held or is lost to someone else."""
        away = isinstance(self._denial, OSError) and self._writer
        if away or (self._lease and not self._lease.renew()):
            if self._lease:
                self._lease.release()
            self._take(acquire(self.path))  # it may have vanished, or be with another store of ours
        if self._lease is None:
            raise self.refusal()

    def _relative(self, source: str) -> str:
        """Return a source relative to the project; as it is where it lies on another drive."""
        path = Path(source)
        if not path.is_absolute():
            return path.as_posix()
        try:
            where = path.parent.resolve() / path.name
            return Path(os.path.relpath(where, self.path.resolve())).as_posix()
        except ValueError:
            return str(path)
