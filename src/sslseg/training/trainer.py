"""Networks, optimiser and one step: everything that a checkpoint holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from pydantic import BaseModel
from torch import Tensor, nn

from sslseg.core.seeds import step_seed
from sslseg.data.sampling import Sampler
from sslseg.data.views import Views
from sslseg.data.warp import WarpRange
from sslseg.inference.predictor import Predictor
from sslseg.losses.ramps import poly
from sslseg.methods.base import Learner, Method, StepOutput, critics, optimised
from sslseg.methods.shared import CriticParams, TrainingParams
from sslseg.networks.discriminators import PixelDiscriminator, record_of
from sslseg.networks.factory import Maker, flattened, memory_format
from sslseg.networks.record import Record
from sslseg.networks.unet import Decoder, Encoder
from sslseg.training.critic import RidingCritic, slow_down
from sslseg.training.device import Device
from sslseg.training.planner import CALMEST, LOOKS, Plan
from sslseg.training.tensors import (
    copied,
    load,
    load_optimiser,
    load_whole,
    named,
    optimiser_state,
)

CLIP_NORM = 12.0
WARM_UP_STEPS, WARM_UP_SHARE = 20, 0.15
"""The learning rate rises over so many steps, or over that share of a run of few steps."""

BAD_STEPS_ALLOWED = 20


@dataclass(frozen=True)
class StepReport:
    """What one step tells: the weighted terms by name, and the learning rate used."""

    terms: dict[str, float]
    learning_rate: float


class Diverged(Exception):
    """Raised when the loss was not finite for too many steps in a row."""


@dataclass
class Trainer:
    """One model in training.

    Parameters
    ----------
    method : Learner
        Gives networks and terms: a method, or a way to learn from images alone.
    plan : Plan
        Fixes shapes and optimiser.
    device : Device
        Where it runs.
    seed : int
        With the step, the source of every random draw.
    training, critic : params
        Shared parameters.
    """

    joins: ClassVar[float] = 0.5
    """Done share of a run from which the held-out slices are learnt from too."""
    method: Learner[BaseModel]
    plan: Plan
    device: Device
    seed: int
    training: TrainingParams
    critic_params: CriticParams
    step_count: int = 0
    fraction: float = 0.0
    nets: dict[str, nn.Module] = field(init=False)
    optimiser: torch.optim.Optimizer = field(init=False)
    critics_optimiser: torch.optim.Optimizer | None = field(init=False)
    critic: RidingCritic | None = field(init=False)
    scaler: torch.amp.GradScaler = field(init=False)
    _bad_in_a_row: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        """Build everything from the seed."""
        self.device = self.device.with_precision(self.training.precision)
        torch.manual_seed(step_seed(self.seed, -1))
        layout = memory_format(self.plan.network.dims)
        nets = self.method.build(Maker(self.plan.network))
        self.nets = {
            name: net.to(self.device.torch).to(memory_format=layout)  # type: ignore[call-overload]
            for name, net in nets.items()
        }
        self.optimiser = self._make_optimiser()
        self.critics_optimiser = self._make_critics_optimiser()
        self.scaler = torch.amp.GradScaler(
            self.device.torch.type, enabled=self.device.amp is torch.float16
        )
        rides = self.critic_params.critic and not self.method.judge
        self.critic = self._make_critic() if rides else None

    def _make_optimiser(self) -> torch.optim.Optimizer:
        rates = self.method.rates()
        groups = [
            {"params": list(net.parameters()), "factor": rates.get(name, 1.0)}
            for name, net in optimised(self.nets).items()
        ]
        return torch.optim.AdamW(
            groups, lr=self.plan.learning_rate, weight_decay=self.plan.weight_decay
        )

    def _make_critics_optimiser(self) -> torch.optim.Optimizer | None:
        parameters = [p for net in critics(self.nets).values() for p in net.parameters()]
        rate = self.critic_params.critic_learning_rate
        return torch.optim.Adam(parameters, lr=rate, betas=(0.9, 0.99)) if parameters else None

    def _make_critic(self) -> RidingCritic:
        spectral = self.critic_params.critic_spectral_norm
        network = self.plan.network
        net = PixelDiscriminator(network.dims, network.classes, spectral=spectral)
        net = net.to(self.device.torch)
        rate = self.critic_params.critic_learning_rate
        optimiser = torch.optim.Adam(net.parameters(), lr=rate, betas=(0.9, 0.99))
        return RidingCritic(net, optimiser, self.critic_params)

    def step(self, sampler: Sampler, fraction: float) -> StepReport:
        """Take one optimiser step.

        Parameters
        ----------
        sampler : Sampler
            Draws this step's batch.
        fraction : float
            Done share of the run, in [0, 1]; sets ramps and learning rate.

        Raises
        ------
        Diverged
            When the loss was not finite for 20 steps in a row. Such steps change nothing.
        """
        self.fraction = fraction
        seed = step_seed(self.seed, self.step_count)
        torch.manual_seed(seed)
        views = Views(torch.Generator().manual_seed(seed), self._span(), self._flips())
        layout = memory_format(self.plan.network.dims)
        alone = self.method.alone(fraction)
        batch = sampler.batch(self.step_count, alone=alone).to(self.device.torch, layout)
        if self.training.warp > 0:
            batch = views.augmented(batch)
        batch = views.pasted(batch, self.training.paste).to(self.device.torch, layout)
        rate = self._set_learning_rate(fraction, self._looks(sampler, fraction))
        self._train_mode()
        statistics = self._statistics()
        with self._autocast():
            out = self.method.step(batch, views, self.nets, fraction)
            terms = dict(out.terms)
            ramps = self.method.ramps()
            judged = out if isinstance(out, StepOutput) else None
            if judged and self.critic is not None and self.critic.ramp()(fraction) > 0:
                terms["adversarial"] = self.critic.adversarial(judged.logits, views, fraction)
                ramps = {**ramps, "adversarial": self.critic.ramp()}
        weighted = {n: t * (ramps[n](fraction) if n in ramps else 1.0) for n, t in terms.items()}
        counted = self._descend(torch.stack([t.float() for t in weighted.values()]).sum())
        report = {name: float(term.detach()) for name, term in weighted.items()}
        if counted:
            self.method.after_step(self.nets, self.step_count, fraction)
            report |= self._teach_critics(judged, views, fraction) if judged else {}
        else:
            self._restore(statistics)
            if self._bad_in_a_row >= BAD_STEPS_ALLOWED:
                raise Diverged
        self.step_count += 1
        return StepReport(report, rate)

    def _teach_critics(self, out: StepOutput, views: Views, fraction: float) -> dict[str, float]:
        """Let the critics learn; return their losses, and how often each is right."""
        report = self._teach_riding(out, views, fraction) | self._teach_own(out, views, fraction)
        records = self.records()
        right = {f"{n}_accuracy": records[n].accuracy for n in report if n in records}
        return report | right

    def _teach_riding(self, out: StepOutput, views: Views, fraction: float) -> dict[str, float]:
        if self.critic is None or not self.critic.due(self.step_count):
            return {}
        loss = self.critic.learn(out.logits, out.y, views, fraction)
        return {} if loss is None else {"critic": loss}

    def _teach_own(self, out: StepOutput, views: Views, fraction: float) -> dict[str, float]:
        """Let the method's own critics learn."""
        if self.critics_optimiser is None or not out.kept:
            return {}
        kept = {name: tensor.detach() for name, tensor in out.kept.items()}
        self._critics_learn(True)
        losses = self.method.critic_step(kept, views, self.nets, fraction)
        self.critics_optimiser.zero_grad(set_to_none=True)
        total = torch.stack([loss.float() for loss in losses.values()]).sum() if losses else None
        if total is not None and total.requires_grad and bool(torch.isfinite(total)):
            total.backward()  # type: ignore[no-untyped-call]
            slow_down(self.critics_optimiser, self.critic_params, fraction)
            self.critics_optimiser.step()
        self._critics_learn(False)
        return {name: float(loss.detach()) for name, loss in losses.items()}

    @property
    def pushed(self) -> bool:
        """Whether any critic pushes the segmentor."""
        riding = self.critic is not None and self.critic_params.critic_weight > 0
        return riding or bool(critics(self.nets))

    def records(self) -> dict[str, Record]:
        """Return how each critic fares: the riding one as "critic", the method's by their names."""
        nets = critics(self.nets)
        nets |= {} if self.critic is None else {"critic": self.critic.net}
        return {name: record_of(net) for name, net in nets.items()}

    @property
    def judge(self) -> nn.Module | None:
        """The pixel critic whose belief is the confidence layer; None without one."""
        if self.method.judge:
            return self.nets[self.method.judge]
        return None if self.critic is None else self.critic.net

    def _critics_learn(self, learning: bool) -> None:
        """Switch the gradients of the method's critics: off in the segmentor's step."""
        for net in critics(self.nets).values():
            net.requires_grad_(learning)

    def _train_mode(self) -> None:
        """Undo what a prediction along the way left: eval mode."""
        for net in (optimised(self.nets) | critics(self.nets)).values():
            net.train()
        self._critics_learn(False)
        if self.critic is not None:
            self.critic.net.train()

    def _buffers(self) -> list[Tensor]:
        """Return what a forward pass alone changes: batch-norm statistics, spectral norms."""
        nets = [*optimised(self.nets).values(), *critics(self.nets).values()]
        nets += [] if self.critic is None else [self.critic.net]
        return [buffer for net in nets for buffer in net.buffers()]

    def _statistics(self) -> list[Tensor]:
        return [buffer.clone() for buffer in self._buffers()]

    def _restore(self, statistics: list[Tensor]) -> None:
        """A forward pass that was not finite must not live on in the running averages."""
        for buffer, before in zip(self._buffers(), statistics, strict=True):
            buffer.copy_(before)

    def _descend(self, total: Tensor) -> bool:
        """Go one step down; tell whether it counted."""
        self.optimiser.zero_grad(set_to_none=True)
        if not bool(torch.isfinite(total)):
            return self._skip()
        self.scaler.scale(total).backward()  # type: ignore[no-untyped-call]
        self.scaler.unscale_(self.optimiser)
        parameters = [p for group in self.optimiser.param_groups for p in group["params"]]
        norm = nn.utils.clip_grad_norm_(parameters, CLIP_NORM)
        if not self.scaler.is_enabled() and not bool(torch.isfinite(norm)):
            return self._skip()
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self._bad_in_a_row = 0
        return True

    def _skip(self) -> bool:
        self._bad_in_a_row += 1
        return False

    def _looks(self, sampler: Sampler, fraction: float) -> float:
        """Return how often this run will have looked at each annotated slice when it ends."""
        expected_steps = self.step_count / fraction if fraction > 0 else 1.0
        return expected_steps * self.plan.labelled / max(1, sampler.slices)

    def _set_learning_rate(self, fraction: float, looks: float) -> float:
        warm = min(1.0, max((self.step_count + 1) / WARM_UP_STEPS, fraction / WARM_UP_SHARE))
        calm = min(1.0, max(CALMEST, LOOKS / max(looks, 1.0)))
        rate = self.plan.learning_rate * poly(fraction) * warm * calm
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group["factor"]
        return rate

    def _autocast(self) -> torch.autocast:
        return torch.autocast(
            self.device.torch.type, self.device.amp, enabled=self.device.amp is not None
        )

    def _span(self) -> WarpRange:
        full, strength = WarpRange(), self.training.warp
        return WarpRange(
            rotation=full.rotation * strength,
            scale=full.scale * strength,
            shear=full.shear * strength,
            shift=full.shift * strength,
            elastic=full.elastic * strength,
            control_points=full.control_points,
        )

    def _flips(self) -> tuple[bool, ...]:
        """Mirroring turns left into right: only the sagittal axis, and only if asked."""
        axes = [axis for axis in range(3) if axis != self.plan.axis]
        return tuple(self.training.mirror and axis == 0 for axis in axes)

    def predictor(self) -> Predictor:
        """Return a predictor with the networks as they are now, in eval mode.

        Raises
        ------
        TypeError
            Where what was trained is no method and predicts nothing.
        """
        method = self.method
        if not isinstance(method, Method):
            raise TypeError(f"{method.name} learns from images alone and predicts nothing")
        for net in self.nets.values():
            net.eval()
        plan, judge = self.plan, self.judge
        return Predictor(
            members=lambda x: method.members(self.nets, x),
            critic=None if judge is None else judge.eval(),
            classes=plan.network.classes,
            axis=plan.axis,
            context=plan.context,
            patch=plan.patch,
            device=self.device.torch,
            amp=self.device.amp,
            shifts=plan.shifts,
            encoders=tuple(part for part in self._parts() if isinstance(part, Encoder)),
        )

    def weights(self) -> dict[str, Tensor]:
        """Return copies of the tensors that predict and start a next round, on the CPU."""
        nets = {f"net.{name}.": net for name, net in self.nets.items()}
        if self.critic is not None:
            nets["critic."] = self.critic.net
        return {
            prefix + key: copied(value)
            for prefix, net in nets.items()
            for key, value in net.state_dict().items()
        }

    def state(self) -> dict[str, Tensor]:
        """Return `weights` and copies of all else that `load_state` needs, on the CPU."""
        tensors = {f"memory.{name}": value for name, value in self.method.memory().items()}
        tensors |= optimiser_state("optimiser", self.optimiser)
        if self.critics_optimiser is not None:
            tensors |= optimiser_state("critics_optimiser", self.critics_optimiser)
        if self.critic is not None:
            tensors |= optimiser_state("critic_optimiser", self.critic.optimiser)
        return self.weights() | {name: copied(tensor) for name, tensor in tensors.items()}

    def load_weights(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over weights where names and shapes agree: the warm start of a new round."""
        for name, net in self.nets.items():
            load(net, f"net.{name}.", tensors)
        if self.critic is not None:
            load(self.critic.net, "critic.", tensors)

    def load_pretrained(self, tensors: Mapping[str, Tensor]) -> int:
        """Take over what was learnt from images alone; return how many encoders could.

        `tensors` are ``encoder.*``, taken whole or not at all, and perhaps ``decoder.rises.N.*``;
        a flat network takes them `flattened`.
        """

        def take(part: nn.Module, prefix: str) -> bool:
            return load_whole(part, "", flattened(named(prefix, tensors), part))

        parts = self._parts()
        taken = [take(part, "encoder.") for part in parts if isinstance(part, Encoder)]
        for decoder in (part for part in parts if isinstance(part, Decoder)):
            for level, rise in enumerate(decoder.rises):
                take(rise, f"decoder.rises.{level}.")
        return sum(taken)

    def _parts(self) -> list[nn.Module]:
        """Return all modules of all networks."""
        return [part for net in self.nets.values() for part in net.modules()]

    def load_state(self, tensors: Mapping[str, Tensor], step: int) -> None:
        """Continue exactly where `state` was taken, after `step` steps."""
        self.load_weights(tensors)
        self.method.remember(named("memory.", tensors))
        load_optimiser(self.optimiser, "optimiser", tensors)
        if self.critics_optimiser is not None:
            load_optimiser(self.critics_optimiser, "critics_optimiser", tensors)
        if self.critic is not None:
            load_optimiser(self.critic.optimiser, "critic_optimiser", tensors)
        self.step_count = step
