"""One pre-training on a project: the planner's network learns from all images, without labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from torch import nn

from sslseg.core.catalogue import DEFAULT_PRETRAINING
from sslseg.core.config import TrainRequest
from sslseg.core.control import Control
from sslseg.core.errors import SslsegError
from sslseg.core.events import Event, RunStarted, Task
from sslseg.data.coverage import coverage
from sslseg.data.preprocessing import load_if_readable, prepare_all
from sslseg.data.project import left_out
from sslseg.data.sampling import Sampler, TrainingCase
from sslseg.methods.shared import CriticParams, TrainingParams
from sslseg.pretraining import find
from sslseg.pretraining.base import Pretext, PretextParams
from sslseg.storage.arrays import make_folder
from sslseg.storage.runs import new_run
from sslseg.storage.store import ProjectStore
from sslseg.training import pretrained
from sslseg.training.device import Device, choose
from sslseg.training.embeddings import embeddings, write
from sslseg.training.loop import Job
from sslseg.training.model import load_facts, sort_settings
from sslseg.training.planner import WITHOUT_LABELS, Plan, make_plan
from sslseg.training.round import schedule_of
from sslseg.training.trainer import Trainer


@dataclass
class PretrainingRound:
    """Everything one pre-training of a project needs; `job` hands it to the loop.

    The plan is made as for a training of the same settings and length, from the annotations that
    there are (none: those of `first_plane`), so that its encoder fits the later network.

    Parameters
    ----------
    store : ProjectStore
        Read only.
    request : TrainRequest
        What the user asked for; `fresh` says nothing here, since each begins anew.
    control : Control
        Stops preparation too.

    Raises
    ------
    SslsegError
        When there is no case, a setting is wrong, or the device is not there.
    """

    store: ProjectStore
    request: TrainRequest
    control: Control
    run: str = field(init=False)
    pretext: Pretext[PretextParams] = field(init=False)
    device: Device = field(init=False)
    plan: Plan = field(init=False)
    trainer: Trainer = field(init=False)
    _images: list[TrainingCase] = field(init=False, default_factory=list)
    _left_out: list[SslsegError] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        """Check the request and build the networks; nothing is trained or written yet."""
        chosen = find(self.request.method or DEFAULT_PRETRAINING)
        models = (chosen.Params, TrainingParams)
        params, training = sort_settings(chosen.name, self.request.settings, models)
        assert isinstance(params, PretextParams)
        assert isinstance(training, TrainingParams)
        self.device = choose(self.request.device)
        self.plan = _unlabelled(self._planned(training))
        nobody = CriticParams.model_validate({"critic": False})
        self.pretext = chosen(params, nobody)
        seed = self.request.seed
        self.trainer = Trainer(self.pretext, self.plan, self.device, seed, training, nobody)
        self.run = new_run(pretrained.folder_of(self.store.path), chosen.name)

    def _planned(self, training: TrainingParams) -> Plan:
        """Return the plan of a training of this length, which keeps the network of the last one."""
        cases, covered = self.store.cases(), coverage(self.store)
        if not cases:
            raise SslsegError(
                "no images", "at least one case", "Add volumes, then learn from them."
            )
        minutes = schedule_of(self.request, self.device)[0].minutes
        last = load_facts(self.store.path)
        before = last.plan if last else None
        classes = len(self.store.classes) + 1
        return make_plan(
            cases, covered, classes, self.device, training, minutes=minutes, before=before
        )

    def job(self) -> Job:
        """Return the job for `sslseg.training.loop.train`."""
        schedule, length = schedule_of(self.request, self.device)
        return Job(
            trainer=self.trainer,
            schedule=schedule,
            started=RunStarted(
                run=self.run,
                task=Task.PRETRAINING,
                method=self.pretext.name,
                device=self.device.name,
                plan=(*self.plan.words, "No label is looked at.", *length),
                steps=schedule.steps,
                minutes=schedule.minutes,
            ),
            prepare=self._prepare,
            data=lambda: self,
            left_out=lambda: left_out(self._left_out),
            validate=lambda: [],
            join_held_out=lambda: None,
            preview=lambda: None,
            save=self._save,
            conclude=self._save,
            afterwards=self._describe,
        )

    # ---- the loop's data ----

    def changed(self) -> bool:
        """Strokes say nothing to it."""
        return False

    def sampler(self) -> Sampler:
        """Return a sampler over all images."""
        return Sampler(self._images, self.plan.patches, self.request.seed)

    def _prepare(self) -> Iterator[Event]:
        make_folder(pretrained.folder_of(self.store.path) / self.run)  # at once, as in `Round`
        cases, spacing = self.store.cases(), self.plan.spacing
        yield from prepare_all(self.store, cases, spacing, self.control, needed=())
        for record in cases:
            found = load_if_readable(self.store, record, spacing, needed=())
            if isinstance(found, SslsegError):
                self._left_out.append(found)
            else:
                self._images.append(TrainingCase(record.name, found.image, None))
        if not self._images:
            raise self._left_out[0]

    def _describe(self) -> Iterator[Event]:
        folder = pretrained.folder_of(self.store.path) / self.run
        nets, device = nn.ModuleDict(self.trainer.nets), self.device.torch
        patches = self.plan.patches
        found = yield from embeddings(nets, self._images, patches, device, self.control)
        write(folder, found)

    def _save(self) -> str:
        facts = pretrained.PretrainedFacts(
            run=self.run,
            method=self.pretext.name,
            network=self.plan.network,
            step=self.trainer.step_count,
            request=self.request,
        )
        return str(pretrained.save(self.store.path, self.pretext.learnt(self.trainer.nets), facts))


def _unlabelled(plan: Plan) -> Plan:
    """Return the plan with all items of a batch drawn from anywhere."""
    both = plan.labelled + plan.unlabelled
    batches = f"Batches of {both} patches of {' x '.join(map(str, plan.patch))} voxels."
    words = (*plan.words[:WITHOUT_LABELS], batches)
    return plan.model_copy(update={"labelled": 0, "unlabelled": both, "words": words})
