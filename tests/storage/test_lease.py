"""One writer at a time, whoever dies."""

import errno
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from sslseg.core.annotation import SliceState
from sslseg.core.errors import SslsegError
from sslseg.core.geometry import Plane
from sslseg.storage.lease import LEASE, Lease, LeaseHolder, acquire, read_holder
from sslseg.storage.store import ProjectStore

HOLD = """
import sys
from pathlib import Path
from sslseg.storage.store import ProjectStore
with ProjectStore.open(Path(sys.argv[1])) as store:
    print(store.read_only, flush=True)
    sys.stdin.read()
"""


def hold(project: Path) -> subprocess.Popen[str]:
    """Open a project for writing in another process, until its stdin closes."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(project)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "False\n"
    return process


def save(store: ProjectStore) -> int:
    return store.save_slices(
        "head", Plane.AXIAL, {0: (np.ones((4, 5), np.uint8), SliceState.PARTIAL)}
    )


def forge(project: Path, age: float = 0.0, **changes: object) -> LeaseHolder:
    """Leave the lease of someone else, last renewed `age` seconds ago."""
    facts = {"host": "other", "pid": 1, "user": "ann", "started": 1.7e9, "token": "t"}
    holder = LeaseHolder.model_validate(facts | changes)
    (project / LEASE).write_text(holder.model_dump_json())
    then = time.time() - age
    os.utime(project / LEASE, (then, then))
    return holder


def test_the_second_process_reads_only_and_is_told_why(project: ProjectStore) -> None:
    project.close()
    with hold(project.path) as other:
        before = sorted(project.path.iterdir())
        with ProjectStore.open(project.path) as second:
            assert second.read_only
            assert second.lease_holder is not None
            assert second.lease_holder.pid == other.pid
            for write in (
                lambda: save(second),
                lambda: second.set_setting("a", 1),
                lambda: second.add_class("c"),
                lambda: second.set_domain(["head"], "x"),
            ):
                with pytest.raises(SslsegError, match=f"process {other.pid}"):
                    write()
            assert second.cases()
        assert sorted(project.path.iterdir()) == before
        other.communicate()
    with ProjectStore.open(project.path) as third:
        assert save(third) == 1


def test_a_killed_writer_leaves_the_project_free(project: ProjectStore) -> None:
    project.close()
    with hold(project.path) as other:
        other.kill()
        other.wait()
    assert (project.path / LEASE).exists()
    with ProjectStore.open(project.path) as store:
        assert not store.read_only
        assert save(store) == 1


def test_reading_never_writes(project: ProjectStore) -> None:
    save(project)
    project.close()
    before = {path: path.stat().st_mtime_ns for path in project.path.iterdir()}
    with ProjectStore.open(project.path, read_only=True) as store:
        assert store.annotation("head").labels.any()
        assert store.read_only
        with pytest.raises(SslsegError, match="opened for reading only"):
            save(store)
    assert {path: path.stat().st_mtime_ns for path in project.path.iterdir()} == before


def test_a_reader_sees_what_a_writer_saves(project: ProjectStore) -> None:
    with ProjectStore.open(project.path, read_only=True) as reader:
        assert reader.revision() == 0
        save(project)
        assert reader.revision() == 1
        assert reader.annotation("head").labels[:, :, 0].all()


@pytest.mark.parametrize(
    ("age", "changes", "taken"),
    [
        (0, {}, False),
        (110, {}, False),
        (130, {}, True),
        (0, {"host": socket.gethostname(), "pid": os.getppid()}, False),
        (0, {"host": socket.gethostname(), "pid": os.getpid()}, True),
        (130, {"host": socket.gethostname(), "pid": os.getppid()}, True),
    ],
)
def test_when_a_lease_is_stale(
    tmp_path: Path, age: float, changes: dict[str, object], taken: bool
) -> None:
    holder = forge(tmp_path, age, **changes)
    lease = acquire(tmp_path)
    assert isinstance(lease, Lease) is taken
    if isinstance(lease, Lease):
        lease.release()
        assert list(tmp_path.iterdir()) == []
    else:
        assert lease == holder


def test_a_half_written_lease_is_not_taken_at_once(tmp_path: Path) -> None:
    (tmp_path / LEASE).write_bytes(b"{")
    assert acquire(tmp_path) is None
    os.utime(tmp_path / LEASE, (1, 1))
    lease = acquire(tmp_path)
    assert isinstance(lease, Lease)
    lease.release()


def test_renewing_moves_the_heartbeat(tmp_path: Path) -> None:
    lease = acquire(tmp_path)
    assert isinstance(lease, Lease)
    os.utime(tmp_path / LEASE, (1, 1))
    assert lease.renew()
    assert (tmp_path / LEASE).stat().st_mtime > 1.7e9
    lease.release()


def test_who_lost_the_lease_no_longer_writes(project: ProjectStore) -> None:
    thief = forge(project.path)
    with pytest.raises(SslsegError, match="ann on other"):
        save(project)
    assert project.read_only
    assert project.lease_holder == thief
    project.close()
    assert read_holder(project.path / LEASE) == thief


def test_a_lease_that_vanished_is_taken_again(project: ProjectStore) -> None:
    (project.path / LEASE).unlink()
    assert save(project) == 1
    assert (project.path / LEASE).exists()


def test_a_folder_that_was_away_for_a_moment_is_written_to_again(project: ProjectStore) -> None:
    away = project.path.with_name("away")
    project.path.rename(away)
    with pytest.raises(SslsegError):
        save(project)
    with pytest.raises(SslsegError):
        save(project)
    away.rename(project.path)
    assert save(project) == 1
    assert not project.read_only


def test_two_stores_of_one_process_can_both_write(project: ProjectStore) -> None:
    with ProjectStore.open(project.path) as second:
        assert [save(store) for store in (second, project, second)] == [1, 2, 3]
    assert save(project) == 4
    project.close()
    assert not (project.path / LEASE).exists()


def test_the_lease_says_who_and_since_when(tmp_path: Path) -> None:
    lease = acquire(tmp_path)
    assert isinstance(lease, Lease)
    facts = json.loads((tmp_path / LEASE).read_text())
    assert facts["pid"] == os.getpid()
    assert facts["host"] == socket.gethostname()
    assert lease.holder.words().startswith(f"{facts['user']} on {facts['host']} (process")
    lease.release()


def forbid(monkeypatch: pytest.MonkeyPatch, folder: Path, code: int) -> None:
    """Let no new file be made in a folder, as the system does where it may not be written to."""
    real = os.open

    def refuse(path: Path, flags: int, *args: int) -> int:
        if flags & os.O_CREAT and Path(path).parent == folder and not Path(path).exists():
            raise OSError(code, os.strerror(code))
        return real(path, flags, *args)

    monkeypatch.setattr(os, "open", refuse)


@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS])
def test_a_folder_without_permission_is_not_said_to_be_open_elsewhere(
    project: ProjectStore, monkeypatch: pytest.MonkeyPatch, code: int, left: bool
) -> None:
    project.close()
    if left:  # by a program that was killed, before the folder was locked away
        forge(project.path)
    forbid(monkeypatch, project.path, code)
    with ProjectStore.open(project.path) as store:
        assert store.read_only
        with pytest.raises(SslsegError) as caught:
            save(store)
        assert str(caught.value) == str(store.refusal())
    assert "cannot be written to" in str(caught.value)
    assert "permission" in caught.value.todo
    assert "Close it" not in str(caught.value)


def test_a_full_disk_is_no_matter_of_permission(
    project: ProjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.close()
    forbid(monkeypatch, project.path, errno.ENOSPC)
    with ProjectStore.open(project.path) as store:
        assert store.refusal().todo.startswith("Free some space")


def test_a_lease_without_room_for_its_words_is_not_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: LeaseHolder) -> str:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(LeaseHolder, "model_dump_json", full)
    denial = acquire(tmp_path)
    assert isinstance(denial, OSError)
    assert list(tmp_path.iterdir()) == []


def test_a_project_that_is_being_opened_is_not_said_to_lack_permission(
    project: ProjectStore,
) -> None:
    project.close()
    (project.path / LEASE).write_bytes(b"")
    with ProjectStore.open(project.path) as store, pytest.raises(SslsegError) as caught:
        save(store)
    assert "just opening" in str(caught.value)
    (project.path / LEASE).unlink()
