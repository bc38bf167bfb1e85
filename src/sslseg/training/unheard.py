"""Settings that do nothing in a training, in words for its plan."""

from __future__ import annotations

from sslseg.training.trainer import Trainer


def unheard(trainer: Trainer) -> tuple[str, ...]:
    """Return a sentence for each setting that was made, but that this training cannot follow."""
    method, critic = trainer.method, trainer.critic_params
    found = []
    if critic.critic_weight > 0 and method.judge:
        found.append(f"critic_weight does nothing: {method.name} has a critic of its own.")
    elif critic.critic_weight > 0 and not critic.critic:
        found.append("critic_weight does nothing: with critic=false no discriminator rides.")
    if trainer.training.warp == 0 and getattr(method.params, "transform", "") == "warps":
        found.append("Unlabelled volumes teach nothing: with warp=0 nothing is deformed.")
    return tuple(found)
