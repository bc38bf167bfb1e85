"""A model on disk: what a checkpoint says beside its tensors, and the way back to a trainer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict

from sslseg.core.config import Scalar, TrainRequest
from sslseg.core.errors import SslsegError, UnknownMethod
from sslseg.core.prediction import CriticHealth
from sslseg.methods import find
from sslseg.methods.base import MethodParams
from sslseg.methods.parameters import fill
from sslseg.methods.shared import CriticParams, TrainingParams
from sslseg.pretraining.base import PretextParams
from sslseg.storage import checkpoints
from sslseg.storage.runs import serving
from sslseg.training.device import Device
from sslseg.training.planner import Plan
from sslseg.training.relay import Relay
from sslseg.training.trainer import Trainer

FORMAT = 3


class ModelFacts(BaseModel):
    """Everything beside the tensors that a checkpoint needs; plain JSON.

    `baseline` marks a model that is only there to be compared with and never predicts.
    """

    model_config = ConfigDict(frozen=True)
    format: int = FORMAT
    run: str
    request: TrainRequest
    method: str
    plan: Plan
    classes: tuple[str, ...]
    step: int
    saw_held_out: bool = False
    baseline: bool = False
    pretrained: str = ""
    """The pre-training whose encoder its first step began from, if any."""
    critic: CriticHealth = CriticHealth()
    annotated: int | None = None
    """How many slices said something when it began; None of models made before this was kept."""
    trainings: int | None = None
    """How many trainings its weights went through, this one included; None if older ones did."""


def settings_of(
    method: str, settings: dict[str, Scalar]
) -> tuple[MethodParams, TrainingParams, CriticParams]:
    """Sort settings into the method's, the plan's and the critic's.

    Raises
    ------
    SslsegError
        When a name is unknown to all three, or a value does not fit.
    """
    models = (find(method).Params, TrainingParams, CriticParams)
    params, training, critic = sort_settings(method, settings, models)
    assert isinstance(params, MethodParams)
    assert isinstance(training, TrainingParams)
    assert isinstance(critic, CriticParams)
    return params, training, critic


def sort_settings(
    name: str, settings: dict[str, Scalar], models: Sequence[type[BaseModel]]
) -> list[BaseModel]:
    """Return each of `models` filled with the settings that it has.

    Raises
    ------
    SslsegError
        When a name is unknown to all of them, or a value does not fit.
    """
    known = {key for model in models for key in model.model_fields}
    unknown = sorted(set(settings) - known)
    if unknown:
        raise SslsegError(
            f"setting {unknown[0]!r} for method {name}",
            "one of " + ", ".join(sorted(known)),
            f"Correct the name; `{_lister(models)}` lists them.",
        )
    return [fill(model, settings) for model in models]


def _lister(models: Sequence[type[BaseModel]]) -> str:
    pretext = any(issubclass(each, PretextParams) for each in models)
    return "sslseg pretrain --help" if pretext else "sslseg methods"


def make_trainer(request: TrainRequest, method: str, plan: Plan, device: Device) -> Trainer:
    """Return a trainer with new weights that follow from the request's seed."""
    params, training, critic = settings_of(method, request.settings)
    kind = Trainer if plan.boxes is None else Relay
    return kind(find(method)(params, critic), plan, device, request.seed, training, critic)


def save(folder: Path, tensors: dict[str, torch.Tensor], facts: ModelFacts) -> Path:
    """Write a checkpoint: `weights` of a trainer that has done its work, `state` before."""
    return checkpoints.save(folder, facts.step, tensors, facts.model_dump(mode="json"))


def honest(run: Path) -> Path:
    """Return where a run keeps the model that never saw its held-out slices.

    The next round starts from it: else its validation would ask for what the model was taught.
    """
    return run / "before-held-out"


def rounds(project: Path) -> int:
    """Return how often somebody labelled and then trained.

    Trainings that began from as many annotated slices are one round, whether they were stopped and
    begun again or tried another method.
    """
    facts = (checkpoints.latest_facts(run) or {} for run in serving(project))
    return len({_begun_from(each) for each in facts})


def _begun_from(facts: dict[str, Any]) -> Any:
    known = facts.get("annotated")
    return facts.get("run") if known is None else known


def load_facts(project: Path) -> ModelFacts | None:
    """Return what the newest checkpoint says of itself, without its tensors; None if none is."""
    for folder in serving(project):
        facts = checkpoints.latest_facts(folder)
        if facts is not None:
            return _facts_of(facts)
    return None


def load_facts_and_tensors(project: Path) -> tuple[ModelFacts, dict[str, torch.Tensor]] | None:
    """Return the newest checkpoint of the newest run that verifies, or None.

    Raises
    ------
    SslsegError
        When there are runs, but every one is damaged: what is wrong with the newest.
    """
    problem: SslsegError | None = None
    for folder in serving(project):
        try:
            found = read(folder)
        except SslsegError as error:
            problem = problem or error
            continue
        if found is not None:
            return found
    if problem is not None:
        raise problem
    return None


def read(folder: Path) -> tuple[ModelFacts, dict[str, torch.Tensor]] | None:
    """Return the newest checkpoint in a folder that verifies; None where there is none.

    Raises
    ------
    SslsegError
        When there are some, but every one is damaged.
    """
    found = checkpoints.latest(folder)
    if found is None:
        return None
    tensors, facts = found
    return _facts_of(facts), {name: torch.from_numpy(array) for name, array in tensors.items()}


def _facts_of(facts: dict[str, Any]) -> ModelFacts:
    if facts.get("format") != FORMAT:
        raise SslsegError(
            f"a model of format {facts.get('format')}",
            f"format {FORMAT}",
            "Use the version of this program that made it, or train with --fresh.",
        )
    return ModelFacts.model_validate(facts)


def load(project: Path, device: Device) -> tuple[Trainer, ModelFacts]:
    """Return the newest model as a trainer that can predict.

    Raises
    ------
    SslsegError
        When there is no model yet, or none of its method's name is installed.
    """
    found = load_facts_and_tensors(project)
    if found is None:
        raise SslsegError(
            "a project without a trained model",
            "at least one training",
            "Label a few slices and press Train (or run `sslseg train`).",
        )
    facts, tensors = found
    try:
        trainer = make_trainer(facts.request, facts.method, facts.plan, device)
    except UnknownMethod as error:
        raise SslsegError(
            f"a model that was trained with {facts.method}, which is not installed",
            "the package with this method",
            "Install it, or train again with another method.",
        ) from error
    trainer.load_weights(tensors)
    trainer.step_count = facts.step
    return trainer, facts
