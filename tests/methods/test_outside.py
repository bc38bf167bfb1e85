"""Methods that other packages bring: found by name, never in place of the program's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from sslseg.core.errors import SslsegError
from sslseg.methods import find, registry
from sslseg.methods.mean_teacher import MeanTeacher
from sslseg.methods.supervised import Supervised

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
