"""Steps per second with one thread and with all, alone and beside other busy programs.

    python benchmarks/threads.py

A supervised 2.5-D training on synthetic volumes with coronal slices of 44 x 48 voxels, batch as
planned. The four conditions take turns in one run, so that their ratios hold on a machine whose
speed drifts. The result is why sslseg/training/threads.py exists.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from statistics import median

import numpy as np
import torch
from common import Json, recorded

from sslseg.core.annotation import IGNORE
from sslseg.core.config import DeviceChoice, TrainRequest
from sslseg.core.geometry import Geometry, Plane, Reorientation
from sslseg.core.volume import CaseRecord
from sslseg.data.blocks import Blocks
from sslseg.data.project import Coverage
from sslseg.data.sampling import Sampler, TrainingCase
from sslseg.runner.launch import physical_cores
from sslseg.training.device import choose
from sslseg.training.model import make_trainer, settings_of
from sslseg.training.planner import make_plan
from sslseg.training.trainer import Trainer

SHAPE = (44, 36, 48)
CASES, CLASSES = 20, 3
METHOD = "supervised"
WARM_UP = 3


def synthetic_case(index: int) -> TrainingCase:
    """Return noise with a bright box; four cases have three labelled coronal slices each."""
    rng = np.random.default_rng(index)
    image = rng.normal(size=SHAPE).astype(np.float16)
    truth = np.zeros(SHAPE, np.int16)
    truth[12:28, 8:28, 14:34], truth[18:24, 12:24, 20:28] = 1, 2
    image += truth
    target = np.full(SHAPE, IGNORE, np.int16)
    target[:, 12:25:6] = truth[:, 12:25:6]
    return TrainingCase(f"case-{index}", image, Blocks.of(target) if index < 4 else None)


def planned() -> tuple[Trainer, Sampler]:
    """Return a trainer and sampler as the planner makes them."""
    geometry = Geometry.of(SHAPE, np.eye(4))
    records = [
        CaseRecord(
            name=f"case-{index}",
            source="",
            sha256="",
            geometry=geometry,
            reorientation=Reorientation(),
        )
        for index in range(CASES)
    ]
    covered = Coverage(Counter({Plane.CORONAL: 12}))
    device = choose(DeviceChoice.CPU)
    plan = make_plan(records, covered, CLASSES, device, settings_of(METHOD, {})[1])
    trainer = make_trainer(TrainRequest(method=METHOD), METHOD, plan, device)
    return trainer, Sampler([synthetic_case(index) for index in range(CASES)], plan.patches, 0)


@contextmanager
def beside(programs: int) -> Iterator[None]:
    """Run busy Python processes beside the block."""
    code = "print(flush=True)\nwhile True: pass"
    others = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
        for _ in range(programs)
    ]
    try:
        for other in others:
            assert other.stdout is not None
            other.stdout.readline()
        yield
    finally:
        for other in others:
            other.kill()
            other.communicate()


def steps_per_second(trainer: Trainer, sampler: Sampler, threads: int, seconds: float) -> float:
    """Train for a while, after three steps that do not count."""
    torch.set_num_threads(threads)
    for _ in range(WARM_UP):
        trainer.step(sampler, 0.1)
    began, first = time.perf_counter(), trainer.step_count
    while time.perf_counter() - began < seconds:
        trainer.step(sampler, 0.1)
    return (trainer.step_count - first) / (time.perf_counter() - began)


def run(threads: int, busy: int, rounds: int, seconds: float) -> Json:
    """Let the conditions take turns; return medians and the ratios of each round."""
    trainer, sampler = planned()
    found: dict[str, list[float]] = {}
    for _ in range(rounds):
        for programs in (0, busy):
            with beside(programs):
                for count in (threads, 1):
                    name = f"{count}_{'beside' if programs else 'alone'}"
                    rate = steps_per_second(trainer, sampler, count, seconds)
                    found.setdefault(name, []).append(rate)

    def ratio(over: str, under: str) -> float:
        pairs = zip(found[over], found[under], strict=True)
        return round(median(a / b for a, b in pairs), 3)

    return {
        "plan": list(trainer.plan.words),
        "steps_per_second": {name: round(median(rates), 2) for name, rates in found.items()},
        "ratios": {
            f"{threads}: beside / alone": ratio(f"{threads}_beside", f"{threads}_alone"),
            "1: beside / alone": ratio("1_beside", "1_alone"),
            f"alone: {threads} / 1": ratio(f"{threads}_alone", "1_alone"),
            f"beside: {threads} / 1": ratio(f"{threads}_beside", "1_beside"),
        },
    }


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=max(2, physical_cores()))
    parser.add_argument("--busy", type=int, default=1, help="busy programs beside the training")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each condition")
    args = parser.parse_args()
    if args.threads < 2 or args.busy < 1:
        parser.error("at least 2 threads and 1 busy program, or there is nothing to compare")
    key = vars(args)
    result = recorded("threads.jsonl", key, partial(run, **key))
    for name, rate in result["steps_per_second"].items():
        count, how = name.split("_")
        print(f"{count} threads, {how}: {rate:.2f} steps/s")
    for name, value in result["ratios"].items():
        print(f"ratio {name}: {value:.3f}")


if __name__ == "__main__":
    main()
