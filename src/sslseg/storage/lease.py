"""One writer for each project, on one computer or on a network share.

A file made with O_EXCL names the holder; its modification time is the heartbeat. Locks of the
file system are not used, since network shares do not keep them.
"""

from __future__ import annotations

import getpass
import os
import socket
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from pydantic import BaseModel, ConfigDict

from sslseg.core.errors import SslsegError
from sslseg.storage.remedy import remedy

LEASE = "project.lease"
_STALE_SECONDS = 120.0
_HEARTBEAT_SECONDS = 30.0
_DENIED = 5
"""What Windows says of a process that is there but not ours."""


class LeaseHolder(BaseModel):
    """Who may write to a project."""

    model_config = ConfigDict(frozen=True)
    host: str
    pid: int
    user: str
    started: float
    token: str

    @classmethod
    def here(cls) -> LeaseHolder:
        """Describe this process, with a token of its own."""
        return cls(
            host=socket.gethostname(),
            pid=os.getpid(),
            user=user_name(),
            started=time.time(),
            token=uuid4().hex,
        )

    def words(self) -> str:
        """Return who it is, for the screen."""
        since = time.strftime("%d %b %H:%M", time.localtime(self.started))
        return f"{self.user} on {self.host} (process {self.pid}, since {since})"


class Lease:
    """The right to write, kept alive by a heartbeat until it is released."""

    def __init__(self, path: Path, holder: LeaseHolder) -> None:
        self._path = path
        self.holder = holder
        self._ended = threading.Event()
        threading.Thread(target=self._beat, name="sslseg-lease", daemon=True).start()

    def renew(self) -> bool:
        """Renew the heartbeat; False if another process holds the lease by now."""
        if read_holder(self._path) != self.holder:
            return False
        try:
            os.utime(self._path)
        except OSError:
            return False  # the share went away: whoever waits may take over
        return True

    def release(self) -> None:
        """Give the lease back; does nothing to a lease of someone else."""
        self._ended.set()
        if read_holder(self._path) == self.holder:
            self._path.unlink(missing_ok=True)

    def _beat(self) -> None:
        while not self._ended.wait(_HEARTBEAT_SECONDS):
            self.renew()


Denial = LeaseHolder | OSError | None
"""Why there is no lease: who holds it, what the system said, None where it is just being made."""


def acquire(project: Path) -> Lease | Denial:
    """Take the lease of a project, or return why it cannot be taken.

    A folder that cannot be written to says so even where a lease lies in it: whoever left it
    there, to close their program would not help.
    """
    path = project / LEASE
    me = LeaseHolder.here()
    for _ in range(3):
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        except FileExistsError:
            holder = read_holder(path)
            try:
                stale = _is_stale(path, holder)
            except OSError as error:
                return error
            if not stale:
                return holder
            _set_aside(path, holder)
            continue
        except OSError as error:
            return error
        return _signed(descriptor, path, me)
    return read_holder(path)


def refusal(project: Path, denial: Denial) -> SslsegError:
    """Return why nothing can be written to a project, and what to do about it."""
    match denial:
        case LeaseHolder():
            return SslsegError(
                f"a project that {denial.words()} has open for writing",
                "to be the only one who writes to it",
                "Close it there, then open it here again.",
            )
        case OSError():
            return SslsegError(
                f"a project folder that cannot be written to, {project} ({denial.strerror})",
                "room and permission to write in it",
                f"{remedy(denial)}, then open it again.",
            )
    return SslsegError(
        f"a project that another program is just opening, {project}",
        "to be the only one who writes to it",
        "Wait two minutes, then open it again.",
    )


def _signed(descriptor: int, path: Path, me: LeaseHolder) -> Lease | OSError:
    """Write who holds a new lease; it goes again where there is no room for that."""
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(me.model_dump_json())
    except OSError as error:
        with suppress(OSError):  # what went wrong first is what matters
            path.unlink()
        return error
    return Lease(path, me)


def read_holder(path: Path) -> LeaseHolder | None:
    """Return who holds a lease file; None where it is gone or was never finished."""
    try:
        return LeaseHolder.model_validate_json(path.read_bytes())
    except (OSError, ValueError):
        return None


def user_name() -> str:
    """Return the name of the person at this computer, "unknown" where the system has none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return "unknown"


def _is_stale(path: Path, holder: LeaseHolder | None) -> bool:
    """Tell whether nobody can be writing under this lease any more.

    Raises
    ------
    OSError
        Where the folder cannot be written to, so that nobody can tell.
    """
    try:
        age = _clock_of(path.parent) - path.stat().st_mtime
    except FileNotFoundError:
        return True
    if age > _STALE_SECONDS:
        return True
    if holder is None or holder.host != socket.gethostname():
        return False
    # a lease of our own process number is ours, or of a process that had the number before us
    return holder.pid == os.getpid() or not _alive(holder.pid)


def _clock_of(folder: Path) -> float:
    """Return the time by the file server's clock, which need not agree with ours."""
    probe = folder / f".clock.{uuid4().hex[:8]}"
    probe.touch()
    try:
        return probe.stat().st_mtime
    finally:
        probe.unlink(missing_ok=True)


def _set_aside(path: Path, stale: LeaseHolder | None) -> None:
    """Remove a stale lease; of several processes that try, one gets it."""
    aside = path.with_name(f".{path.name}.{uuid4().hex[:8]}")
    try:
        os.replace(path, aside)
        if read_holder(aside) == stale:
            aside.unlink(missing_ok=True)
        else:  # another process was faster, and this is its new lease
            os.replace(aside, path)
    except OSError as error:
        if path.exists():
            raise SslsegError(
                f"a lease {path} that cannot be removed ({error.strerror})",
                "permission to write in the project folder",
                "Close other programs that use the folder, then try again.",
            ) from error


def _alive(pid: int) -> bool:
    """Tell whether a process of this computer is running."""
    if sys.platform == "win32":
        import ctypes

        # os.kill would end the process there; 0x1000 asks for nothing but its existence
        kernel = ctypes.WinDLL("kernel32", use_last_error=True)
        handle = kernel.OpenProcess(0x1000, False, pid)
        if handle:
            kernel.CloseHandle(handle)
        return bool(handle) or ctypes.get_last_error() == _DENIED  # another user's
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
