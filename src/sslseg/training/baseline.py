"""The supervised baseline beside a training: it shows what the unlabelled volumes gave."""

from __future__ import annotations

from collections.abc import Generator, Iterator

from sslseg.core.catalogue import DEFAULT_METHOD
from sslseg.core.config import TrainRequest
from sslseg.core.errors import SslsegError
from sslseg.core.events import Event, FinishReason, RunFinished, Validated
from sslseg.methods import find
from sslseg.methods.shared import CriticParams, TrainingParams

BASELINE = "supervised"


def baseline_of(request: TrainRequest) -> TrainRequest:
    """Return the same training with labels alone: seed, length and shared settings are equal.

    The method's own settings fall away, and so does the discriminator's weight, which would let
    unlabelled images teach.

    Raises
    ------
    SslsegError
        When the method is the baseline itself.
    """
    if (request.method or DEFAULT_METHOD) == BASELINE:
        raise SslsegError(
            f"a baseline for {BASELINE}",
            "a method that learns from unlabelled volumes too",
            "Choose another method, or train without the baseline.",
        )
    models = (find(BASELINE).Params, TrainingParams, CriticParams)
    known = {name for each in models for name in each.model_fields} - {"critic_weight"}
    settings = {name: value for name, value in request.settings.items() if name in known}
    return request.model_copy(update={"method": BASELINE, "baseline": False, "settings": settings})


def watched(
    events: Iterator[Event],
) -> Generator[Event, None, tuple[Validated | None, FinishReason]]:
    """Pass a run's events on; return its last measurement and how it ended."""
    measured, reason = None, FinishReason.FAILED
    for event in events:
        if isinstance(event, Validated):
            measured = event
        elif isinstance(event, RunFinished):
            reason = event.reason
        yield event
    return measured, reason
