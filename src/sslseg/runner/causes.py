"""Why a worker died, in words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from sslseg.core.errors import OUT_OF_MEMORY, is_out_of_memory

_KILLED = -9
_SEGFAULT = (-11, 0xC0000005, 0xC0000005 - 2**32)
"""POSIX, and Windows unsigned and signed."""

GARBAGE = "It was ended because its answers could not be read."
UNANSWERED = "It was ended because it no longer answered."

_ERROR_LINE = re.compile(r"^(Fatal Python error:|[\w.]*(Error|Exception|Interrupt)\b)")


def last_error(lines: Sequence[str]) -> str:
    """Return the newest line that names an error, else the last that says anything."""
    spoken = [line.strip() for line in lines if line.strip()]
    named = [line for line in spoken if _ERROR_LINE.match(line)]
    return (named or spoken or [""])[-1]


def cause_of_death(code: int, lines: Sequence[str]) -> str:
    """Say why the worker ended.

    Parameters
    ----------
    code : int
        Exit status as `subprocess` gives it: negative for a signal.
    lines : sequence of str
        What it last wrote to stderr, oldest first.
    """
    if code == _KILLED:
        return "It was killed from outside; often this means that the computer ran out of memory."
    if code in _SEGFAULT:
        return "It crashed inside a native library (segmentation fault)."
    told = last_error(lines).rstrip(".")
    if is_out_of_memory(told):
        return OUT_OF_MEMORY
    how = f"by signal {-code}" if code < 0 else f"with exit status {code}"
    return f"It ended {how}: {told}." if told else f"It ended {how}."


def obituary(cause: str, kept: str, log: Path | None) -> str:
    """Return the line for the screen; `kept` says what of the work is not lost."""
    where = f" Log: {log}" if log else ""
    return f"The background process ended. {cause} {kept} Try again to go on.{where}"
