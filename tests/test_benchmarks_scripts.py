"""What the single benchmarks play, score and compare."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from benchmark_worlds import asked, keep, load, make_data

from sslseg.core.config import TrainRequest
from sslseg.core.events import CommandDone, FinishReason, PredictionReady, RunFinished
from sslseg.storage.schema import DATABASE

__all__ = ["load"]  # a fixture


# ---- forest ----


@pytest.mark.parametrize(
    ("labels", "voxels"),
    [("coronal", 3 * 12 * 10), ("orthogonal", 140 + 120 + 168 - (10 + 14 + 12) + 1)],
)
def test_a_forest_learns_from_the_slices_alone(load, tmp_path, labels, voxels):
    """In each of two volumes 3 coronal slices, or one of each plane, which cross."""
    forest, data = load("pixel_classifier"), make_data(tmp_path / "spleen", 4)
    args = asked(labels=labels, volumes=2, trees=3, threads=1)
    found = forest.run(load("dataset").read(data), args, 0, True)
    assert found["dice"] > 0.8
    assert found["voxels"] == 2 * voxels


def test_the_default_method_is_held_against_the_forest(load):
    forest = load("pixel_classifier")
    runs = {
        seed: {"dice": dice, "voxels": 1, "learn_seconds": 1, "seconds_per_volume": 1, "peak_mb": 1}
        for seed, dice in enumerate((0.6, 0.5, 0.6))
    }
    ours = {seed: {"dice": dice} for seed, dice in enumerate((0.7, 0.7, 0.9))}
    row = forest.row("with position", runs, ours)
    assert row[-3:] == ["+0.200", "0.074", "3"]
    assert forest.row("with position", runs, {})[-3:] == ["-", "-", "0"]


# ---- efficiency ----


def curve(*points, area=0.0):
    return {"area": area, "curve": [{"slices": x, "dice": y} for x, y in points]}


OURS = curve((8, 0.5), (16, 0.6), (24, 0.8))


@pytest.mark.parametrize(("dice", "slices"), [(0.4, 8), (0.5, 8), (0.55, 12), (0.7, 20), (0.8, 24)])
def test_slices_for_a_dice_lie_on_the_line_between_two_rounds(load, dice, slices):
    assert load("efficiency").slices_for(OURS, dice) == pytest.approx(slices)


def test_a_dice_may_never_be_reached_and_an_undefined_one_counts_nothing(load):
    efficiency = load("efficiency")
    assert math.isnan(efficiency.slices_for(OURS, 0.81))
    assert efficiency.slices_for(curve((8, None), (16, 0.5)), 0.25) == 12


def test_fewer_slices_are_counted_against_those_of_the_other_arm(load):
    """20 instead of 24, and never: a sixth fewer, and none."""
    efficiency = load("efficiency")
    theirs = {0: curve((8, 0.6), (24, 0.7)), 1: curve((8, 0.6), (24, 0.9)), 2: OURS}
    found = {"auto": {0: OURS, 1: OURS}, "equal": theirs}
    first, second = efficiency.fewer_slices(found["auto"], theirs)
    assert first == pytest.approx(100 / 6)
    assert math.isnan(second)
    row = efficiency.effort_row(found, "equal", {0: 0.9, 1: 0.7})
    assert row == ["`equal`", "100.0", "1 of 2 times", "8", "12"]
    assert efficiency.effort_row(found, "auto", {}) == ["`auto`", "-", "-", "-", "-"]


def test_areas_and_last_dice_are_compared_on_the_same_seeds(load):
    efficiency = load("efficiency")
    ours = {seed: curve((8, dice), area=dice / 2) for seed, dice in enumerate((0.7, 0.7, 0.9))}
    theirs = {seed: curve((8, dice), area=0.1) for seed, dice in enumerate((0.6, 0.5, 0.6, 0.0))}
    assert efficiency.compared(ours, theirs, last=True).cells == ["+0.200", "0.074"]
    assert efficiency.compared(ours, theirs, last=False).gain == pytest.approx(2.3 / 6 - 0.1)


class FakeCommandLine:
    """`sslseg`, which makes empty projects and plays what it is told to."""

    def __init__(self, play):
        self.play, self.made = play, 0

    def __call__(self, command, folder, *_, threads=1):
        if command == "new":
            self.made += 1
            folder.mkdir()
            (folder / DATABASE).touch()
        if command == "simulate":
            self.play(folder)
        point = {"slices": 8, "minutes": 1.0, "dice": {"mean": 0.5}}
        return json.dumps({"arms": [{"curve": [point], "area": 0.5, "steps": 1, "seconds": 1.0}]})


@pytest.fixture
def arms(load, tmp_path, monkeypatch):
    """Return a function that plays an arm by a given fake, in one folder for all."""
    efficiency = load("efficiency")
    data = load("dataset").read(make_data(tmp_path / "spleen", 4))
    shared = {
        **{"rounds": 1, "slices": 8, "last_minutes": 4.0, "score": "test", "pool": 2},
        **{"fresh": False, "set": [], "work": tmp_path / "work"},
    }

    def play(fake, strategy="auto", threads=1, code="a"):
        monkeypatch.setattr(efficiency, "sslseg", fake)
        monkeypatch.setattr(efficiency, "code_at_hand", lambda: code)
        args = asked(**shared, threads=threads)
        return efficiency.run(args, data, efficiency.key_of(args, strategy, 0))

    return play


def test_an_arm_leaves_alone_what_is_played_beside_it(arms, tmp_path):
    quiet = FakeCommandLine(lambda project: None)

    def beside(project):
        arms(quiet, "equal")
        assert (project / DATABASE).exists()

    assert arms(FakeCommandLine(beside))["area"] == 0.5
    assert quiet.made == 1
    assert list((tmp_path / "work").iterdir()) == []


def test_a_stopped_arm_goes_on_by_the_same_code_and_threads_only(arms):
    def stop(project):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        arms(FakeCommandLine(stop))
    quiet = FakeCommandLine(lambda project: None)
    for made, other in ((1, {"code": "b"}), (2, {"threads": 2}), (2, {})):
        arms(quiet, **other)
        assert quiet.made == made
    arms(quiet)
    assert quiet.made == 3


# ---- spinal cord ----


def test_cord_and_grey_matter_count_where_they_were_drawn(load):
    """Cord in slices 0 and 1, grey in 0; stray voxels in 2; a prediction in 3 harms nobody."""
    spinal_cord = load("spinal_cord")
    truth, said = np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8)
    truth[..., :2] = 1
    truth[:2, :, 0] = 2
    truth[0, :3, 2] = 2
    said[..., 0] = 1
    said[:1, :, 0] = 2
    said[..., 3] = 2
    found = spinal_cord.dice_of(said, truth)
    assert found["cord"] == pytest.approx(2 * 16 / (16 + 32))
    assert found["grey"] == pytest.approx(2 * 4 / (4 + 8))
    assert spinal_cord.dice_of(said, np.zeros_like(truth)) == {}


def test_folds_are_averaged_before_seeds_are_compared(load):
    spinal_cord = load("spinal_cord")
    ours = {(0, "a"): 0.8, (0, "b"): 0.6, (1, "a"): 0.9, (1, "b"): 0.9, (2, "a"): 0.1}
    theirs = {(0, "a"): 0.5, (0, "b"): 0.7, (1, "a"): 0.6, (1, "c"): 0.0}
    first, second = ({key: {"cord": v} for key, v in runs.items()} for runs in (ours, theirs))
    found = spinal_cord.compared(first, second, "cord")
    assert found.n == 2
    assert found.gain == pytest.approx((0.1 + 0.3) / 2)


# ---- twenty seconds ----


class FakeRunner:
    """A runner that has told everything already."""

    def __init__(self, *events):
        self.events, self.sent = list(events), []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.closed = True

    def send(self, command):
        self.sent.append(command.kind)

    def wait(self, timeout):
        return True

    def poll(self):
        return [self.events.pop(0)]


def finished(reason=FinishReason.COMPLETED, message=""):
    return RunFinished(run="r", reason=reason, step=9, seconds=12.0, message=message)


def predicted(case):
    return PredictionReady(case=case, version="1", folder="")


def click(load, monkeypatch, tmp_path, *events):
    seconds, runner = load("twenty_seconds"), FakeRunner(*events)
    monkeypatch.setattr(seconds, "ProcessRunner", lambda **_: runner)
    task = load("protocol").Task(TrainRequest(method="bcp", minutes=0.2), 2)
    found = seconds.click(tmp_path / "project", "case_1", task)
    assert runner.sent == ["open", "show", "train"]
    return found, runner


def test_the_clock_stops_at_the_prediction_after_the_training(load, monkeypatch, tmp_path):
    events = [predicted("case_1"), finished(), predicted("case_0"), predicted("case_1")]
    found, runner = click(load, monkeypatch, tmp_path, *events, predicted("case_2"))
    assert (found["steps"], found["train_seconds"]) == (9, 12.0)
    assert runner.events == [predicted("case_2")]


@pytest.mark.parametrize(
    "event", [finished(FinishReason.FAILED, "no"), CommandDone(command="train", message="no")]
)
def test_a_worker_that_fails_ends_the_waiting(load, monkeypatch, tmp_path, event):
    with pytest.raises(load("common").Refused, match="no"):
        click(load, monkeypatch, tmp_path, event)


# ---- tables ----


@pytest.mark.parametrize(
    "name",
    [
        *("methods", "twelve_of_110", "twenty_seconds", "pixel_classifier", "pretraining"),
        *("efficiency", "domain_shift", "spinal_cord"),
    ],
)
def test_a_table_needs_no_data(load, monkeypatch, capsys, name):
    monkeypatch.delenv("SSLSEG_DATA", raising=False)
    monkeypatch.setattr("sys.argv", [name, "--table"])
    load(name).main()
    assert "FAILED" not in capsys.readouterr().err


def test_a_table_of_the_sites_shows_those_that_are_kept(load, tmp_path, monkeypatch, capsys):
    shift = load("domain_shift")
    monkeypatch.setattr("sys.argv", ["x", "--dataset", "spinal_cord", "--table", "--seeds", "0"])
    result = {"dice": 0.625, "steps": 9, "peak_mb": 10, "plan": ["3-D"]}
    request = TrainRequest(method="supervised", minutes=2.0, seed=0).model_dump(mode="json")
    key = {"request": request, "threads": 2, "site": "site1"}
    keep(tmp_path / shift.FILE, (key, result))
    shift.main()
    assert "| source only | 3-D | 0.625 |" in capsys.readouterr().out


def test_a_table_of_pretraining_leaves_out_what_is_missing(load, tmp_path, monkeypatch, capsys):
    pretraining = load("pretraining")
    monkeypatch.setattr("sys.argv", ["x", "--table", "--first", "none", "--slices", "3"])
    key = {
        **{"method": None, "minutes": 4.0, "pretrain_minutes": 4.0, "steps": None},
        **{"tested": None, "device": "auto", "threads": 2},
        **{"first": "none", "slices": 3, "seed": 1},
    }
    keep(tmp_path / pretraining.FILE, (key, {"dice": 0.5}))
    pretraining.main()
    assert "none       : mean 0.5000, sd -, n 1" in capsys.readouterr().out


def test_a_table_of_another_set_asks_how_many_volumes_were_drawn(load, monkeypatch, capsys):
    arguments = ["x", "--table", "--dataset", "spleen"]
    efficiency = load("efficiency")
    monkeypatch.setattr("sys.argv", [*arguments, "--pool", "20"])
    assert efficiency.asked()[0].pool == 20
    monkeypatch.setattr("sys.argv", arguments)
    with pytest.raises(SystemExit):
        efficiency.asked()
    assert "--pool" in capsys.readouterr().err


# ---- where it errs ----


def bar(*values):
    """A volume of one row of voxels along the coronal axis."""
    return np.array(values, np.uint8).reshape(1, -1, 1)


def test_what_is_lost_where_classes_meet_and_past_the_ends(load):
    """One voxel too far in front, none at the end, and the boundary a voxel early."""
    errs = load("where_it_errs")
    truth, found = bar(0, 0, 1, 1, 1, 2, 2, 0), bar(0, 1, 1, 1, 2, 2, 0, 0)
    said = errs.judged(found, truth, [1, 2])
    assert said["dice"] == pytest.approx((2 * 2 / 6 + 2 * 1 / 4) / 2)
    assert said["outline"] == pytest.approx(2 * 4 / 10)
    assert errs.with_true_classes(found, truth).ravel().tolist() == [0, 1, 1, 1, 1, 2, 0, 0]
    assert said["classes_right"] == pytest.approx((2 * 3 / 7 + 2 * 1 / 3) / 2)
    assert errs.within_true_ends(found, truth).ravel().tolist() == [0, 0, 1, 1, 2, 2, 0, 0]
    assert said["ends_right"] == pytest.approx((2 * 2 / 5 + 2 * 1 / 4) / 2)


def test_tenths_run_from_back_to_front(load):
    errs = load("where_it_errs")
    truth = bar(0, *[1] * 10, 0)
    assert errs.by_tenth(bar(1, 0, *[2] * 9, 0), truth) == [0.0, *[1.0] * 9]


def test_volumes_of_the_test_are_not_looked_at(load, tmp_path):
    errs, data = load("where_it_errs"), load("dataset").read(make_data(tmp_path / "spleen", 4))
    for name in data.test:
        data.images[name].unlink()
        data.labels[name].unlink()
    request = TrainRequest(method="supervised", steps=2)
    found = errs.run(data, load("protocol").Task(request, 1, "coronal", 1))
    assert all(0 <= found[part] <= 1 for part in errs.PARTS)
    assert len(found["tenths"]) == errs.TENTHS
