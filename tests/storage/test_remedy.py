"""What people are told to do when the system refuses to write."""

from __future__ import annotations

import errno
import sqlite3

import pytest

from sslseg.core.errors import SslsegError
from sslseg.storage.arrays import write_atomic
from sslseg.storage.remedy import BUSY, FORBIDDEN, FULL, OTHER, remedy


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.ENOSPC, FULL),
        (errno.EACCES, FORBIDDEN),
        (errno.EROFS, FORBIDDEN),
        (errno.EIO, OTHER),
        (None, OTHER),
    ],
)
def test_the_remedy_follows_the_cause(code, words):
    error = OSError() if code is None else OSError(code, "x")
    assert remedy(error) == words


def test_a_database_that_may_not_be_written_asks_for_permission(tmp_path):
    path = tmp_path / "a.sqlite"
    sqlite3.connect(path).close()
    reader = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
    with pytest.raises(sqlite3.OperationalError) as caught:
        reader.execute("CREATE TABLE t (x)")
    assert remedy(caught.value) == FORBIDDEN


def test_a_locked_database_is_another_program_s(tmp_path):
    one, other = (
        sqlite3.connect(tmp_path / "a.sqlite", timeout=0, isolation_level=None) for _ in range(2)
    )
    one.execute("BEGIN EXCLUSIVE")
    with pytest.raises(sqlite3.OperationalError) as caught:
        other.execute("BEGIN EXCLUSIVE")
    assert remedy(caught.value) == BUSY


def test_a_file_in_a_folder_that_is_none_is_no_matter_of_space(tmp_path):
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(SslsegError) as caught:
        write_atomic(tmp_path / "a" / "b", b"x")
    assert "space" not in str(caught.value)
