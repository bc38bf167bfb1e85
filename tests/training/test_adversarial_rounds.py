"""Adversarial methods in whole rounds on a project: two domains, health, checkpoints."""

from __future__ import annotations

from pathlib import Path

import pytest
from engine_worlds import paint, write_image

from sslseg.core.config import DeviceChoice, TrainRequest
from sslseg.core.control import Control
from sslseg.core.events import EVENT, CriticJudged, PredictionReady, StepReported, Validated
from sslseg.session import Session


@pytest.fixture
def session(tmp_path):
    """Cases a and b of one scanner, the first annotated; c and d of another one."""
    made = Session.create(tmp_path / "project", ["one", "two"])
    files = [write_image(tmp_path / f"{case}.nii.gz", n) for n, case in enumerate("abcd")]
    list(made.add(files, Control()))
    paint(made.store, "a", [2, 5, 7, 9])
    for case in "cd":
        made.store.set_domain(case, "other")
    yield made
    made.close()


def train(session: Session, method: str, **settings: float) -> list[object]:
    settings = {"width": 2, "batch": 2} | settings
    asked = TrainRequest(method=method, steps=4, device=DeviceChoice.CPU, settings=settings)
    return list(session.train(asked, Control()))


@pytest.mark.parametrize("method", ["dan", "advsemiseg", "cycada"])
def test_a_round_tells_the_health_of_the_critic_that_pushes(session, method):
    events = train(session, method)
    health = next(event.health for event in events if isinstance(event, CriticJudged))
    assert health.auc is not None
    assert health.loss is not None
    assert 0 <= health.accuracy_real <= 1
    assert 0 <= health.accuracy_fake <= 1
    assert health.diversity is not None
    last = [event for event in events if isinstance(event, StepReported)][-1].terms
    assert any(name.startswith("adversarial_") for name in last)
    assert any(name.startswith("critic_") and name.endswith("_accuracy") for name in last)


def test_critics_are_judged_to_the_end_and_each_judgement_is_in_the_log(session):
    """Four steps: held-out slices judge after the second one, and then join."""
    events = train(session, "dan")
    judged = [event for event in events if isinstance(event, CriticJudged)]
    first, last = next(event for event in judged if event.step == 2), judged[-1]
    assert last.step == 4
    assert max(event.step for event in events if isinstance(event, Validated)) == 2
    assert first.health.auc is not None
    assert (last.health.auc, last.health.auc_step) == (first.health.auc, 2)
    assert "on held-out slices, last at step 2" in last.health.words
    assert last.health.loss != first.health.loss, "critics learnt on"
    assert last.health.diversity is not None
    log = session.store.path / "runs" / last.run / "critic.jsonl"
    lines = log.read_text(encoding="utf-8").splitlines()
    assert [EVENT.validate_json(line) for line in lines] == judged


def test_own_critics_are_judged_where_none_rides(session):
    events = train(session, "dan", critic=False)
    health = next(event.health for event in events if isinstance(event, CriticJudged))
    assert health.auc is None
    assert health.loss is not None
    assert "no confidence layer" in health.words


def test_a_watching_critic_costs_no_look_at_diversity(session):
    events = train(session, "supervised")
    health = next(event.health for event in events if isinstance(event, CriticJudged))
    assert health.diversity is None
    assert health.loss is not None


def test_the_confidence_of_advsemiseg_is_its_own_critics(session):
    train(session, "advsemiseg", critic=False)
    events = list(session.predict(["c"], Control()))
    ready = next(event for event in events if isinstance(event, PredictionReady))
    assert (Path(ready.folder) / "confidence.npy").exists()
