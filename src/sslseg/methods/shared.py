"""Parameters that every method shares: the plan's and the riding discriminator's."""

from __future__ import annotations

import math
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic_core import PydanticCustomError

from sslseg.losses.adversarial import Form

ADVANCED: dict[str, Any] = {"advanced": True}
"""Marks a field that the form folds away."""

Precision = Literal["auto", "mixed", "single"]

SMALLEST_PATCH = 16
"""Voxels; in smaller ones there is nothing to recognise."""


class TrainingParams(BaseModel):
    """What the planner chooses unless told otherwise."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    dimensions: Literal["auto", "2.5d", "3d"] = Field(
        "auto", description="Slices with their neighbours (2.5d) or whole boxes (3d)."
    )
    plane: Literal["auto", "sagittal", "coronal", "axial"] = Field(
        "auto", description="The plane that a 2.5d network reads.", json_schema_extra=ADVANCED
    )
    context: int = Field(
        5,
        ge=1,
        le=31,
        description="Neighbouring slices that a 2.5d network sees, itself included.",
        json_schema_extra=ADVANCED,
    )
    relay: bool = Field(
        False,
        description="In the second part of the run a 3-D network learns what the slices' one says "
        "of all volumes; for small volumes and several minutes.",
        json_schema_extra=ADVANCED,
    )
    width: int = Field(
        0,
        ge=0,
        le=128,
        description="Features of the first level; 0 lets the planner choose.",
        json_schema_extra=ADVANCED,
    )
    batch: int = Field(
        0,
        ge=0,
        le=256,
        description="Labelled items in a batch; 0 lets the planner choose.",
        json_schema_extra=ADVANCED,
    )
    patch: int = Field(
        0,
        ge=0,
        le=1024,
        description="Longest side of a patch in voxels, 16 or more; 0 lets the planner choose.",
        json_schema_extra=ADVANCED,
    )
    spacing: str = Field(
        "auto",
        description="Voxel size in mm to which volumes are resampled, across thick slices never; "
        "auto lets the planner choose, own keeps each volume's.",
        json_schema_extra=ADVANCED,
    )
    precision: Precision = Field(
        "auto",
        description="Of the numbers that networks compute with; auto takes mixed where that is "
        "faster.",
        json_schema_extra=ADVANCED,
    )
    looks: int = Field(
        0,
        ge=0,
        le=4,
        description="Slightly moved looks at a volume whose mean is the prediction; 0 lets the "
        "planner choose.",
        json_schema_extra=ADVANCED,
    )
    learning_rate: float = Field(
        6e-3,
        gt=0,
        le=1,
        description="Of AdamW; falls to 0 over the run.",
        json_schema_extra=ADVANCED,
    )
    weight_decay: float = Field(
        1e-2, ge=0, le=1, description="Of AdamW.", json_schema_extra=ADVANCED
    )
    dropout: float = Field(
        0.0,
        ge=0,
        le=0.9,
        description="Share of features dropped in each block.",
        json_schema_extra=ADVANCED,
    )
    mirror: bool = Field(
        False,
        description="Also learn from mirrored patients; wrong where left and right differ.",
        json_schema_extra=ADVANCED,
    )
    warp: float = Field(
        1.0,
        ge=0,
        le=3,
        description="Strength of the random deformations; 0 shows images as they are.",
        json_schema_extra=ADVANCED,
    )
    paste: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Share of labelled items into which a piece of another is pasted.",
        json_schema_extra=ADVANCED,
    )
    islands: Literal["auto", "keep", "erase"] = Field(
        "auto",
        description="Whether pieces far smaller than the object are erased from predictions; "
        "auto erases them where three complete slices or more each show one piece, larger ones "
        "where slices of two planes do.",
        json_schema_extra=ADVANCED,
    )
    pretrained: bool = Field(
        True,
        description="Begin from the newest pre-training on the project's images, if it fits.",
        json_schema_extra=ADVANCED,
    )
    validation: bool = Field(
        True,
        description="Keep the held-out slices out of training and measure Dice on them.",
        json_schema_extra=ADVANCED,
    )

    @field_validator("patch")
    @classmethod
    def _large_enough(cls, side: int) -> int:
        if 0 < side < SMALLEST_PATCH:
            raise PydanticCustomError("patch", f"{SMALLEST_PATCH} to 1024 voxels, or 0")
        return side

    @field_validator("spacing", mode="before")
    @classmethod
    def _as_written(cls, size: object) -> str:
        """Take a number as text: a form has but one type."""
        text = str(size).strip()
        if text not in ("auto", "own") and not _is_size(text):
            raise PydanticCustomError("spacing", "auto, own, or one voxel size in mm")
        return text


def _is_size(text: str) -> bool:
    try:
        return 0 < float(text) < math.inf
    except ValueError:
        return False


class CriticParams(BaseModel):
    """The pixel discriminator that can ride along with every method.

    How it plays and learns holds for the critics of a method's own too. The settings after
    `critic_start` are remedies; docs/methods.md says which symptom asks for which. The published
    critics of `dan`, `adaptsegnet`, `advent` and `advsemiseg` learn at 1e-4, with poly decay in all
    but the first; they are larger, unbounded and have tens of thousands of steps. Ours have
    spectral norm and some hundred steps: 1e-3, which stays unless `critic_decay`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    critic: bool = Field(
        True, description="Train a discriminator; its belief is the confidence layer."
    )
    critic_weight: float = Field(
        0.0,
        ge=0,
        le=1,
        json_schema_extra=ADVANCED,
        description="How strongly it also pushes the model (adversarial term); 0: it only watches.",
    )
    critic_start: float = Field(
        0.3,
        ge=0,
        le=1,
        description="Share of the run before it pushes.",
        json_schema_extra=ADVANCED,
    )
    critic_learning_rate: float = Field(
        1e-3, gt=0, le=0.1, description="Of its Adam.", json_schema_extra=ADVANCED
    )
    critic_decay: bool = Field(
        False,
        description="Let its learning rate fall to 0 over the run, as the model's does.",
        json_schema_extra=ADVANCED,
    )
    critic_loss: Form = Field(
        "cross-entropy",
        description="How discriminators are scored; the others keep teaching when one wins.",
        json_schema_extra=ADVANCED,
    )
    critic_real: float = Field(
        1.0,
        ge=0.5,
        le=1,
        description="Target of real maps; 0.9 keeps a discriminator from being too sure.",
        json_schema_extra=ADVANCED,
    )
    critic_noise: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Deviation of the noise on all that it reads; falls to 0 over the run.",
        json_schema_extra=ADVANCED,
    )
    critic_spectral_norm: bool = Field(
        True, description="Bound how sharply it may answer.", json_schema_extra=ADVANCED
    )
    critic_gradient_penalty: float = Field(
        0.0,
        ge=0,
        le=100,
        description="Weight of its squared slope on real maps (R1); 1 to 10 where it is too sharp.",
        json_schema_extra=ADVANCED,
    )
    critic_pushes_from: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Accuracy that it must pass before it pushes the model; 0: always pushes.",
        json_schema_extra=ADVANCED,
    )
    critic_learns_until: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Accuracy from which it stops learning until it errs again; 1: always learns.",
        json_schema_extra=ADVANCED,
    )
