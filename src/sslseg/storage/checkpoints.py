"""Weights on disk: safetensors with a sealed JSON beside it, never pickle."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, numpy

from sslseg.core.errors import SslsegError
from sslseg.core.geometry import Array
from sslseg.storage.arrays import make_folder, seal, unseal, write_atomic

_KEPT = 2


def save(folder: Path, step: int, tensors: Mapping[str, Any], facts: Mapping[str, Any]) -> Path:
    """Write a checkpoint and drop all but the newest two.

    One of that step is left as it is: half replaced, it would be none.

    Parameters
    ----------
    folder : Path
        The run's folder; made if missing.
    step : int
        Optimiser steps done; a later checkpoint has a larger one.
    tensors : mapping
        Name to ndarray or torch tensor, any shape.
    facts : mapping
        Everything else that is needed to go on; must be JSON.

    Returns
    -------
    Path
        The safetensors file.

    Raises
    ------
    SslsegError
        If it cannot be written. Earlier checkpoints are then untouched.
    """
    make_folder(folder)
    path = folder / f"checkpoint-{step:09d}.safetensors"
    if path.exists() and path.with_suffix(".json").exists():
        return path
    data = numpy.save({name: _to_numpy(tensor) for name, tensor in tensors.items()})
    digest = hashlib.sha256(data).hexdigest()
    write_atomic(path, data)
    sidecar = seal({"step": step, "sha256": digest, "facts": dict(facts)})
    write_atomic(path.with_suffix(".json"), sidecar)
    for old in _newest_first(folder)[_KEPT:]:
        # the sidecar goes last, so that half a checkpoint is found and removed next time
        old.with_suffix(".safetensors").unlink(missing_ok=True)
        old.unlink(missing_ok=True)
    return path


def latest(folder: Path) -> tuple[dict[str, Array], dict[str, Any]] | None:
    """Return tensors and facts of the newest checkpoint that verifies; None if there is none.

    Raises
    ------
    SslsegError
        If there are checkpoints and every one is damaged.
    """
    sidecars = _newest_first(folder)
    for sidecar in sidecars:
        loaded = _load(sidecar)
        if loaded is not None:
            return loaded
    if sidecars:
        raise SslsegError(
            f"only damaged checkpoints in {folder}",
            "at least one with its original bytes",
            "Train anew with --fresh; annotations are not affected.",
        )
    return None


def latest_facts(folder: Path) -> dict[str, Any] | None:
    """Return the facts of the newest checkpoint with a sound sidecar; None if there is none."""
    for sidecar in _newest_first(folder):
        try:
            facts: dict[str, Any] = unseal(sidecar.read_bytes())["facts"]
        except (OSError, ValueError, KeyError):
            continue
        return facts
    return None


def _load(sidecar: Path) -> tuple[dict[str, Array], dict[str, Any]] | None:
    """Return one checkpoint, or None where a bit of it differs from what was written."""
    try:
        content = unseal(sidecar.read_bytes())
        data = sidecar.with_suffix(".safetensors").read_bytes()
        if hashlib.sha256(data).hexdigest() != content["sha256"]:
            return None
        return numpy.load(data), content["facts"]
    except (OSError, ValueError, KeyError, SafetensorError):
        return None


def _newest_first(folder: Path) -> list[Path]:
    return sorted(folder.glob("checkpoint-*.json"), reverse=True)


def _to_numpy(tensor: Any) -> Array:
    """Return a C-ordered array; torch tensors are known by their `detach`, without torch."""
    if hasattr(tensor, "detach"):
        tensor = tensor.detach().cpu().numpy()
    return np.asarray(tensor, order="C")
