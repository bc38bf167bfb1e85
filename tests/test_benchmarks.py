"""What the benchmarks may look at when they choose (methods.md H8)."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"
SHORT = {"seeds": [0, 1], "threads": 2, "steps": None, "labels": "coronal", "minutes": 1.5}


@pytest.fixture
def benchmark(monkeypatch, tmp_path):
    """benchmarks/methods.py, whose results lie in `tmp_path`."""
    monkeypatch.syspath_prepend(FOLDER)
    module = importlib.import_module("methods")
    monkeypatch.setattr(sys.modules["common"], "RESULTS", tmp_path)
    yield module
    for name in ("methods", "hippocampus", "common"):
        del sys.modules[name]


def test_the_best_are_chosen_without_the_test_volumes(benchmark, tmp_path):
    """The later, the better on unlabelled training volumes, and the worse on those of the test."""
    arms = benchmark.OTHERS[:4]
    lines = [
        {
            "key": benchmark.key_of(argparse.Namespace(**SHORT), arm, seed),
            "result": {"tuning_dice": 0.5 + rank / 10, "dice": 0.9 - rank / 10},
        }
        for rank, arm in enumerate(arms)
        for seed in (0, 1)
    ]
    written = "".join(json.dumps(line) + "\n" for line in lines)
    (tmp_path / benchmark.FILE).write_text(written, encoding="utf-8")
    longer = SHORT | {"best": 2, "labels": "volumes", "minutes": 4.0}
    assert benchmark.best(argparse.Namespace(**longer)) == [arms[3], arms[2]]


def test_a_study_goes_on_and_says_how_old_its_runs_are_but_a_timing_is_taken_anew(
    benchmark, tmp_path, capsys
):
    common = sys.modules["common"]
    runs = iter(range(3))
    run = lambda: {"seconds": next(runs)}  # noqa: E731
    assert common.once("a.jsonl", {"seed": 0}, run)["seconds"] == 0
    assert capsys.readouterr().err == ""
    assert common.once("a.jsonl", {"seed": 0}, run)["seconds"] == 0
    assert capsys.readouterr().err.startswith("kept since commit ")
    assert common.recorded("a.jsonl", {"seed": 0}, run)["seconds"] == 1
    assert len((tmp_path / "a.jsonl").read_text().splitlines()) == 2
