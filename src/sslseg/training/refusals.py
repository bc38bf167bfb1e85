"""What a training is refused for before anything is built."""

from __future__ import annotations

from sslseg.core.errors import SslsegError
from sslseg.data.coverage import Coverage
from sslseg.methods.base import Method, MethodParams
from sslseg.methods.shared import TrainingParams


def refuse_nothing(covered: Coverage) -> None:
    """Raise SslsegError where nothing is labelled."""
    if not covered.planes:
        raise SslsegError(
            "no labelled slice",
            "at least one slice with painted voxels, or marked complete",
            "Paint a few slices, then train.",
        )


def refuse_slices(params: TrainingParams, method: type[Method[MethodParams]]) -> None:
    """Raise SslsegError where slices are asked of a method that learns from boxes alone."""
    if method.dimensions == "3d" and params.dimensions == "2.5d":
        raise SslsegError(
            f"dimensions=2.5d for method {method.name}",
            "dimensions=3d, since it compares several planes of the same box",
            "Leave dimensions out, or choose another method.",
        )
