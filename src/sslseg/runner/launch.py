"""With what words, environment and log a worker is started."""

from __future__ import annotations

import os
import platform
import shlex
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import platformdirs

from sslseg.core.errors import SslsegError

KEPT_LOGS = 10


def local_argv() -> list[str]:
    """Return the command line of a worker on this machine.

    With ``-P`` a stray ``torch.py`` in the current folder is not mistaken for the library.
    """
    return [sys.executable, "-P", "-m", "sslseg.worker"]


def ssh_argv(host: str, python: str = "python3") -> list[str]:
    """Return the command line of a worker on another machine, for `ProcessRunner`.

    The project folder must have the same path there. Nothing listens on any port; the worker
    ends when the connection does.

    Parameters
    ----------
    host : str
        As for ssh: ``name``, ``user@name`` or an alias of the user's ssh configuration.
    python : str
        Interpreter on the host whose environment has this package.

    Raises
    ------
    SslsegError
        If `host` is empty or looks like an option.
    """
    if not host or host.startswith("-"):
        raise SslsegError(f"the host {host!r}", "a name as ssh takes it", "Name the host.")
    alive = ["-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=4"]
    remote = f"{shlex.quote(python)} -P -m sslseg.worker"
    return ["ssh", "-T", "-o", "BatchMode=yes", *alive, host, remote]


def physical_cores() -> int:
    """Return how many cores this process may use, hyper-threads counted once."""
    if sys.platform == "linux":
        allowed = os.sched_getaffinity(0)
        siblings = {_siblings(cpu) for cpu in allowed}
        return max(1, len(siblings))
    logical = os.cpu_count() or 1
    # Where the system tells only logical ones: x86 cores mostly run two threads each.
    return max(1, logical // 2) if platform.machine() in ("AMD64", "x86_64") else logical


def _siblings(cpu: int) -> str:
    path = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
    try:
        return path.read_text()
    except OSError:
        return str(cpu)


def thread_count(environ: Mapping[str, str] | None = None) -> int:
    """Return how many threads a worker computes with.

    Two cores are left to the viewer where there are four or more. ``SSLSEG_THREADS`` in the
    environment overrides this.

    Raises
    ------
    SslsegError
        If ``SSLSEG_THREADS`` is not a positive number.
    """
    asked = (os.environ if environ is None else environ).get("SSLSEG_THREADS", "")
    if asked:
        if not asked.isdecimal() or int(asked) < 1:
            raise SslsegError(
                f"SSLSEG_THREADS={asked}", "a number of threads", "Correct or unset it."
            )
        return int(asked)
    cores = physical_cores()
    return cores - 2 if cores >= 4 else cores


def child_environment(base: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of a worker: threads capped before any library is imported."""
    environ = dict(os.environ if base is None else base)
    threads = str(thread_count(environ))
    return environ | {
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "PYTHONUNBUFFERED": "1",
        "PYTHONIOENCODING": "utf-8",
    }


def new_log(folder: Path | None = None) -> Path | None:
    """Return the path of a new log file; the newest ten are kept.

    Returns
    -------
    Path or None
        None where the folder of logs cannot be written.
    """
    folder = folder or Path(platformdirs.user_log_dir("napari-sslseg", appauthor=False))
    path = folder / f"worker-{time.strftime('%Y%m%d-%H%M%S')}-{time.monotonic_ns():x}.log"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.touch()
        for old in sorted(folder.glob("worker-*.log"))[:-KEPT_LOGS]:
            old.unlink(missing_ok=True)
    except OSError:
        return None
    return path
