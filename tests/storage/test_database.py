"""Where SQLite finds the database, on every kind of path."""

from __future__ import annotations

from pathlib import PurePath, PurePosixPath, PureWindowsPath

import pytest

from sslseg.storage.schema import database_uri


@pytest.mark.parametrize(
    ("path", "uri"),
    [
        (PurePosixPath("/home/ann/my project/p.db"), "file:///home/ann/my%20project/p.db"),
        (PurePosixPath("/data/50%?#.db"), "file:///data/50%25%3F%23.db"),
        (PureWindowsPath(r"C:\scans\p.db"), "file:///C:/scans/p.db"),
        (PureWindowsPath(r"\\server\share\p.db"), "file:////server/share/p.db"),
    ],
)
def test_no_path_has_a_host(path: PurePath, uri: str) -> None:
    """SQLite refuses file://server/..., which pathlib writes for a share."""
    assert database_uri(path) == uri
