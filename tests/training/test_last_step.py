"""A run keeps its last step, however much better an earlier one was measured."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from engine_worlds import paint, same, write_image

from sslseg.core.config import DeviceChoice, TrainRequest
from sslseg.core.control import Control
from sslseg.core.events import Validated
from sslseg.session import Session
from sslseg.training import loop
from sslseg.training.model import load_facts_and_tensors
from sslseg.training.round import Round

STEPS = 6


@pytest.fixture
def session(tmp_path):
    with Session.create(tmp_path / "project", ["one", "two"]) as made:
        files = [write_image(tmp_path / f"{case}.nii.gz", n) for n, case in enumerate("ab")]
        list(made.add(files, Control()))
        paint(made.store, "a", [2, 5, 7, 9])
        yield made


def test_what_is_kept_is_the_last_step(session, monkeypatch):
    monkeypatch.setattr(loop, "_validation_interval", lambda schedule: 0.0)
    settings = {"width": 2, "batch": 2}
    asked = TrainRequest(
        method="mean-teacher", steps=STEPS, device=DeviceChoice.CPU, settings=settings
    )
    current = Round(session.store, asked, Control(), lambda *_: None)
    trainer, measured = current.trainer, []

    def worse_each_time():
        measured.append(trainer.weights())
        mean = 1 / len(measured)
        return [Validated(run=current.run, step=trainer.step_count, dice={}, mean=mean, slices=1)]

    job = replace(current.job(), validate=worse_each_time)
    events = list(loop.train(job, Control()))
    dice = [event.mean for event in events if isinstance(event, Validated)]
    assert len(dice) >= 3
    assert all(before > after for before, after in pairwise(dice))
    facts, kept = load_facts_and_tensors(session.store.path)
    assert facts.step == STEPS
    assert same(kept, trainer.weights())
    assert not same(kept, measured[0]), "the best as measured"
