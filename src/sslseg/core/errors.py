"""The one error that people see: what was got, what was expected, what to do."""

from __future__ import annotations


class SslsegError(Exception):
    """A problem that the user can solve, told in one plain line.

    The same text is shown in the GUI and on the command line.

    Parameters
    ----------
    got : str
        What the program met, naming the file, case or value.
    expected : str
        What it can work with.
    todo : str
        What the user can do about it.
    """

    def __init__(self, got: str, expected: str, todo: str) -> None:
        super().__init__(got, expected, todo)
        self.got = got
        self.expected = expected
        self.todo = todo

    def __str__(self) -> str:
        return f"Got {self.got}; expected {self.expected}. {self.todo}"


class Unwritable(SslsegError):
    """The system refused to write a file; what it said is the `__cause__`."""


class UnknownMethod(SslsegError):
    """No method of this name is installed."""


class UnknownLabels(SslsegError):
    """Labels hold a value that no class has; other slices may be sound."""


class Cancelled(Exception):
    """Raised inside long work when the user asked for it to stop; never an error to show."""


OUT_OF_MEMORY = (
    "The computer or its graphics card ran out of memory. Close other programs, "
    "or choose a smaller patch or batch, and try again."
)

_MEMORY_SIGNS = ("MemoryError", "out of memory", "can't allocate memory", "bad_alloc")


def is_out_of_memory(text: str) -> bool:
    """Tell whether an error's class and words speak of exhausted memory."""
    return any(sign in text for sign in _MEMORY_SIGNS)


def out_of_memory(error: Exception) -> bool:
    """Tell whether an error is one of exhausted memory, of the computer or of its card."""
    return is_out_of_memory(f"{type(error).__name__}: {error}")
