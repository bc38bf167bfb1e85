"""From which earlier run a training goes on; and where it starts anew, why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from sslseg.core.errors import SslsegError
from sslseg.storage import checkpoints
from sslseg.storage.runs import runs
from sslseg.training import model
from sslseg.training.planner import Plan
from sslseg.training.trainer import Trainer

TAUGHT = (
    "Starts anew: the last run of this method learnt from the slices held out, so that a Dice on "
    "them would mean nothing."
)
GOES_ON = "Goes on from run {run}{halfway}."
HALFWAY = ", as it was at step {step} before the slices held out taught it too"
UNLIKE = "Starts anew: the network of the last run does not fit any more, since {why}."

Model = tuple[model.ModelFacts, dict[str, torch.Tensor]]


@dataclass(frozen=True)
class Line:
    """What a method has learnt before.

    Parameters
    ----------
    newest : (ModelFacts, dict of tensors) or None
        The newest model that a training can go on from.
    broken : str
        Why there is none, in words, though the method was trained before; else "".
    """

    newest: Model | None = None
    broken: str = ""


def line(project: Path, method: str, plan: Plan, *, measured: bool) -> Line:
    """Return what a training of this method and plan can go on from.

    The network must have the same shape, and of slices also the plane must be the same: another
    one shows another image. A baseline trained in between does not break the line of a method.

    Parameters
    ----------
    project : Path
        The folder.
    method : str
        Its name.
    plan : Plan
        Of the training that begins.
    measured : bool
        Whether that one measures a Dice, which a model that learnt from the held-out slices spoils.
    """
    broken = ""
    for run in runs(project):
        facts = checkpoints.latest_facts(run)
        if facts is None or facts.get("method") != method or facts.get("format") != model.FORMAT:
            continue
        found = _untaught(run) if measured else model.read(run)
        reason = TAUGHT if found is None else unlike(found[0].plan, plan)
        if not reason:
            return Line(found)
        broken = broken or reason
    return Line(broken=broken)


def going_on(project: Path, facts: model.ModelFacts) -> str:
    """Return in words from what a training goes on: a run's end, or what it was before."""
    last = checkpoints.latest_facts(project / "runs" / facts.run) or {}
    halfway = HALFWAY.format(step=facts.step) if last.get("saw_held_out") else ""
    return GOES_ON.format(run=facts.run, halfway="" if facts.saw_held_out else halfway)


def take_over(trainer: Trainer, tensors: Mapping[str, torch.Tensor]) -> None:
    """Let a trainer go on from what an earlier run learnt.

    The student begins as that run's average, where there is one: the average is the smoother of
    the two, and the first step would make it a copy of the student.
    """
    trainer.load_weights(tensors)
    nets = trainer.nets
    if "teacher" in nets and "student" in nets:
        nets["student"].load_state_dict(nets["teacher"].state_dict())


def newest_plan(project: Path, method: str) -> Plan | None:
    """Return the plan of the newest run of a method, None where it has none that can be read."""
    for run in runs(project):
        facts = checkpoints.latest_facts(run)
        if facts and facts.get("method") == method and facts.get("format") == model.FORMAT:
            return Plan.model_validate(facts["plan"])
    return None


def unlike(old: Plan, new: Plan) -> str:
    """Return in words why a network of the `old` plan does not fit the `new` one, "" if it does."""
    one, other = old.network, new.network
    if (one, old.axis) == (other, new.axis):
        return ""
    if (one.dims, old.axis) != (other.dims, new.axis):
        why = "volumes are read in another way"
    elif one.classes != other.classes:
        why = "there are other classes"
    elif one.in_channels != other.in_channels:
        why = "it would see another number of neighbouring slices"
    elif (one.channels[0], one.dropout) != (other.channels[0], other.dropout):
        why = "its width or its dropout was changed"
    else:
        why = "most volumes now have another size or shape"
    return UNLIKE.format(why=why)


def _untaught(run: Path) -> Model | None:
    """Return the newest model of a run that never saw its held-out slices, if one is left.

    Where keeping it failed, no slice joined: then the run's own checkpoint is such a model.
    """
    problem: SslsegError | None = None
    for folder in (model.honest(run), run):
        try:
            found = model.read(folder)
        except SslsegError as error:
            problem = problem or error
            continue
        if found is not None and not found[0].saw_held_out:
            return found
    if problem is not None:
        raise problem
    return None
