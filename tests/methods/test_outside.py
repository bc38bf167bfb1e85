"""Methods that other packages bring: found by name, never in place of the program's own."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from engine_worlds import CPU, tiny_plan

from sslseg.core.config import TrainRequest
from sslseg.core.errors import SslsegError
from sslseg.methods import by_name, find, learners_in, registry
from sslseg.methods.base import Method
from sslseg.methods.mean_teacher import MeanTeacher
from sslseg.methods.supervised import Supervised
from sslseg.training import model

INSTALLED = """
from sslseg.methods.supervised import Supervised


class Theirs(Supervised):
    name = "theirs"
"""


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, points: str) -> None:
    """What pip leaves of a package with these entry points."""
    (folder / "theirs_package.py").write_text(INSTALLED, encoding="utf-8")
    facts = folder / "theirs-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text(f"[sslseg.methods]\n{points}\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(folder))


def test_an_installed_package_brings_a_method(tmp_path, monkeypatch):
    install(tmp_path, monkeypatch, "theirs = theirs_package:Theirs")
    found = find("theirs")
    assert found.__module__ == "theirs_package"
    assert issubclass(found, Supervised)
    assert "theirs" not in registry(), "the catalogue holds what ships"


def test_an_entry_point_that_is_no_method_is_told(tmp_path, monkeypatch):
    install(tmp_path, monkeypatch, "odd = theirs_package:INSTALLED\nother = json:loads")
    with pytest.raises(SslsegError, match=r"other = json:loads.*Mend the package"):
        find("other")


def test_an_unknown_name_is_answered_with_those_of_other_packages_too(tmp_path, monkeypatch):
    install(tmp_path, monkeypatch, "theirs = theirs_package:Theirs")
    with pytest.raises(SslsegError, match=r"supervised.*theirs"):
        find("thiers")


def test_a_pretraining_is_shown_its_own_command():
    with pytest.raises(SslsegError, match="`sslseg pretrain"):
        find("jigsaw")


def test_a_model_of_a_method_that_is_gone_asks_for_its_package(tmp_path, monkeypatch):
    facts = SimpleNamespace(request=TrainRequest(), method="theirs-gone", plan=tiny_plan(2))
    monkeypatch.setattr(model, "load_facts_and_tensors", lambda project: (facts, {}))
    with pytest.raises(SslsegError, match=r"theirs-gone, which is not installed.*Install it"):
        model.load(tmp_path, CPU)


def test_a_class_of_this_process_is_found_and_the_newest_counts():
    """As in a notebook, where a cell is run again."""

    class Cell(Supervised):
        name = "cell"

    first = Cell

    class Cell(Supervised):  # type: ignore[no-redef]
        name = "cell"

    assert find("cell") is Cell is not first


def test_nothing_replaces_what_ships():
    class Impostor(Supervised):
        name = "mean-teacher"

    assert Impostor.name == "mean-teacher"
    assert find("mean-teacher") is MeanTeacher


def test_two_files_of_one_name_are_both_told(tmp_path, monkeypatch):
    """As of a copied file whose class still has the name of the first."""
    folder = tmp_path / "copied_methods"
    folder.mkdir()
    for file in ("__init__", "ours", "copy_of_ours"):
        text = INSTALLED if file != "__init__" else ""
        (folder / f"{file}.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = learners_in([str(folder)], folder.name, Method, ())
    assert len(found) == 2
    with pytest.raises(SslsegError, match=r"'theirs'.*copy_of_ours\.py.*/ours\.py"):
        by_name(found)
