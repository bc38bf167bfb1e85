"""What a pre-trained encoder tells of cases, and that a cold start listens to it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from engine_worlds import tiny_plan, write_image
from torch import nn

from sslseg.core.config import DeviceChoice, TrainRequest
from sslseg.core.control import Control
from sslseg.data.sampling import TrainingCase
from sslseg.networks.unet import Encoder
from sslseg.session import Session
from sslseg.training import embeddings as module
from sslseg.training import pretrained
from sslseg.training.embeddings import FILE, embeddings, read, write

CPU = torch.device("cpu")


class Mean(Encoder):
    """Says the mean of what it is shown, and twice that."""

    def __init__(self) -> None:
        nn.Module.__init__(self)

    def forward(self, x):
        mean = x.mean((1, 2, 3), keepdim=True)
        return [x, torch.cat([mean, 2 * mean], 1)]


def returned(progress):
    """Return what a generator returns, and how many things it told on the way."""
    told = 0
    while True:
        try:
            next(progress)
        except StopIteration as end:
            return end.value, told
        told += 1


def case(name: str, level: float) -> TrainingCase:
    return TrainingCase(name, np.full((9, 9, 9), level, np.float16), None)


def test_the_deepest_features_are_averaged_over_patches_and_cells():
    net = nn.ModuleDict({"student": nn.Sequential(Mean())})
    plan = tiny_plan(2).patches
    cases = [case("a", 0.5), case("b", -3.0)]
    found, told = returned(embeddings(net, cases, plan, CPU, Control()))
    assert told == 2, "progress, case by case"
    assert found == {"a": pytest.approx((0.5, 1.0)), "b": pytest.approx((-3.0, -6.0))}


@pytest.mark.parametrize("why", ["stopped", "slow"])
def test_all_cases_or_none_are_described(why, monkeypatch):
    control = Control()
    if why == "stopped":
        control.stop()
    else:
        monkeypatch.setattr(module, "MOST_SECONDS", -1.0)
    plan = tiny_plan(2).patches
    assert returned(embeddings(Mean(), [case("a", 0.5)], plan, CPU, control)) == ({}, 0)


def test_the_newest_that_knows_all_cases_is_read(tmp_path):
    for run, cases in (("1", "ab"), ("2", "abc"), ("3", "ab")):
        (tmp_path / run).mkdir()
        write(tmp_path / run, {name: (float(run),) for name in cases})
    assert read(tmp_path, ["a", "b"]) == {"a": (3.0,), "b": (3.0,)}
    assert read(tmp_path, ["a", "c"]) == {"a": (2.0,), "c": (2.0,)}
    assert read(tmp_path, ["a", "d"]) == {}
    (tmp_path / "3" / FILE).write_text("{")
    assert read(tmp_path, ["a"]) == {"a": (2.0,)}


@pytest.fixture
def session(tmp_path):
    with Session.create(tmp_path / "project", ["one"]) as made:
        files = [write_image(tmp_path / f"{name}.nii.gz", n) for n, name in enumerate("abcde")]
        list(made.add(files, Control()))
        yield made


def test_a_pre_training_describes_every_case(session):
    request = TrainRequest(steps=2, device=DeviceChoice.CPU, settings={"width": 2, "batch": 2})
    list(session.pretrain(request, Control()))
    folder = pretrained.folder_of(session.store.path)
    found = read(folder, list("abcde"))
    assert len({len(numbers) for numbers in found.values()}) == 1
    assert len(set(found.values())) == 5, "five images, five descriptions"


def test_a_cold_start_goes_by_what_the_encoder_says(session):
    """Four alike and one unlike: a typical one of the four comes first, the odd one second."""
    folder = pretrained.folder_of(session.store.path) / "run"
    folder.mkdir(parents=True)
    for odd in "ad":
        write(folder, {name: (9.0 if name == odd else 0.01 * n,) for n, name in enumerate("abcde")})
        cases = list(dict.fromkeys(s.case for s in session.suggest(6)))
        assert cases[0] != odd
        assert cases[1] == odd
