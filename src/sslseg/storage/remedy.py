"""What a user can do when the system refuses to write, told by the cause."""

from __future__ import annotations

import errno
import sqlite3

from sslseg.core.errors import SslsegError, Unwritable

FULL = "Free some space"
FORBIDDEN = "Ask for permission to write there, or copy the project to a folder of your own"
BUSY = "Close the other program that uses it"
OTHER = "Check the disk and the permissions of the folder"

_BY_ERRNO = {
    errno.ENOSPC: FULL,
    errno.EDQUOT: FULL,
    errno.EACCES: FORBIDDEN,
    errno.EPERM: FORBIDDEN,
    errno.EROFS: FORBIDDEN,
    errno.EBUSY: BUSY,
}
_BY_SQLITE = {
    sqlite3.SQLITE_FULL: FULL,
    sqlite3.SQLITE_READONLY: FORBIDDEN,
    sqlite3.SQLITE_PERM: FORBIDDEN,
    sqlite3.SQLITE_BUSY: BUSY,
    sqlite3.SQLITE_LOCKED: BUSY,
}


def remedy(error: BaseException) -> str:
    """Return what to do about an error of the file system or of SQLite, without a full stop."""
    if isinstance(error, OSError):
        return _BY_ERRNO.get(error.errno or 0, OTHER)
    # the low byte is the kind of error; the rest tells variants apart
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return _BY_SQLITE.get(code, OTHER)


def lasting(error: SslsegError) -> bool:
    """Tell whether writing failed for want of room or permission, as that of the next file will.

    Where a write falls short numpy does not pass on the reason: then the disk is full as a rule.
    """
    cause = error.__cause__
    if not (isinstance(error, Unwritable) and isinstance(cause, OSError)):
        return False
    return cause.errno is None or remedy(cause) in (FULL, FORBIDDEN)
