"""What the benchmarks may look at, what they keep and read, and how they compare."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from benchmark_worlds import FOLDER, SHAPE, asked, keep, load, make_data

from sslseg.core.config import TrainRequest

__all__ = ["load"]  # a fixture

KEPT = FOLDER / "results"
has_results = pytest.mark.skipif(not KEPT.is_dir(), reason="needs kept results")


# ---- kept results ----


def test_the_best_are_chosen_without_the_test_volumes(load, tmp_path):
    """The later, the better on unlabelled training volumes, and the worse on those of the test."""
    methods = load("methods")
    arms = methods.OTHERS[:4]
    lines = [
        (
            methods.key_of(asked(), arm, seed),
            {"tuning_dice": 0.5 + rank / 10, "dice": 0.9 - rank / 10},
        )
        for rank, arm in enumerate(arms)
        for seed in (0, 1)
    ]
    keep(tmp_path / methods.FILE, *lines)
    longer = {"best": 2, "labels": "orthogonal", "minutes": 4.0}
    for volumes in (4, 8):  # nothing short is kept of eight
        assert methods.best(asked(**longer, volumes=volumes)) == [arms[3], arms[2]]
    assert methods.best(asked(**longer, dataset="spleen")) == []


def test_a_study_goes_on_and_says_how_old_its_runs_are_but_a_timing_is_taken_anew(
    load, tmp_path, capsys
):
    common = load("common")
    runs = iter(range(3))
    run = lambda: {"seconds": next(runs)}  # noqa: E731
    assert common.once("a.jsonl", {"seed": 0}, run)["seconds"] == 0
    assert capsys.readouterr().err == ""
    assert common.once("a.jsonl", {"seed": 0}, run)["seconds"] == 0
    assert capsys.readouterr().err.startswith("kept since commit ")
    assert common.recorded("a.jsonl", {"seed": 0}, run)["seconds"] == 1
    assert len((tmp_path / "a.jsonl").read_text().splitlines()) == 2


def keys_in(name):
    lines = (KEPT / name).read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["key"] for line in lines]


@has_results
def test_what_is_kept_is_found_again(load):
    methods, protocol = load("methods"), load("protocol")
    for key in keys_in("methods.jsonl"):
        request = TrainRequest.model_validate(key["request"])
        arm = methods.Arm("", request.method, request.settings.get("dimensions", ""))
        args = asked(**{name: key[name] for name in ("labels", "threads")})
        args.minutes, args.steps = request.minutes, request.steps
        assert methods.key_of(args, arm, request.seed) == key
    for key in keys_in("twelve_of_110.jsonl"):
        fields = {name: value for name, value in key.items() if name in TrainRequest.model_fields}
        task = protocol.Task(TrainRequest(**fields), key["threads"], key["labels"])
        task = replace(task, volumes=key.get("volumes", protocol.VOLUMES))
        dataset = key.get("dataset", "hippocampus")
        assert protocol.twelve_key(dataset, task, key["score"]) == key


def test_other_sets_and_other_numbers_of_volumes_have_keys_of_their_own(load):
    methods = load("methods")
    arm = methods.OTHERS[0]
    plain = methods.key_of(asked(), arm, 0)
    other = methods.key_of(asked(dataset="spleen", volumes=8), arm, 0)
    assert other == plain | {"dataset": "spleen", "volumes": 8}
    assert "volumes" not in methods.key_of(asked(volumes=8), methods.FULL, 0)


def test_kept_runs_are_those_of_the_script_that_kept_more_seeds(load, tmp_path):
    protocol = load("protocol")
    tasks = [protocol.Task(TrainRequest(method="bcp", minutes=4, seed=seed), 2) for seed in (0, 1)]
    keep(
        tmp_path / protocol.METHODS,
        (protocol.methods_key("hippocampus", tasks[0]), {"dice": 0.7}),
    )
    keep(
        tmp_path / protocol.TWELVE,
        (protocol.twelve_key("hippocampus", tasks[0], "test"), {"dice": 0.6}),
        (protocol.twelve_key("hippocampus", tasks[1], "test"), {"dice": 0.8}),
        (protocol.twelve_key("hippocampus", tasks[1], "train"), {"dice": 0.1}),
    )
    both = protocol.kept_runs("hippocampus", tasks[0], [0, 1, 2])
    assert protocol.dice_of(both) == {0: 0.6, 1: 0.8}
    one = protocol.kept_runs("hippocampus", tasks[0], [0])
    assert protocol.dice_of(one) == {0: 0.7}
    assert protocol.kept_runs("spleen", tasks[0], [0, 1, 2]) == {}


# ---- comparisons ----


def test_pairs_are_of_what_both_have_and_p_is_that_of_their_differences(load):
    """Differences 0.1, 0.2, 0.3: t is 2 sqrt 3; with two degrees p is 1 - t / sqrt(t^2 + 2)."""
    found = load("common").paired(
        {0: 0.8, 1: 0.7, 2: 0.9, 5: 1.0}, {2: 0.6, 1: 0.5, 0: 0.7, 3: 0.1}
    )
    assert found.n == 3
    assert found.gain == pytest.approx(0.2)
    assert found.p == pytest.approx(1 - math.sqrt(12 / 14))
    assert found.cells == ["+0.200", "0.074"]


@pytest.mark.parametrize(
    ("ours", "cells"),
    [({0: 0.75}, ["+0.250", "-"]), ({4: 0.9}, ["-", "-"]), ({0: 0.5, 1: 0.75}, ["+0.000", "-"])],
)
def test_where_no_test_can_be_made_there_is_no_p(load, ours, cells):
    assert load("common").paired(ours, {0: 0.5, 1: 0.75}).cells == cells


def test_a_method_is_held_against_the_best_supervised_network(load):
    methods = load("methods")

    def run(dice, words):
        return {"dice": dice, "steps": 1, "train_seconds": 1, "peak_mb": 1, "plan": [words]}

    flat = {seed: run(0.5, "2.5-D") for seed in range(3)}
    box = {seed: run(0.6, "3-D") for seed in range(3)}
    ours = {seed: run(dice, "2.5-D") for seed, dice in enumerate((0.7, 0.8, 0.9))}
    row = methods.row(methods.OTHERS[0], ours, {"2.5-D": flat, "3-D": box})
    assert row[2] == "0.800"
    assert row[-3:] == ["+0.300", "+0.200", "0.074"]


# ---- data sets and protocols ----


def test_a_set_without_a_split_is_cut_by_name_and_counts_its_classes(load, tmp_path, capsys):
    data = load("dataset").read(make_data(tmp_path / "spleen", 8, ".nii", classes=3))
    assert capsys.readouterr().err == (
        "no split.json in spleen: 6 volumes by name for training, the last 2 for the test\n"
    )
    assert data.name == "spleen"
    assert data.train == tuple(f"case_{number}" for number in range(6))
    assert data.test == ("case_6", "case_7")
    assert data.classes == ("class 1", "class 2", "class 3")
    assert data.images["case_7"] == tmp_path / "spleen" / "images" / "case_7.nii"


def test_hippocampus_has_names_for_its_classes_and_a_split_of_its_own(load, tmp_path, capsys):
    folder = make_data(tmp_path / "hippocampus", 3)
    split = {"note": "", "train": ["case_2", "case_0"], "test": ["case_1"]}
    (folder / "split.json").write_text(json.dumps(split))
    data = load("dataset").read(folder)
    assert (data.train, data.test) == (("case_2", "case_0"), ("case_1",))
    assert data.classes == ("anterior", "posterior")
    assert capsys.readouterr().err == ""


def test_slices_lie_where_the_organ_is(load, tmp_path):
    """It is 6 voxels along X, 9 along Y and 6 along Z, from 1, 3 and 2 on."""
    protocol, folder = load("protocol"), make_data(tmp_path / "spleen", 1)
    file = folder / "labels" / "case_0.nii.gz"
    [(plane, slices)] = protocol.asked_slices(file, "coronal")
    assert (plane.axis, slices) == (1, [4, 7, 10])
    orthogonal = {plane.axis: slices for plane, slices in protocol.asked_slices(file, "orthogonal")}
    assert orthogonal == {0: [4], 1: [7], 2: [4]}
    nib.save(nib.Nifti1Image(np.zeros(SHAPE, np.uint8), np.eye(4)), file)
    assert protocol.asked_slices(file, "coronal")[0][1] == [2, 6, 11]


def test_a_seed_draws_as_many_volumes_as_asked(load):
    drawn, names = load("protocol").drawn, [f"case_{number}" for number in range(20)]
    assert len(set(drawn(names, "orthogonal", 0, 8))) == 8
    assert drawn(names, "coronal", 1) != drawn(names, "coronal", 0)
    assert drawn(names, "dense", 0, 8) == names
