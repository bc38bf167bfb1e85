"""Carry out one command so that it always ends in the same way."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

from sslseg.core.commands import Command
from sslseg.core.control import Control
from sslseg.core.errors import OUT_OF_MEMORY, Cancelled, SslsegError, is_out_of_memory
from sslseg.core.events import CommandDone, Event, FinishReason
from sslseg.runner.ledger import OpenRun

Handle = Callable[[Command, Control], Iterator[Event]]

_LOG = logging.getLogger(__name__)


def plain_words(error: Exception) -> str:
    """Return one line about an error, for the screen."""
    if isinstance(error, SslsegError):
        return str(error)
    text = f"{type(error).__name__}: {error}"
    return OUT_OF_MEMORY if is_out_of_memory(text) else text.strip().partition("\n")[0]


def perform(handle: Handle, command: Command, control: Control) -> Iterator[Event]:
    """Yield a handler's events, the RunFinished it may owe, and one CommandDone.

    Parameters
    ----------
    handle : callable
        Yields the events of a command; may raise.
    command : Command
        What to do.
    control : Control
        Given to the handler; `Cancelled` raised because of it is no failure.
    """
    run = OpenRun()
    message = ""
    reason = FinishReason.COMPLETED
    try:
        for event in handle(command, control):
            run.note(event)
            yield event
    except Cancelled:
        reason = FinishReason.STOPPED
    except Exception as error:  # noqa: BLE001 - a process boundary: the worker must outlive this
        reason, message = FinishReason.FAILED, plain_words(error)
        if not isinstance(error, SslsegError):
            _LOG.exception("%s failed", command.kind)
    # Out of the except block, so that the traceback no longer holds tensors.
    yield from run.finish(reason, message)
    yield CommandDone(command=command.kind, message=message)
