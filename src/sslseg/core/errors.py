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
