from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np
import pytest
from cli_worlds import write_ellipsoids

from sslseg import cli, terminal, window
from sslseg.methods import find
from sslseg.storage.arrays import latest_prediction, load_info
from sslseg.storage.store import ProjectStore
from sslseg.suggest.strategies import ADDITIONS, STRATEGIES


class Outcome(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


def run(*arguments: object) -> Outcome:
    """Call the command line in this process."""
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.raises(SystemExit) as ended,
    ):
        cli.main([str(a) for a in arguments])
    return Outcome(int(ended.value.code or 0), out.getvalue(), err.getvalue())


def done(*arguments: object) -> Outcome:
    outcome = run(*arguments)
    assert outcome.code == 0, outcome.err
    return outcome


class World(NamedTuple):
    project: Path
    images: Sequence[Path]
    labels: Path


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> World:
    """A project of four cases, two of them with labelled slices, trained for three steps."""
    folder = tmp_path_factory.mktemp("cli")
    images, labels = write_ellipsoids(folder)
    project = folder / "project"
    done("new", project, "--class", "posterior", "--class", "anterior")
    done("add", project, *images)
    for case, slices in (("case_0", (6, 8)), ("case_1", (7, 10))):
        numbers = [a for n in slices for a in ("--slice", n)]
        done(
            "import-labels", project, case, labels / f"{case}.nii.gz", "--plane", "axial", *numbers
        )
    done("train", project, "--steps", 3, "--device", "cpu")
    done("predict", project)
    return World(project, images, labels)


def refused(outcome: Outcome, *words: str) -> None:
    assert outcome.code == 1
    assert outcome.out == ""
    lines = outcome.err.splitlines()
    assert len(lines) == 1, lines
    for word in words:
        assert word in lines[0]


def test_new_refuses_a_second_project(world):
    refused(run("new", world.project, "--class", "a"), "a project in", "already")


def test_add_prints_case_names_and_refuses_a_second_of_one_name(tmp_path, world):
    done("new", tmp_path / "p", "--class", "a")
    assert done("add", tmp_path / "p", *world.images[:2], "--json").json == ["case_0", "case_1"]
    refused(run("add", tmp_path / "p", world.images[1]), "case_1", "Rename")


def test_bad_file_changes_nothing(tmp_path, world):
    done("new", tmp_path / "p", "--class", "a")
    bad = tmp_path / "bad.nii.gz"
    bad.write_bytes(b"no image")
    refused(run("add", tmp_path / "p", world.images[0], bad), "bad.nii.gz")
    assert "no case" in run("import-labels", tmp_path / "p", "case_0", bad).err


def test_domains_are_set_listed_and_taken_back(world, tmp_path):
    project = tmp_path / "p"
    done("new", project, "--class", "a")
    done("add", project, world.images[0])
    done("add", project, world.images[1], world.images[2], "--domain", "site B")
    assert done("domain", project).out == "case_0  -\ncase_1  site B\ncase_2  site B\n"
    found = done("domain", project, "case_0", "case_2", "--name", "site A", "--json").json
    assert found == {"case_0": "site A", "case_1": "site B", "case_2": "site A"}
    assert done("domain", project, "case_0", "--name", "", "--json").json["case_0"] == ""
    refused(run("domain", project, "nobody", "--name", "x"), "no case named 'nobody'")
    refused(run("domain", project, "case_0"), "case_0, no --name")
    refused(run("domain", project, "--name", "x"), "--name without a case")


def test_an_adapting_method_says_that_it_needs_two_domains(world, adapting):
    refused(run("train", world.project, "--method", "supervised", "--steps", 1), *adapting)
    assert "Needs two domains." in done("methods").out


@pytest.fixture
def adapting(monkeypatch):
    """Make `supervised` a method that needs two domains; the words of its refusal."""
    method = find("supervised")
    monkeypatch.setattr(method, "adapts", True)
    monkeypatch.setattr(cli, "known_methods", lambda: [method.info()])
    return ("no domains for method supervised", "two domains", "`sslseg domain`")


def test_import_labels_counts_slices(world, tmp_path):
    project = tmp_path / "p"
    done("new", project, "--class", "posterior", "--class", "anterior")
    done("add", project, world.images[0])
    file = world.labels / "case_0.nii.gz"
    taken = done("import-labels", project, "case_0", file, "--json").json
    assert taken == {"case": "case_0", "slices": 16}
    refused(run("import-labels", project, "case_0", file, "--slice", 3), "--plane")
    far = ("--plane", "axial", "--slice", 16)
    refused(run("import-labels", project, "case_0", file, *far), "from 0 to 15")


def test_train_ends_with_one_object(world):
    outcome = done("train", world.project, "--steps", 2, "--device", "cpu", "--seed", 4, "--json")
    found = outcome.json
    assert {"run", "steps", "seconds", "device", "terms", "validation"} <= set(found)
    assert found["steps"] == 2
    assert found["reason"] == "completed"
    assert "supervised" in found["terms"]
    assert outcome.err.startswith("Training ")
    assert (world.project / "runs" / found["run"]).is_dir()


def test_train_beside_its_baseline(world):
    steps = ("--steps", 2, "--device", "cpu", "--json")
    outcome = done("train", world.project, *steps, "--baseline")
    found = outcome.json
    assert (found["method"], found["baseline"]["method"]) == ("bcp", "supervised")
    assert found["run"] != found["baseline"]["run"]
    assert found["validation"]["slices"] == found["baseline"]["validation"]["slices"] == 1
    gain = found["validation"]["mean"] - found["baseline"]["validation"]["mean"]
    assert found["gain"] == {"dice": pytest.approx(gain), "error": None}
    assert "Supervised alone: Dice" in outcome.err
    refused(
        run("train", world.project, *steps[:4], "--method", "supervised", "--baseline"),
        "a baseline for supervised",
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--method", "magic"), ("magic", "supervised")),
        (("--set", "no_such_thing=1"), ("no_such_thing",)),
        (("--set", "novalue"), ("key=value",)),
        (("--minutes", 1, "--steps", 1), ("at most one",)),
        (("--device", "toaster"), ("toaster", "cpu")),
        (("--steps", 0), ("--steps",)),
        (("--seed", -1), ("--seed",)),
        (("--minutes", "inf"), ("--minutes inf", "finite")),
    ],
)
def test_train_refuses(world, arguments, words):
    refused(run("train", world.project, *arguments), *words)


def test_pretrain_ends_with_one_object_and_later_trainings_begin_from_it(world, tmp_path):
    project = tmp_path / "p"
    done("new", project, "--class", "posterior", "--class", "anterior")
    done("add", project, *world.images)
    few = ("--steps", 2, "--device", "cpu", "--set", "width=2", "--json")
    outcome = done("pretrain", project, "--method", "contrastive", *few)
    found = outcome.json
    assert (found["method"], found["steps"], found["reason"]) == ("contrastive", 2, "completed")
    assert set(found["terms"]) == {"local"}
    assert outcome.err.startswith("Pre-training contrastive on CPU")
    assert (project / "pretraining" / found["run"]).is_dir()
    labels = world.labels / "case_0.nii.gz"
    done("import-labels", project, "case_0", labels, "--plane", "axial", "--slice", 6)
    plan = done("train", project, *few).json["plan"]
    assert "Starts from the encoder pre-trained by contrastive learning." in plan


def test_pretrain_help_lists_its_methods_and_methods_does_not(world):
    told = done("pretrain", "--help").out
    listed = {method["name"] for method in done("methods", "--json").json}
    for name in ("jigsaw", "contrastive", "masked"):
        assert f"{name} (Pre-training):" in told
        assert name not in listed
    refused(run("pretrain", world.project, "--method", "magic"), "magic", "jigsaw")


def test_methods_says_once_what_all_of_them_take():
    told = done("methods").out
    assert told.count("    threshold = 0.8:") > 1
    assert told.count("    learning_rate = ") == 1
    assert told.index("    learning_rate = ") > told.index("of them take as well:")


def test_suggest_after_training(world):
    found = done("suggest", world.project, "--count", 5, "--json").json
    assert len(found) == 5
    assert all(set(s) == {"case", "plane", "slice", "score", "reason"} for s in found)
    assert [s["score"] for s in found] == sorted((s["score"] for s in found), reverse=True)
    assert done("suggest", world.project, "--strategy", "core-set+cost", "--json").json
    annotated = {("case_0", 6), ("case_0", 8), ("case_1", 7), ("case_1", 10)}
    axial = {(s["case"], s["slice"]) for s in found if s["plane"] == "axial"}
    assert not axial & annotated
    text = done("suggest", world.project, "--count", 1).out
    assert found[0]["case"] in text
    assert found[0]["reason"] in text


def test_suggest_lets_the_newest_model_look_first(world):
    run_name = done("train", world.project, "--steps", 1, "--device", "cpu", "--json").json["run"]

    def seen() -> list[str]:
        folders = [latest_prediction(world.project, f"case_{n}") for n in range(4)]
        return [load_info(folder).run for folder in folders if folder is not None]

    done("suggest", world.project, "--strategy", "equal")
    assert run_name not in seen(), "equal slices need no model"
    done("suggest", world.project, "--count", 3)
    assert seen() == [run_name] * 4


def test_suggest_goes_by_what_there_is_where_a_case_cannot_be_looked_at(world):
    done("train", world.project, "--steps", 1, "--device", "cpu")
    with ProjectStore.open(world.project, read_only=True) as store:
        image = store.source_path("case_1")
    kept = image.read_bytes()
    shutil.rmtree(world.project / "cache")
    image.unlink()
    try:
        result = done("suggest", world.project, "--count", 3, "--json")
    finally:
        image.write_bytes(kept)
    assert len(result.json) == 3
    assert str(image) in result.err
    assert "goes by the predictions that there are" in result.err


def test_suggest_says_that_a_project_has_no_case(tmp_path):
    done("new", tmp_path / "empty", "--class", "organ")
    refused(run("suggest", tmp_path / "empty"), "no case in the project", "Add volumes first.")


def test_suggest_lists_every_strategy_in_its_help():
    told = "".join(done("suggest", "--help").out.split())  # names may be cut at a hyphen
    assert all(f"{name}:" in told for name in STRATEGIES)
    assert all(f"+{name}:" in told for name in ADDITIONS)


def test_suggest_refuses_an_unknown_strategy(world):
    refused(run("suggest", world.project, "--strategy", "best"), "best", "cold-start")


def test_evaluate_has_the_agreed_shape(world):
    found = done("evaluate", world.project, "--labels", world.labels, "--json").json
    assert set(found) == {"cases", "mean"}
    assert set(found["cases"]) == {f"case_{n}" for n in range(4)}
    assert set(found["mean"]) == {"posterior", "anterior", "all"}
    measures = found["cases"]["case_0"]["anterior"]
    assert set(measures) == {"dice", "hd95_mm", "assd_mm"}
    only = done("evaluate", world.project, "--labels", world.labels, "--case", "case_2", "--json")
    assert set(only.json["cases"]) == {"case_2"}
    assert "mean" in done("evaluate", world.project, "--labels", world.labels).out


def test_simulate_ends_with_one_object_and_a_picture(world, tmp_path):
    options = ("--labels", world.labels, "--rounds", 1, "--slices", 2, "--steps", 1)
    more = ("--device", "cpu", "--method", "supervised", "--holdout", 1, "--pool", 2)
    outcome = done("simulate", world.project, *options, *more)
    found = outcome.json
    assert {"runs", "steps", "seconds", "device", "curve", "arms", "scored_on"} <= set(found)
    assert (found["steps"], found["curve"][0]["slices"]) == (1, 2)
    assert (len(found["cases"]), len(found["scored_on"]["cases"])) == (2, 1)
    assert Path(found["picture"]).read_text().startswith("<svg")
    assert "round 1 of 1: 2 slices in" in outcome.err
    both = ("--strategy", "equal", "--strategy", "random")
    arms = done("simulate", world.project, *options, *more, *both, "--json").json["arms"]
    assert [arm["strategy"] for arm in arms] == ["equal", "random"]
    long = ("--last-minutes", 1)
    refused(run("simulate", world.project, *options, *long), "--steps and --last-minutes")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--last-minutes", "inf"), ("--last-minutes inf", "finite")),
        (("--last-minutes", "nan"), ("--last-minutes",)),
        (("--seed", 0, "--seed", -1), ("--seed",)),
        (("--holdout", 1, "--score-cases", "case_0"), ("--holdout and --score-cases",)),
    ],
)
def test_simulate_refuses(world, arguments, words):
    options = ("--labels", world.labels, "--rounds", 1, "--slices", 1)
    refused(run("simulate", world.project, *options, *arguments), *words)


def test_export_lies_on_the_source_grid(world, tmp_path):
    files = done("export", world.project, tmp_path / "masks", "--as", "nifti", "--json").json
    assert len(files) == 4
    for image, file in zip(world.images, files, strict=True):
        np.testing.assert_array_equal(nib.load(file).affine, nib.load(image).affine)
    again = done("export", world.project, tmp_path / "masks", "--what", "annotations")
    assert "2 files written, 2 of them in place of older ones" in again.err
    refused(run("export", world.project, tmp_path, "--as", "onnx"), "nifti, nnunet")


def test_predict_names_its_cases(world):
    assert done("predict", world.project, "case_2", "--json").json == ["case_2"]
    refused(run("predict", world.project, "nobody"), "nobody")


def test_methods_lists_parameters():
    found = done("methods", "--json").json
    assert {"supervised", "mean-teacher", "ua-mt", "co-training"} <= {m["name"] for m in found}
    keys = {"name", "family", "summary", "source", "parameters", "needs_domains", "dimensions"}
    assert all(set(m) == keys for m in found)
    assert "mean-teacher (" in done("methods").out


def test_doctor_in_words():
    assert "torch" in done("doctor").out


def test_usage_errors_are_one_line_and_exit_1(tmp_path):
    refused(run("no-such-command"), "no-such-command", "sslseg --help")
    refused(run("train"), "PROJECT")
    refused(run("suggest", tmp_path), "no project")


def test_help_and_version_and_nothing():
    assert "import-labels" in done("--help").out
    assert "import-labels" in done().out
    assert done("--version").out[0].isdigit()


def test_an_unforeseen_error_is_one_line_and_a_log(monkeypatch, tmp_path):
    def broken():
        raise RuntimeError("surprise\nin two lines")

    log = tmp_path / "log.txt"
    monkeypatch.setattr(cli, "known_methods", broken)
    monkeypatch.setattr(terminal, "new_log", lambda: log)
    refused(run("methods"), "RuntimeError: surprise", str(log))
    assert "in two lines" in log.read_text()


def test_gui_without_napari_says_what_to_install(monkeypatch):
    monkeypatch.setattr(window.importlib.util, "find_spec", lambda name: None)
    refused(run("gui"), "pip install '.[gui]'")


def test_gui_starts_the_plugin_in_a_process(monkeypatch, tmp_path):
    calls = []
    monkeypatch.setattr(window.subprocess, "call", lambda argv: calls.append(argv) or 0)
    done("new", tmp_path / "p", "--class", "liver")
    done("gui", tmp_path / "p")
    assert calls == [[sys.executable, "-m", "napari_sslseg", str(tmp_path / "p")]]


def test_gui_of_no_project_is_one_line_and_no_window(monkeypatch, tmp_path):
    calls = []
    monkeypatch.setattr(window.subprocess, "call", lambda argv: calls.append(argv) or 0)
    refused(run("gui", tmp_path), "no project")
    assert calls == []


@pytest.mark.parametrize("option", [("--out", "x"), ("--minutes", 2), ("--json",)])
def test_the_demo_in_a_window_takes_no_options(monkeypatch, option):
    calls = []
    monkeypatch.setattr(window.subprocess, "call", lambda argv: calls.append(argv) or 0)
    refused(run("demo", *option), f"{option[0]} without --headless")
    assert calls == []
    done("demo")
    assert calls == [[sys.executable, "-m", "napari_sslseg"]]


def test_the_demo_without_a_screen_lasts_a_minute_where_nobody_says_how_long(monkeypatch):
    monkeypatch.setattr("sslseg.demo.headless", lambda out, minutes, _: (out / f"{minutes}",))
    assert done("demo", "--headless", "--json").json == [str(Path("demo", "1.0"))]
    given = ("--out", "there", "--minutes", 2, "--json")
    assert done("demo", "--headless", *given).json == [str(Path("there", "2.0"))]


def test_light_commands_load_no_torch():
    code = (
        "import sys\nfrom sslseg import cli\n"
        "try:\n    cli.main(['methods'])\nexcept SystemExit: pass\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent differently there")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_keeps_what_was_learnt(world, number):
    argv = [sys.executable, "-m", "sslseg.cli", "train", str(world.project)]
    options = ["--minutes", "5", "--device", "cpu", "--json"]
    with subprocess.Popen(
        [*argv, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    ) as child:
        next(line for line in child.stderr if line.startswith("Step 1,"))
        child.send_signal(number)  # once: the second would end it without a result
        child.stderr.read()
        found = json.loads(child.stdout.read())
    assert child.returncode == 0
    assert found["reason"] == "stopped"
    assert list((world.project / "runs" / found["run"]).glob("checkpoint-*.safetensors"))
