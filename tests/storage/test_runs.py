"""Which cases the newest model has not looked at."""

from __future__ import annotations

import numpy as np
import pytest

from sslseg.core.events import Exported
from sslseg.core.prediction import Prediction, PredictionInfo
from sslseg.storage import checkpoints
from sslseg.storage.arrays import latest_prediction, save_prediction
from sslseg.storage.runs import behind, new_run, runs, serving, unseen

OLD, NEW, BASELINE = "20260101-000000-00-bcp", "20260102-000000-00-bcp", "20260103-000000-00-s"


def learn(project, run, baseline=False, step=1):
    facts = {"baseline": baseline, "step": step}
    checkpoints.save(project / "runs" / run, step, {"w": np.zeros(1)}, facts)


def predict(project, case, run, version="1", time=0.0):
    info = PredictionInfo(
        case=case, version=version, run=run, method="bcp", step=1, time=time, classes=("one",)
    )
    voxel = np.zeros((1, 1, 1), np.float16)
    save_prediction(
        project,
        Prediction(voxel.astype(np.uint8), np.zeros((2, 1, 1, 1)), voxel, voxel, None, info),
        {},
    )


@pytest.fixture
def project(tmp_path):
    """Two trainings and a baseline; "a" predicted by the second, "b" by the first, "c" by none."""
    for run in (OLD, NEW):
        learn(tmp_path, run)
    learn(tmp_path, BASELINE, baseline=True)
    predict(tmp_path, "a", NEW)
    predict(tmp_path, "b", OLD)
    return tmp_path


def test_a_baseline_is_a_run_but_serves_no_prediction(project):
    assert [run.name for run in runs(project)] == [BASELINE, NEW, OLD]
    assert [run.name for run in serving(project)] == [NEW, OLD]


def test_what_an_older_model_said_or_nobody_is_unseen(project):
    assert unseen(project, "abc") == ["b", "c"]
    assert behind(project, "abc") == (1, 1)


def test_what_was_shown_along_the_way_is_unseen_once_the_model_learnt_on(project):
    learn(project, NEW, step=2)
    assert unseen(project, "abc") == ["a", "b", "c"]
    assert behind(project, "abc") == (2, 1)


def test_a_run_is_the_newest_also_where_another_clock_is_ahead(tmp_path):
    """As on a share that two computers train on."""
    learn(tmp_path, "20990101-000000-00-bcp")
    (tmp_path / "runs" / "99999999-nothing-00-x").mkdir()
    name = new_run(tmp_path / "runs", "bcp")
    assert name == "20990101-000001-00-bcp"
    learn(tmp_path, name)
    assert next(serving(tmp_path)).name == name


def test_a_prediction_is_the_newest_also_where_another_clock_is_ahead(tmp_path):
    predict(tmp_path, "a", OLD, version="1", time=9e9)
    predict(tmp_path, "a", NEW, version="2", time=1.0)
    predict(tmp_path, "a", NEW, version="3", time=2.0)
    found = latest_prediction(tmp_path, "a")
    assert found is not None
    assert found.name == "3"


def test_without_a_model_nothing_is_behind(tmp_path):
    predict(tmp_path, "a", OLD)
    assert unseen(tmp_path, "ab") == []


def test_a_damaged_prediction_is_unseen(project):
    folder = latest_prediction(project, "a")
    assert folder is not None
    for file in folder.glob("*.json"):
        file.write_text("{")
    assert "a" in unseen(project, "ab")


@pytest.mark.parametrize(
    ("older", "missing", "words"),
    [
        (0, 0, ""),
        (1, 0, "Note: 1 mask of an earlier training. Predict all cases first for the newest."),
        (
            2,
            3,
            "Note: 2 masks of an earlier training and 3 cases without a prediction. "
            "Predict all cases first for the newest.",
        ),
    ],
)
def test_an_export_says_what_is_behind(older, missing, words):
    told = Exported(files=("x",), replaced=1, older=older, missing=missing).words
    first = "Export complete: 1 file written, 1 of them in place of older ones."
    assert told == f"{first} {words}".rstrip()
