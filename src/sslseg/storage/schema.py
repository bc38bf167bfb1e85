"""The SQLite file of a project: its tables, and how it is opened."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path, PurePath
from urllib.parse import quote

from sslseg.core.errors import SslsegError
from sslseg.core.volume import ClassLabel
from sslseg.storage.arrays import publish
from sslseg.storage.lease import Lease, acquire, refusal
from sslseg.storage.remedy import remedy

DATABASE = "project.sqlite"
VERSION = 1
_BUSY_SECONDS = 5.0

_DOMAINS = (
    """CREATE TABLE IF NOT EXISTS domains (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    case_name TEXT NOT NULL REFERENCES cases (name),
    domain TEXT NOT NULL,
    time REAL NOT NULL,
    author TEXT NOT NULL
)""",
    "CREATE TRIGGER IF NOT EXISTS domains_stay BEFORE UPDATE ON domains"
    " BEGIN SELECT RAISE(ABORT, 'past domains are never changed'); END",
    "CREATE TRIGGER IF NOT EXISTS domains_remain BEFORE DELETE ON domains"
    " BEGIN SELECT RAISE(ABORT, 'past domains are never deleted'); END",
)
"""Who said when what domain a case is of; made when first needed, since older projects lack it."""

_TABLES = f"""
PRAGMA user_version = {VERSION};
CREATE TABLE classes (
    value INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE COLLATE NOCASE,
    color TEXT NOT NULL
);
CREATE TABLE cases (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE COLLATE NOCASE,
    record TEXT NOT NULL,
    validation INTEGER  -- NULL until the case is annotated
);
CREATE TABLE slices (
    case_name TEXT NOT NULL,
    plane TEXT NOT NULL,
    slice INTEGER NOT NULL,
    validation INTEGER NOT NULL,
    PRIMARY KEY (case_name, plane, slice)
);
CREATE TABLE revisions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    case_name TEXT NOT NULL REFERENCES cases (name),
    plane TEXT NOT NULL,
    slice INTEGER NOT NULL,
    state TEXT NOT NULL,
    labels BLOB NOT NULL,
    sha256 TEXT NOT NULL,
    time REAL NOT NULL,
    author TEXT NOT NULL,
    model TEXT NOT NULL
);
CREATE INDEX revisions_of_slice ON revisions (case_name, plane, slice, id);
CREATE TRIGGER revisions_stay BEFORE UPDATE ON revisions
    BEGIN SELECT RAISE(ABORT, 'revisions are never changed'); END;
CREATE TRIGGER revisions_remain BEFORE DELETE ON revisions
    BEGIN SELECT RAISE(ABORT, 'revisions are never deleted'); END;
CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL);
"""


def create(project: Path, classes: tuple[ClassLabel, ...]) -> None:
    """Make the database; an interrupted attempt leaves nothing behind that looks like one."""
    temporary = project / f".{DATABASE}.new"
    with reported(project):
        temporary.unlink(missing_ok=True)
        connection = _connected(temporary, "rwc")
        try:
            connection.executescript(f"BEGIN; {_TABLES}")
            for label in classes:
                insert_class(connection, label)
            connection.execute("COMMIT")
        finally:
            connection.close()
        publish(temporary, project / DATABASE)


def insert_class(connection: sqlite3.Connection, label: ClassLabel) -> None:
    """Write one class."""
    connection.execute(
        "INSERT INTO classes VALUES (?, ?, ?)", (label.value, label.name, label.color)
    )


def insert_domain(connection: sqlite3.Connection, case: str, domain: str, author: str) -> None:
    """Note who said now which domain a case is of, inside the caller's transaction."""
    for statement in _DOMAINS:
        connection.execute(statement)
    connection.execute(
        "INSERT INTO domains (case_name, domain, time, author) VALUES (?, ?, ?, ?)",
        (case, domain, time.time(), author),
    )


def require(project: Path) -> Path:
    """Return the database of a project; raises SslsegError if there is none."""
    path = project / DATABASE
    if not path.is_file():
        raise SslsegError(
            f"no project in {project}",
            f"a folder with a file {DATABASE}",
            "Make one with 'sslseg new', or choose another folder.",
        )
    return path


def connect(project: Path, read_only: bool) -> sqlite3.Connection:
    """Open the database of a project; what a dead writer left half written is undone.

    Raises
    ------
    SslsegError
        If there is none, it is damaged, or a newer version of the program made it.
    """
    path = require(project)
    with reported(project):
        try:
            connection, version, check = _looked_at(path, read_only)
        except sqlite3.OperationalError as error:
            # errors of the sqlite3 module itself have no code
            if getattr(error, "sqlite_errorcode", 0) != sqlite3.SQLITE_READONLY_ROLLBACK:
                raise
            _roll_back(project)
            connection, version, check = _looked_at(path, read_only)
    if version == VERSION and check == "ok":
        return connection
    connection.close()
    if version > VERSION:
        raise SslsegError(
            f"a project of a newer version in {project}",
            f"format {VERSION}, found {version}",
            "Install the newer version of napari-sslseg.",
        )
    raise _damaged(project, check)


def _looked_at(path: Path, read_only: bool) -> tuple[sqlite3.Connection, int, str]:
    """Connect; return also the version of the format, and what is damaged or "ok"."""
    connection = _connected(path, "ro" if read_only else "rw")
    try:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        check = "ok" if read_only else connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.Error:
        connection.close()
        raise
    return connection, version, check


def _roll_back(project: Path) -> None:
    """Undo what a writer that died left half written, which who only reads may not.

    Only with the lease: on shares without locks the journal of a writer at work looks the same.

    Raises
    ------
    SslsegError
        Where somebody is writing, or this process may not.
    """
    lease = acquire(project)
    if not isinstance(lease, Lease):
        raise refusal(project, lease)
    try:
        with closing(_connected(project / DATABASE, "rw")) as connection:
            connection.execute("SELECT count(*) FROM cases").fetchone()  # SQLite does it by itself
    finally:
        lease.release()


def database_uri(path: PurePath) -> str:
    """Return the URI of an absolute path as SQLite wants it: without a host, also on a share."""
    way = path.as_posix()  # /a, C:/a or //server/a
    root = "////" if way.startswith("//") else "///"
    return f"file:{root}{quote(os.fsencode(way.lstrip('/')), safe='/:')}"


def _connected(path: Path, mode: str) -> sqlite3.Connection:
    """Connect for full durability; the rollback journal also works on network shares."""
    connection = sqlite3.connect(
        f"{database_uri(path.absolute())}?mode={mode}",
        uri=True,
        timeout=_BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )
    connection.row_factory = sqlite3.Row
    if mode != "ro":
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
    return connection


@contextmanager
def reported(project: Path) -> Iterator[None]:
    """Turn what SQLite or the system reports into one plain line."""
    try:
        yield
    except (sqlite3.OperationalError, OSError) as error:
        raise SslsegError(
            f"'{error}' from the project file in {project}",
            "room, permission and a moment without another writer",
            f"{remedy(error)}, then try again; nothing was changed.",
        ) from error
    except sqlite3.DatabaseError as error:
        raise _damaged(project, error) from error


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Write all or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _damaged(project: Path, reason: object) -> SslsegError:
    return SslsegError(
        f"a damaged project file in {project} ({reason})",
        f"{DATABASE} as the program wrote it",
        "Restore the folder from your backup; images are not affected.",
    )
