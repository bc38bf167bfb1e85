"""Errors in what a button starts become one plain line on the screen."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

from napari.utils.notifications import show_error

from sslseg.core.errors import SslsegError

P = ParamSpec("P")
S = TypeVar("S")


def guarded(slot: Callable[Concatenate[S, P], object]) -> Callable[Concatenate[S, P], None]:
    """Wrap a slot so that an `SslsegError` is shown; other errors are napari's to report.

    Surplus arguments of a Qt signal (whether a button is checked) are dropped.
    """
    count = len(inspect.signature(slot).parameters) - 1

    def wrapped(self: S, /, *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            slot(self, *args[:count], **kwargs)  # type: ignore[arg-type]
        except SslsegError as error:
            show_error(str(error))

    # Not `functools.wraps`: signals would look through it at the signature of `slot`.
    functools.update_wrapper(wrapped, slot)
    del wrapped.__dict__["__wrapped__"]
    return wrapped
