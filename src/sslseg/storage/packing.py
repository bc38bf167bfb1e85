"""The labels of one slice as bytes, with a checksum over what they are and where they belong."""

from __future__ import annotations

import hashlib
import zlib

import numpy as np
import numpy.typing as npt

from sslseg.core.annotation import SliceKey, SliceState
from sslseg.core.errors import SslsegError


def pack(labels: npt.NDArray[np.uint8]) -> bytes:
    """Return ``(H, W)`` labels, compressed."""
    return zlib.compress(labels.tobytes(), 1)


def checksum(key: SliceKey, state: SliceState, labels: npt.NDArray[np.uint8]) -> str:
    """Return the SHA-256 over place, state, shape and labels of a slice revision."""
    place = f"{key.case}|{key.plane.value}|{key.index}|{state.value}|{labels.shape}|"
    return hashlib.sha256(place.encode() + labels.tobytes()).hexdigest()


def unpack(
    packed: bytes, shape: tuple[int, int], key: SliceKey, state: SliceState, expected: str
) -> npt.NDArray[np.uint8]:
    """Return the labels ``(H, W)`` of a revision.

    Raises
    ------
    SslsegError
        If a bit differs from what was saved; names case, plane and slice.
    """
    try:
        labels = np.frombuffer(zlib.decompress(packed), np.uint8).reshape(shape)
    except (zlib.error, ValueError) as error:
        raise _damaged(key) from error
    if checksum(key, state, labels) != expected:
        raise _damaged(key)
    return labels


def values_in(packed: bytes) -> set[int]:
    """Return which values packed labels hold; none where they are damaged."""
    try:
        return set(zlib.decompress(packed))
    except zlib.error:
        return set()


def _damaged(key: SliceKey) -> SslsegError:
    return SslsegError(
        f"a damaged revision of case {key.case}, {key.plane.value} slice {key.index}",
        "the labels as they were saved",
        "An earlier revision of the slice can be used instead.",
    )
