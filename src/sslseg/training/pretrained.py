"""What was learnt from images alone, on disk, and the way from there into a training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict

from sslseg.core.config import TrainRequest
from sslseg.core.errors import SslsegError
from sslseg.networks.factory import NetworkSpec
from sslseg.pretraining import find
from sslseg.storage import checkpoints
from sslseg.training.trainer import Trainer

FORMAT = 2


class PretrainedFacts(BaseModel):
    """What stands beside the tensors; plain JSON."""

    model_config = ConfigDict(frozen=True)
    format: int = FORMAT
    run: str
    method: str
    network: NetworkSpec
    step: int
    request: TrainRequest

    @property
    def words(self) -> str:
        """By what it was pre-trained, for the screen."""
        return find(self.method).words


def folder_of(project: Path) -> Path:
    """Return where a project keeps what it learnt from images alone."""
    return project / "pretraining"


def save(project: Path, tensors: dict[str, torch.Tensor], facts: PretrainedFacts) -> Path:
    """Write the tensors that trainings start from; whole or not at all."""
    folder = folder_of(project) / facts.run
    return checkpoints.save(folder, facts.step, tensors, facts.model_dump(mode="json"))


def newest(project: Path, network: NetworkSpec) -> PretrainedFacts | None:
    """Return the facts of the newest pre-training whose encoder fits `network`, if any."""
    return next((facts for facts in _all(project) if fits(facts.network, network)), None)


def exists(project: Path) -> bool:
    """Tell whether anything was pre-trained, whatever its shape."""
    return any(True for _ in _all(project))


def fits(one: NetworkSpec, other: NetworkSpec) -> bool:
    """Tell whether encoders of the two have the same shape."""
    shape = {"dims", "in_channels", "channels", "strides"}
    return one.model_dump(include=shape) == other.model_dump(include=shape)


def take_over(trainer: Trainer, project: Path, facts: PretrainedFacts) -> bool:
    """Let the trainer's networks start from a pre-training; tell whether any of them could.

    A damaged file counts as none: it can be made again.
    """
    try:
        found = checkpoints.latest(folder_of(project) / facts.run)
    except SslsegError:
        return False
    if found is None:
        return False
    tensors = {name: torch.from_numpy(array) for name, array in found[0].items()}
    return trainer.load_pretrained(tensors) > 0


def _all(project: Path) -> list[PretrainedFacts]:
    """Return the facts of every pre-training that this version can read, newest first."""
    folders = {path.parent for path in folder_of(project).glob("*/checkpoint-*.json")}
    ordered = sorted(folders, key=lambda folder: folder.name, reverse=True)
    return [known for known in map(_facts, ordered) if known is not None]


def _facts(folder: Path) -> PretrainedFacts | None:
    facts: dict[str, Any] | None = checkpoints.latest_facts(folder)
    if facts is None or facts.get("format") != FORMAT:
        return None
    return PretrainedFacts.model_validate(facts)
