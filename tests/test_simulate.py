from __future__ import annotations

import io
import json

import numpy as np
import pytest
from cli_worlds import SHAPE, write_ellipsoids

from sslseg.core.config import DeviceChoice, TrainRequest
from sslseg.core.control import Control
from sslseg.core.errors import Cancelled, SslsegError
from sslseg.session import Session
from sslseg.simulate import Plan, replay
from sslseg.terminal import Follower


def plan(rounds: int, strategy: str = "auto") -> Plan:
    request = TrainRequest(steps=2, device=DeviceChoice.CPU, method="supervised")
    return Plan(rounds=rounds, slices=2, strategy=strategy, request=request)


@pytest.fixture
def world(tmp_path):
    images, labels = write_ellipsoids(tmp_path, 3)
    project = tmp_path / "project"
    with Session.create(project, ["posterior", "anterior"]) as session:
        list(session.add(images, Control()))
    return project, labels


def follow(events):
    return Follower(io.StringIO()).follow(events)


def test_rounds_resume_and_leave_the_project_alone(world):
    project, labels = world
    first = list(replay(project, labels, plan(1), Control(), follow))
    assert [(r.round, r.annotated, len(r.slices)) for r in first] == [(1, 2, 2)]
    assert first[0].annotation_seconds > 2 * 8.0
    assert set(first[0].dice) == {"posterior", "anterior", "mean"}
    both = list(replay(project, labels, plan(2), Control(), follow))
    assert both[0] == first[0]
    assert (both[1].round, both[1].annotated) == (2, 4)
    assert not set(both[0].slices) & set(both[1].slices)
    again = list(replay(project, labels, plan(2), Control(), lambda events: pytest.fail("trained")))
    assert again == both
    lines = next(project.glob("simulation-*.jsonl")).read_text().splitlines()
    assert [json.loads(line)["round"] for line in lines] == [1, 2]
    with Session(project) as session:
        assert session.store.revision() == 0


def test_the_annotator_draws_the_true_labels(world):
    project, labels = world
    list(replay(project, labels, plan(1, "equal"), Control(), follow))
    scratch = next((project / "simulations").iterdir())
    with Session(scratch) as session:
        record = session.store.slices()[0]
        assert record.state == "complete"
        assert record.author == "simulated annotator"
        assert record.key.index == round((SHAPE[record.key.plane.axis] - 1) / 2)
        drawn = session.store.labels_at(record.revision)
    assert set(np.unique(drawn)) == {0, 1, 2}


def test_an_interrupted_round_keeps_its_slices(world):
    project, labels = world
    control = Control()

    def interrupt(events):
        control.stop()
        return follow(events)

    with pytest.raises(Cancelled):
        list(replay(project, labels, plan(1), control, interrupt))
    scratch = next((project / "simulations").iterdir())
    with Session(scratch) as session:
        chosen = {record.key for record in session.store.slices()}
    done = list(replay(project, labels, plan(1), Control(), follow))
    assert set(done[0].slices) == chosen


def test_a_line_cut_short_is_done_again(world):
    project, labels = world
    list(replay(project, labels, plan(1), Control(), follow))
    log = next(project.glob("simulation-*.jsonl"))
    log.write_text(log.read_text() + '{"round": 2, "sli')
    assert [r.round for r in replay(project, labels, plan(1), Control(), follow)] == [1]
    assert log.read_text().endswith("}\n")


def test_no_labels_no_simulation(world, tmp_path):
    project, _ = world
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(SslsegError, match="no label file for any case"):
        list(replay(project, empty, plan(1), Control(), follow))
