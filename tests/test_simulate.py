from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from xml.etree import ElementTree

import nibabel as nib
import numpy as np
import pytest
from cli_worlds import SHAPE, write_ellipsoids

from sslseg.core.annotation import SliceKey
from sslseg.core.config import DeviceChoice, SimulationRequest, TrainRequest
from sslseg.core.control import Control
from sslseg.core.errors import Cancelled, SslsegError
from sslseg.core.events import (
    PredictionReady,
    Progress,
    RunStarted,
    SimulationReported,
    StepReported,
)
from sslseg.core.seeds import derived
from sslseg.evaluation import dice
from sslseg.session import Session
from sslseg.simulate.arms import Round, arms_of
from sslseg.simulate.play import TASK, _area, progress_alone, simulate
from sslseg.simulate.world import World
from sslseg.storage.arrays import latest_prediction, load_array
from sslseg.storage.lease import LEASE, LeaseHolder
from sslseg.storage.store import ProjectStore
from sslseg.suggest.scores import progress
from sslseg.suggest.selection import rank

TRAIN = TrainRequest(steps=2, device=DeviceChoice.CPU)
NINE = TrainRequest(steps=9, device=DeviceChoice.CPU)


@pytest.fixture
def world(tmp_path):
    images, labels = write_ellipsoids(tmp_path, 3)
    project = tmp_path / "project"
    with Session.create(project, ["posterior", "anterior"]) as session:
        list(session.add(images, Control()))
    return project, labels


def request(labels, rounds, **more):
    chosen = {"slices": 2, "methods": ("supervised",), "train": TRAIN} | more
    return SimulationRequest(labels=str(labels), rounds=rounds, **chosen)


def play(world, rounds, control=None, **more):
    """Play to the end; return all events and the result."""
    project, labels = world
    events = list(simulate(project, request(labels, rounds, **more), control or Control()))
    return events, json.loads(Path(reports(events)[-1].report).read_text())


def reports(events):
    return [event for event in events if isinstance(event, SimulationReported)]


def scratch(world):
    return next(path for path in (world[0] / "simulations").iterdir() if path.is_dir())


def test_rounds_resume_and_leave_the_project_alone(world):
    project, _ = world
    _, first = play(world, 1)
    assert [(p["round"], p["slices"], len(p["labelled"])) for p in first["curve"]] == [(1, 2, 2)]
    assert first["curve"][0]["minutes"] > 2 * 8 / 60
    assert set(first["curve"][0]["dice"]) == {"posterior", "anterior", "mean"}
    _, both = play(world, 2)
    assert both["curve"][0] == first["curve"][0]
    assert (both["curve"][1]["round"], both["curve"][1]["slices"]) == (2, 4)
    keys = [json.dumps(key) for point in both["curve"] for key in point["labelled"]]
    assert len(set(keys)) == 4
    events, again = play(world, 2)
    assert again == both
    assert not any(isinstance(event, RunStarted) for event in events)
    lines = next(project.glob("simulation-*.jsonl")).read_text().splitlines()
    assert [json.loads(line)["round"] for line in lines] == [1, 2]
    with Session(project) as session:
        assert session.store.revision() == 0


def test_the_result_says_what_was_done_where(world):
    _, found = play(world, 2)
    assert found["steps"] == 4
    assert found["seconds"] > 0
    assert "CPU" in found["device"] or "cpu" in found["device"]
    assert found["runs"] == [point["run"] for point in found["curve"]]
    assert len(set(found["runs"])) == 2
    assert found["arms"][0]["curve"] == found["curve"]
    assert (found["strategy"], found["method"], found["seed"]) == ("auto", "supervised", 0)
    assert found["annotator"]["seconds_per_mm"] == 0.15
    minutes = [point["minutes"] for point in found["curve"]]
    assert minutes == sorted(minutes)
    heights = [point["dice"]["mean"] for point in found["curve"]]
    assert found["area"] == pytest.approx(sum(heights) / 2)


def test_several_arms_in_one_call_each_with_its_curve(world):
    events, found = play(
        world, 1, strategies=("equal", "random"), methods=("supervised", "mean-teacher")
    )
    ways = [(arm["strategy"], arm["method"]) for arm in found["arms"]]
    assert ways == [
        ("equal", "supervised"),
        ("equal", "mean-teacher"),
        ("random", "supervised"),
        ("random", "mean-teacher"),
    ]
    assert all(len(arm["curve"]) == 1 for arm in found["arms"])
    assert "curve" not in found
    assert [(event.done, event.total) for event in reports(events)] == [(n, 4) for n in range(5)]
    picture = ElementTree.parse(found["picture"])
    words = {text.text for text in picture.iter("{http://www.w3.org/2000/svg}text")}
    assert {"labelled slices", "annotation minutes (estimated)", "mean-teacher, random"} <= words
    assert len(list(picture.iter("{http://www.w3.org/2000/svg}circle"))) == 8


def test_the_annotator_draws_the_true_labels(world):
    _, found = play(world, 1, strategies=("equal",))
    first = SliceKey.model_validate(found["curve"][0]["labelled"][0])
    with Session(scratch(world)) as session:
        record = next(each for each in session.store.slices() if each.key == first)
        assert record.state == "complete"
        assert record.author == "simulated annotator"
        assert record.key.index == round((SHAPE[record.key.plane.axis] - 1) / 2)
        drawn = session.store.labels_at(record.revision)
    assert set(np.unique(drawn)) == {0, 1, 2}


def stop_at(world, rounds, kind, count, **more):
    """Play until `count` events of a kind have come, then stop."""
    control, seen = Control(), 0

    def until():
        nonlocal seen
        for event in simulate(world[0], request(world[1], rounds, **more), control):
            seen += isinstance(event, kind)
            if seen == count:
                control.stop()

    with pytest.raises(Cancelled):
        until()


def test_a_stopped_simulation_ends_like_one_that_was_not(tmp_path):
    """Bit for bit: the same slices, efforts and Dice on a CPU, whatever was half done."""
    results = []
    for name in ("whole", "stopped"):
        (tmp_path / name).mkdir()
        images, labels = write_ellipsoids(tmp_path / name, 3)
        project = tmp_path / name / "project"
        with Session.create(project, ["posterior", "anterior"]) as session:
            list(session.add(images, Control()))
        if name == "stopped":
            stop_at((project, labels), 2, StepReported, 4, train=NINE)
        _, found = play((project, labels), 2, train=NINE)
        results.append(
            [(p["labelled"], p["minutes"], p["dice"], p["accepted"]) for p in found["curve"]]
        )
    assert results[0] == results[1]


def test_what_an_unfinished_training_left_is_taken_away(world):
    stop_at(world, 1, PredictionReady, 1)
    left = {path.name for path in (scratch(world) / "runs").iterdir()}
    assert len(left) == 1
    (scratch(world) / "runs" / left.pop() / "of the unfinished one").touch()
    with ProjectStore.open(scratch(world), read_only=True) as store:
        chosen = {record.key for record in store.slices()}
    play(world, 1)
    (run,) = (scratch(world) / "runs").iterdir()
    assert not (run / "of the unfinished one").exists(), "not that run, even if it has its name"
    with ProjectStore.open(scratch(world), read_only=True) as store:
        assert {record.key for record in store.slices()} == chosen
        assert store.revision() == 2


def test_a_line_cut_short_is_done_again(world):
    play(world, 1)
    log = next(world[0].glob("simulation-*.jsonl"))
    log.write_text(log.read_text() + '{"round": 2, "sli')
    _, found = play(world, 1)
    assert len(found["curve"]) == 1
    assert log.read_text().endswith("}\n")


def test_rounds_of_a_project_that_was_deleted_are_played_again(world):
    play(world, 1)
    shutil.rmtree(scratch(world))
    _, both = play(world, 2)
    # A name holds the second of its start, so a run played again may bear the old one.
    assert {path.name for path in (scratch(world) / "runs").iterdir()} == set(both["runs"])
    assert [point["slices"] for point in both["curve"]] == [2, 4]


def test_two_processes_do_not_play_the_same_arm(world):
    play(world, 1)
    runs = set((scratch(world) / "runs").iterdir())
    other = LeaseHolder.here().model_copy(update={"pid": os.getppid()})
    (scratch(world) / LEASE).write_text(other.model_dump_json())
    with pytest.raises(SslsegError, match="being played already"):
        play(world, 2)
    assert set((scratch(world) / "runs").iterdir()) == runs


def test_no_labels_no_simulation(world, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(SslsegError, match="no label file for any case"):
        play((world[0], empty), 1)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"strategies": ("auto", "magic")}, "magic"),
        ({"methods": ("supervised", "magic")}, "magic"),
        ({"last_minutes": 4.0}, "--last-minutes"),
        ({"score_cases": ("nobody",)}, "nobody"),
        ({"holdout": 3}, "3 of 3"),
        ({"holdout": 1, "score_cases": ("case_1",)}, "--holdout and --score-cases"),
        ({"pool": 4}, "4 cases for the annotator"),
        ({"pool": 3, "holdout": 1}, "at most the 2"),
    ],
)
def test_nonsense_is_refused_before_anything_is_trained(world, more, words):
    with pytest.raises(SslsegError, match=words):
        play(world, 1, **more)
    assert not (world[0] / "simulations").exists()


def save_labels(file, labels):
    """Put other labels into a label file, on the grid it had."""
    affine = nib.load(file).affine
    nib.save(nib.Nifti1Image(labels.astype(np.uint8), affine), file)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda said: np.where(said == 2, 7, said), r"label values \[7\] in .*case_2"),
        (lambda said: said[:-1], r"case_2.*the grid of the image"),
    ],
)
def test_a_bad_label_file_is_told_before_anything_is_trained(world, spoil, words):
    file = world[1] / "case_2.nii.gz"
    save_labels(file, spoil(np.asarray(nib.load(file).dataobj)))
    with pytest.raises(SslsegError, match=words):
        play(world, 1)
    assert not (world[0] / "simulations").exists()


def test_labels_are_read_beforehand_once_and_only_of_cases_that_take_part(world):
    def read(events):
        return [
            (event.done, event.total)
            for event in events
            if isinstance(event, Progress) and event.task == "Checking labels"
        ]

    first, _ = play(world, 1, pool=2)
    again, _ = play(world, 2, pool=2)
    assert (read(first), read(again)) == ([(1, 2), (2, 2)], [])


def test_other_labels_of_the_same_size_are_another_simulation(world):
    project, labels = world
    packed, plain = labels / "case_0.nii.gz", labels / "case_0.nii"
    nib.save(nib.load(packed), plain)
    packed.unlink()
    before, size = World.of(project, request(labels, 1)).facts(), plain.stat().st_size
    save_labels(plain, np.asarray(nib.load(plain).dataobj)[::-1])
    assert plain.stat().st_size == size
    assert World.of(project, request(labels, 1)).facts() != before


def test_other_classes_or_another_device_are_another_simulation(world):
    project, labels = world
    before = World.of(project, request(labels, 1)).facts()
    with Session(project) as session:
        session.store.add_class("third")
    assert World.of(project, request(labels, 1)).facts() != before
    elsewhere = TRAIN.model_copy(update={"device": DeviceChoice.AUTO})
    (here,), (there,) = (arms_of(request(labels, 1, train=train)) for train in (TRAIN, elsewhere))
    assert here.facts() != there.facts()


def test_cases_kept_out_are_scored_whole_and_in_no_project(world):
    _, found = play(world, 1, score_cases=("case_1",))
    assert found["scored_on"]["cases"] == ["case_1"]
    assert found["scored_on"]["transductive"] is False
    line = json.loads(next(world[0].glob("simulation-*.jsonl")).read_text())
    assert set(line["cases"]) == {"case_1"}
    projects = [path for path in (world[0] / "simulations").iterdir() if path.is_dir()]
    held = {}
    for path in projects:
        with ProjectStore.open(path, read_only=True) as store:
            held[tuple(case.name for case in store.cases())] = store.revision()
    assert held == {("case_0", "case_2"): 2, ("case_1",): 0}


def test_without_any_kept_out_the_result_says_that_images_were_seen(world):
    _, found = play(world, 1)
    assert found["scored_on"]["transductive"] is True
    assert found["scored_on"]["cases"] == ["case_0", "case_1", "case_2"]


def test_so_many_cases_are_kept_out_the_same_for_every_arm(world):
    _, found = play(world, 1, holdout=1, seeds=(0, 5))
    assert len(found["scored_on"]["cases"]) == 1
    labelled = {key["case"] for arm in found["arms"] for key in arm["curve"][0]["labelled"]}
    assert not labelled & set(found["scored_on"]["cases"])


def test_the_last_round_may_be_longer(tmp_path):
    train = TrainRequest(minutes=1)
    asked = request(tmp_path, 6, train=train, last_minutes=4.0, seeds=(7,))
    (arm,) = arms_of(asked)
    assert [arm.training(number).minutes for number in (1, 5, 6)] == [1, 1, 4]
    (longer,) = arms_of(asked.model_copy(update={"rounds": 8}))
    assert longer.facts() != arm.facts(), "its sixth round was the long one"


def test_the_window_hears_of_progress_and_curves_alone(world):
    project, labels = world
    events = list(progress_alone(simulate(project, request(labels, 2), Control())))
    assert {type(event) for event in events} == {SimulationReported, Progress}
    assert {event.task for event in events if isinstance(event, Progress)} == {
        "Checking labels",
        "Simulating, in %",
    }
    percents = [event.done for event in events if getattr(event, "task", "") == TASK]
    assert percents == sorted(percents)
    assert len(percents) > len(set(percents)), "what else is done repeats the percent"
    assert events[-1].done == events[-1].total
    curves = reports(events)[-1].curves
    assert [curve.slices for curve in curves] == [(2, 4)]


def until_refused(work):
    """Return what was told, and the error in which it ended."""
    events = []
    try:
        events.extend(work)
    except SslsegError as error:
        return events, error
    return events, None


def test_an_arm_that_cannot_be_played_does_not_keep_the_others_from_it(world):
    """`advent` needs two domains, which no project of a simulation has here."""
    project, labels = world
    asked = request(labels, 1, methods=("advent", "supervised"))
    events, problem = until_refused(simulate(project, asked, Control()))
    assert "domain" in str(problem)
    told = reports(events)
    assert [curve.method for curve in told[-1].curves] == ["supervised"]
    assert any(event.words.startswith("advent, auto, seed 0: left out. Got") for event in told)


def test_cases_without_labels_are_told(world):
    (world[1] / "case_1.nii.gz").unlink()
    events, _ = play(world, 1)
    assert reports(events)[0].words.startswith("2 of 3 cases have labels and take part. Done")


def test_nothing_is_predicted_for_a_round_that_never_comes(tmp_path):
    images, labels = write_ellipsoids(tmp_path, 3)
    project = tmp_path / "project"
    with Session.create(project, ["posterior", "anterior"]) as session:
        list(session.add(images, Control()))
    train = TrainRequest(minutes=0.02, device=DeviceChoice.CPU)
    more = {"train": train, "last_minutes": 0.03, "holdout": 1}
    events, _ = play((project, labels), 2, **more)
    at = [place for place, event in enumerate(events) if isinstance(event, RunStarted)]
    predicted = [
        sum(isinstance(event, PredictionReady) for event in part)
        for part in (events[at[0] : at[1]], events[at[1] :])
    ]
    assert predicted == [2, 0]


def test_a_curve_that_does_not_grow_is_as_high_as_its_mean():
    rounds = [Round.model_construct(annotated=4, dice={"mean": one}) for one in (0.4, 0.6, None)]
    assert _area(rounds) == pytest.approx((0.4 + 0.6 + 0) / 3)
    assert (_area(rounds[:1]), _area([])) == (0.4, None)


# ---- what is scored ----


def test_without_any_kept_out_every_voxel_counts_whatever_an_arm_annotated(world):
    """Which voxels are annotated differs from arm to arm: leaving them out favours some arms."""
    project, labels = world
    _, found = play(world, 1)
    assert "Whole volumes" in found["scored_on"]["words"]
    line = json.loads(next(project.glob("simulation-*.jsonl")).read_text())
    truth = World.of(project, request(labels, 1)).truth("case_0")
    said = load_array(latest_prediction(scratch(world), "case_0"), "labels")
    assert line["cases"]["case_0"] == {
        "posterior": pytest.approx(dice(said == 1, truth == 1)),
        "anterior": pytest.approx(dice(said == 2, truth == 2)),
    }


@pytest.mark.parametrize(("count", "kept_out"), [(9, 0), (10, 2), (15, 3)])
def test_one_in_five_of_ten_or_more_is_kept_out_where_nobody_says(tmp_path, count, kept_out):
    images, labels = write_ellipsoids(tmp_path, count)
    with Session.create(tmp_path / "project", ["posterior", "anterior"]) as session:
        list(session.add(images, Control()))
    found = World.of(tmp_path / "project", request(labels, 1))
    assert len(found.kept_out) == kept_out
    assert found.scoring()["transductive"] is (kept_out == 0)
    assert not set(found.pool(0)) & set(found.kept_out)
    assert World.of(tmp_path / "project", request(labels, 1, holdout=0)).kept_out == ()


def test_the_first_words_say_what_is_scored(world):
    events, _ = play(world, 1, holdout=1)
    assert "no part of the project" in reports(events)[0].words


# ---- repetitions ----


def test_repetitions_share_no_seed(tmp_path):
    """With seed + round, seed 0 in round 3 and seed 1 in round 2 would share the generator."""
    arms = arms_of(request(tmp_path, 6, seeds=tuple(range(5)), strategies=("auto", "equal")))
    rounds = range(1, 7)
    auto, equal = (
        [arm.training(n).seed for arm in arms if arm.strategy == strategy for n in rounds]
        for strategy in ("auto", "equal")
    )
    assert auto == equal, "arms of one seed differ in the strategy alone"
    chosen = [derived(seed, n, "suggestions") for seed in range(5) for n in rounds]
    assert len({*auto, *chosen}) == 5 * 6 * 2


def test_each_seed_draws_cases_of_its_own_the_same_for_all_its_arms(world):
    _, found = play(world, 1, pool=2, seeds=(0, 5), strategies=("equal", "random"))
    assert found["scored_on"]["cases"] == [], "each seed has its own"
    by_seed = {}
    for arm in found["arms"]:
        assert len(arm["cases"]) == 2
        assert by_seed.setdefault(arm["seed"], arm["cases"]) == arm["cases"]
        assert {key["case"] for key in arm["curve"][0]["labelled"]} <= set(arm["cases"])
    assert len({tuple(cases) for cases in by_seed.values()}) > 1


def test_other_seeds_label_other_slices_and_equal_seeds_the_same(world, tmp_path):
    (tmp_path / "again").mkdir()
    images, labels = write_ellipsoids(tmp_path / "again", 3)
    with Session.create(tmp_path / "again" / "project", ["posterior", "anterior"]) as session:
        list(session.add(images, Control()))
    again = (tmp_path / "again" / "project", labels)
    labelled = {}
    for place, seed in ((world, 0), (world, 5), (again, 5)):
        _, found = play(place, 1, seeds=(seed,), pool=2)
        labelled[place, seed] = [point["labelled"] for point in found["curve"]]
    assert labelled[world, 5] == labelled[again, 5]
    assert labelled[world, 0] != labelled[world, 5]


def test_the_sixth_round_is_the_sixth(world, monkeypatch):
    """Noise and novelty fade by the round that is chosen for: by the sixth they are gone."""
    told = []

    def spied(*args, **how):
        told.append(how["round_number"])
        return rank(*args, **how)

    monkeypatch.setattr("sslseg.session.rank", spied)
    play(world, 6, slices=1)
    assert told == [1, 2, 3, 4, 5, 6]
    assert progress(told[-1]) == 1


def test_a_finished_arm_keeps_little_and_goes_on_all_the_same(tmp_path):
    """Two rounds at once, or one now and one later: the same slices, efforts and Dice."""
    results = []
    for name in ("whole", "later"):
        (tmp_path / name).mkdir()
        images, labels = write_ellipsoids(tmp_path / name, 3)
        project = tmp_path / name / "project"
        with Session.create(project, ["posterior", "anterior"]) as session:
            list(session.add(images, Control()))
        if name == "later":
            play((project, labels), 1, train=NINE)
            left = {path.name for path in scratch((project, labels)).glob("predictions/*/*/*")}
            assert left == {"labels.npy", "slices.npz", "prediction.json"}
            assert len(list(scratch((project, labels)).glob("predictions/*/*"))) == 3
        _, found = play((project, labels), 2, train=NINE)
        results.append(
            [(p["labelled"], p["minutes"], p["dice"], p["accepted"]) for p in found["curve"]]
        )
    assert results[0] == results[1]


def test_a_discriminator_that_cannot_be_believed_ends_no_simulation(world):
    """Without one, "doubt" cannot choose the second round; the arm after it is played too."""
    train = TRAIN.model_copy(update={"settings": {"critic": False}})
    events, found = play(world, 2, strategies=("doubt+power", "equal"), train=train)
    doubt, equal = found["arms"]
    assert [len(arm["curve"]) for arm in (doubt, equal)] == [2, 2]
    assert [point.get("instead") for point in doubt["curve"]] == [None, "uncertainty+power"]
    assert not any("instead" in point for point in equal["curve"])
    (told,) = [event.words for event in reports(events) if "Chosen by" in event.words]
    assert "round 2 of 2" in told
    assert "Chosen by uncertainty+power: no discriminator could be believed." in told
    _, again = play(world, 2, strategies=("doubt+power", "equal"), train=train)
    assert again == found
