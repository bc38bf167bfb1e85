"""How many files a process may hold open; a memory-mapped array holds one."""

from __future__ import annotations

import errno
import sys
from contextlib import suppress

OTHERS = 128
"""Files that a process holds open beside the arrays."""

EXHAUSTED = (errno.EMFILE, errno.ENFILE)
"""Errors that say nothing about the file that could not be opened."""


def allow_open_files(count: int) -> None:
    """Raise this process's own limit where `count` arrays would reach it.

    macOS begins with 256 and Linux with 1024, though both allow a process far more when it asks.
    Windows has no such limit for mapped files. Where the system refuses, opening will say so.
    """
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + OTHERS
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
