"""A project whose writer died in the middle of a commit opens for reading too."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sslseg.core.errors import SslsegError
from sslseg.storage.lease import LEASE, LeaseHolder
from sslseg.storage.store import ProjectStore

HALF = """
import os, sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("PRAGMA cache_size = 1")  # so that pages go to the file before the commit
db.execute("BEGIN IMMEDIATE")
db.execute("INSERT INTO settings VALUES ('half', ?)", ("x" * 1_000_000,))
os._exit(0)
"""


def journal(project: Path) -> Path:
    return project / "project.sqlite-journal"


@pytest.fixture
def crashed(project: ProjectStore) -> Path:
    """The folder of a project as a writer left it that died inside a transaction."""
    project.set_setting("whole", 1)
    project.close()
    database = project.path / "project.sqlite"
    subprocess.run([sys.executable, "-c", HALF, str(database)], check=True)
    assert database.stat().st_size > 900_000
    assert journal(project.path).stat().st_size > 0
    return project.path


def test_a_reader_undoes_what_a_dead_writer_left(crashed: Path) -> None:
    with ProjectStore.open(crashed, read_only=True) as store:
        assert store.read_only
        assert (store.setting("whole"), store.setting("half")) == (1, None)
        assert [case.name for case in store.cases()] == ["head"]
    assert not journal(crashed).exists()
    assert not (crashed / LEASE).exists(), "others may write again"


def test_nothing_is_undone_where_somebody_may_be_writing(crashed: Path) -> None:
    """Where locks do not work, as on some shares, a journal in use looks like one left behind."""
    other = LeaseHolder.here().model_copy(update={"pid": os.getppid()})
    (crashed / LEASE).write_text(other.model_dump_json())
    before = journal(crashed).read_bytes()
    with pytest.raises(SslsegError, match="has open for writing"):
        ProjectStore.open(crashed, read_only=True)
    assert journal(crashed).read_bytes() == before
