"""Parameters as a form names them; the same name means the same in every method."""

from __future__ import annotations

TITLES = {
    # of methods
    "accurate": "Relaxed from accuracy",
    "adversarial": "Push on labelled",
    "adversarial_unlabelled": "Push on unlabelled",
    "blocks": "Blocks along a side",
    "consistency": "Weight of unlabelled",
    "diversity": "Weight of difference",
    "drop": "Features left out",
    "dropped": "Features dropped",
    "ema_decay": "Slowness of the teacher",
    "epsilon": "Adversarial change",
    "gap": "Gap between tiles",
    "largest": "Largest piece only",
    "levels": "Heads compared",
    "local": "Decoder's share of time",
    "memory_decay": "Slowness of memory",
    "memory_megabytes": "Memory (MB)",
    "modalities": "Kinds of image",
    "nearness": "Trust between slices",
    "networks": "Number of networks",
    "one_sided": "One pass learns",
    "partitions": "Parts of the height",
    "passes": "Noisy passes",
    "period": "Longest turn",
    "planes": "Planes of the networks",
    "relaxed": "Relaxed threshold",
    "safeguard": "Pulls from accuracy",
    "sees_image": "Critic sees the image",
    "share": "Share covered",
    "start": "Labels alone until",
    "strategy": "Same height is alike",
    "sure": "Sure below a loss of",
    "target": "What is copied",
    "temperature": "Softness",
    "threshold": "Believed from",
    "tiles": "Tiles along a side",
    "transform": "Change of the image",
    # of every training
    "batch": "Labelled per batch",
    "context": "Slices read at once",
    "dimensions": "Slices or boxes",
    "islands": "Small islands",
    "looks": "Looks of a prediction",
    "mirror": "Mirrored patients",
    "paste": "Pasted pieces",
    "patch": "Side of a patch",
    "plane": "Plane that is read",
    "pretrained": "Use pre-training",
    "relay": "Then teach a 3-D network",
    "spacing": "Voxel size",
    "validation": "Hold slices out",
    "warp": "Deformations",
    "width": "Width of the network",
    # of discriminators
    "critic": "Critic (confidence)",
    "critic_decay": "Critic's rate falls",
    "critic_gradient_penalty": "Critic's gradient penalty",
    "critic_learning_rate": "Critic's learning rate",
    "critic_learns_until": "Critic learns until",
    "critic_loss": "Critic's loss",
    "critic_noise": "Noise for the critic",
    "critic_pushes_from": "Critic pushes above",
    "critic_real": "Critic's target",
    "critic_spectral_norm": "Critic's spectral norm",
    "critic_start": "Critic pushes after",
    "critic_weight": "Critic's push",
}


def title(name: str) -> str:
    """Return a parameter's name in words, such as "Learning rate"."""
    words = name.replace("_", " ")
    return TITLES.get(name, words[:1].upper() + words[1:])
