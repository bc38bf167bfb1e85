"""Which scanner, site or sequence a case comes from: set, kept, and who said so."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from phantoms import write_nifti

from sslseg.core.errors import SslsegError
from sslseg.storage.images import describe
from sslseg.storage.schema import DATABASE
from sslseg.storage.store import ProjectStore


@pytest.fixture
def two(project: ProjectStore, tmp_path: Path) -> ProjectStore:
    """A project with the cases "head" and "other", of which nobody said anything."""
    project.add_case(describe(write_nifti(tmp_path / "other.nii")))
    return project


def domains(store: ProjectStore) -> dict[str, str]:
    return {case.name: case.domain for case in store.cases()}


def said(path: Path) -> list[tuple[str, str, str]]:
    """Read who said what, oldest first, as a person with SQLite would."""
    with sqlite3.connect(path / DATABASE) as db:
        found = db.execute("SELECT case_name, domain, author FROM domains ORDER BY id").fetchall()
    db.close()
    return found


def test_a_domain_is_of_all_cases_named_and_survives_closing(two: ProjectStore) -> None:
    two.set_domain(["head", "other"], "  site \t B ")
    assert domains(two) == {"head": "site B", "other": "site B"}
    two.set_domain(["head"], "")
    two.close()
    with ProjectStore.open(two.path) as again:
        assert domains(again) == {"head": "", "other": "site B"}
        assert again.source_path("other").name == "other.nii"


def test_one_unknown_case_changes_none(two: ProjectStore) -> None:
    with pytest.raises(SslsegError, match="no case named 'nobody'"):
        two.set_domain(["head", "nobody"], "B")
    assert domains(two) == {"head": "", "other": ""}
    with pytest.raises(SslsegError, match="a domain named"):
        two.set_domain(["head"], "bell\a")


def test_who_said_it_stays(two: ProjectStore) -> None:
    two.set_domain(["head", "other"], "A", author="ann")
    two.set_domain(["head", "other"], "A", author="ben")  # says nothing new
    two.set_domain(["head"], "B", author="ben")
    expected = [("head", "A", "ann"), ("other", "A", "ann"), ("head", "B", "ben")]
    assert said(two.path) == expected
    with sqlite3.connect(two.path / DATABASE) as db:
        for wrong in ("UPDATE domains SET author = 'x'", "DELETE FROM domains"):
            with pytest.raises(sqlite3.IntegrityError, match="past domains are never"):
                db.execute(wrong)
    db.close()
    assert said(two.path) == expected


def test_a_domain_given_while_adding_is_noted_too(project: ProjectStore, tmp_path: Path) -> None:
    record = describe(write_nifti(tmp_path / "new.nii")).model_copy(update={"domain": "7 T"})
    project.add_case(record)
    assert domains(project) == {"head": "", "new": "7 T"}
    assert [row[:2] for row in said(project.path)] == [("new", "7 T")]
