"""Keeps Python 3.11 alive under PySide6 6.12.0.

That version gives back one reference to None too many at every call that returns nothing. From
Python 3.12 on None is immortal and nothing happens; before, the count reaches zero after some
hundred thousand calls, minutes of labelling, and the process aborts with "deallocating None".
"""

from __future__ import annotations

import ctypes
import sys

import qtpy

_PLENTY = 1 << 40


def keep_none() -> None:
    """Give None more references than PySide6 can ever take."""
    if (
        sys.version_info < (3, 12)
        and qtpy.API_NAME == "PySide6"
        and sys.getrefcount(None) < _PLENTY
    ):
        # The count is the first word of every object of CPython.
        ctypes.c_ssize_t.from_address(id(None)).value += _PLENTY
