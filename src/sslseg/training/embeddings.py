"""What a pre-trained encoder makes of each case: for typical, diverse cases before any label."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Generator, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from sslseg.core.control import Control
from sslseg.core.events import Progress
from sslseg.data.sampling import PatchPlan, Sampler, TrainingCase
from sslseg.networks.factory import memory_format
from sslseg.networks.unet import Encoder
from sslseg.storage.arrays import write_atomic

FILE = "embeddings.json"
PATCHES = 12
"""Patches of a case that are looked at, drawn from anywhere, the same each time."""

MOST_SECONDS = 10.0
"""Where all cases take longer, none is described: suggestions then go by intensities and sizes."""

Embeddings = dict[str, tuple[float, ...]]


def embeddings(
    net: nn.Module,
    cases: Sequence[TrainingCase],
    plan: PatchPlan,
    device: torch.device,
    control: Control,
) -> Generator[Progress, None, Embeddings]:
    """Yield progress; return the mean of an encoder's deepest features over patches of each case.

    Parameters
    ----------
    net : Module
        Its first encoder looks; it is left in eval mode.
    cases : sequence of TrainingCase
        On the training grid.
    plan : PatchPlan
        Of the network.
    device : torch.device
        Where `net` is.
    control : Control
        When it asks to stop, nothing is returned.

    Returns
    -------
    dict of str to tuple of float
        As many numbers as the encoder's deepest level has features; empty when it takes too long.
    """
    encoder = next(part for part in net.modules() if isinstance(part, Encoder)).eval()
    looks = replace(plan, labelled=0, unlabelled=PATCHES)
    layout = memory_format(len(plan.patch))
    found: Embeddings = {}
    began = time.monotonic()
    for done, case in enumerate(cases):
        if control.stopped or time.monotonic() - began > MOST_SECONDS:
            return {}
        x = Sampler([case], looks, 0).batch(0).to(device, layout).x
        with torch.inference_mode():
            deepest = torch.cat([encoder(patch)[-1] for patch in torch.split(x, 1)])
        found[case.name] = tuple(deepest.float().flatten(2).mean((0, 2)).tolist())
        yield Progress(task="Describing cases", done=done + 1, total=len(cases))
    return found


def write(folder: Path, found: Embeddings) -> None:
    """Keep embeddings beside the encoder that made them; empty ones are not kept."""
    if found:
        write_atomic(folder / FILE, json.dumps(found).encode())


def read(folder: Path, names: Collection[str]) -> Embeddings:
    """Return the newest embeddings of all of these cases from the runs in `folder`, {} if none."""
    for path in sorted(folder.glob(f"*/{FILE}"), reverse=True):
        try:
            found: Embeddings = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if set(names) <= set(found):
            return {name: tuple(found[name]) for name in names}
    return {}
