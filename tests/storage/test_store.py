"""What the project keeps, in which order, and what it refuses."""

import os
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from phantoms import SHAPE, write_nifti

from sslseg.core.annotation import BACKGROUND, IGNORE, SliceKey, SliceState
from sslseg.core.errors import SslsegError
from sslseg.core.geometry import Geometry, Plane, take_slice
from sslseg.storage.images import describe
from sslseg.storage.store import ProjectStore

PARTIAL, COMPLETE, NONE = SliceState.PARTIAL, SliceState.COMPLETE, SliceState.NONE
GRID = Geometry.of(SHAPE, np.eye(4))


def filled(plane: Plane, value: int) -> np.ndarray:
    return np.full(GRID.slice_shape(plane), value, np.uint8)


def test_a_new_project_holds_its_classes_and_nothing_else(tmp_path: Path) -> None:
    with ProjectStore.create(tmp_path / "new" / "project", ["liver", "tumour"]) as store:
        assert [(c.value, c.name) for c in store.classes] == [(1, "liver"), (2, "tumour")]
        assert len({c.color for c in store.classes}) == 2
        assert (store.cases(), store.slices(), store.revision()) == ((), (), 0)
        assert store.add_class("vein").value == 3
        assert not store.read_only


@pytest.mark.parametrize("classes", [["a", "A"], [""], ["  "], ["background"], ["ignore"]])
def test_bad_class_names_make_no_project(tmp_path: Path, classes: list[str]) -> None:
    with pytest.raises(SslsegError, match="class"):
        ProjectStore.create(tmp_path / "project", classes)
    assert not (tmp_path / "project").exists()


def test_255_classes_are_too_many(tmp_path: Path) -> None:
    with ProjectStore.create(tmp_path, [f"c{n}" for n in range(254)]) as store:
        assert len({c.color for c in store.classes}) > 200
        with pytest.raises(SslsegError, match="255 classes"):
            store.add_class("one more")


def test_a_project_is_never_made_over_another(project: ProjectStore) -> None:
    with pytest.raises(SslsegError, match="already"):
        ProjectStore.create(project.path, ["c"])
    assert [c.name for c in project.classes] == ["a", "b"]


def test_cases_come_back_as_added(project: ProjectStore, tmp_path: Path) -> None:
    added = project.add_case(describe(write_nifti(tmp_path / "other.nii")))
    assert added.source == "../other.nii"
    assert [record.name for record in project.cases()] == ["head", "other"]
    assert project.case("other") == added
    assert project.source_path("other") == tmp_path / "other.nii"
    with pytest.raises(SslsegError, match="no case named 'HEAD'"):
        project.case("HEAD")


def test_a_project_and_its_images_can_move_together(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    image = write_nifti(tmp_path / "one" / "a.nii")
    with ProjectStore.create(tmp_path / "one" / "project", ["a"]) as store:
        store.add_case(describe(image))
    (tmp_path / "one").rename(tmp_path / "two")
    with ProjectStore.open(tmp_path / "two" / "project") as store:
        assert store.source_path("a") == tmp_path / "two" / "a.nii"
        (tmp_path / "two" / "a.nii").unlink()
        with pytest.raises(SslsegError, match="no image of case a"):
            store.source_path("a")


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_a_project_opened_through_a_link_finds_its_images(tmp_path: Path) -> None:
    (tmp_path / "far" / "away").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "far" / "away")
    with ProjectStore.create(tmp_path / "link" / "project", ["a"]) as store:
        store.add_case(describe(write_nifti(tmp_path / "a.nii")))
        assert store.source_path("a") == tmp_path / "a.nii"


@pytest.mark.parametrize("name", ["head", "HEAD"])
def test_colliding_names_change_nothing(project: ProjectStore, tmp_path: Path, name: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    twin = describe(write_nifti(tmp_path / "elsewhere" / f"{name}.nii.gz"))
    before = project.cases()
    with pytest.raises(SslsegError, match="second case named"):
        project.add_case(twin)
    assert project.cases() == before


@pytest.mark.parametrize(
    "name", ["", "..", "a/b", "a\\b", "CON", "nul.1", "a.", " a", "a:b", "a\n"]
)
def test_names_that_no_folder_can_have(project: ProjectStore, name: str) -> None:
    record = project.case("head").model_copy(update={"name": name})
    with pytest.raises(SslsegError, match="a case named"):
        project.add_case(record)
    assert len(project.cases()) == 1


def test_saved_slices_come_back_with_who_and_when(project: ProjectStore) -> None:
    labels = filled(Plane.AXIAL, 0)
    labels[1, 2] = 2
    revision = project.save_slices(
        "head", Plane.AXIAL, {3: (labels, PARTIAL), 1: (labels, COMPLETE)}, "Ann", "run-1"
    )
    assert revision == project.revision() == 2
    first, second = project.slices("head")
    assert (first.key.index, second.key.index) == (1, 3)
    assert (second.state, second.author, second.model) == (PARTIAL, "Ann", "run-1")
    assert second.time > 1.7e9
    assert np.array_equal(project.labels_at(2), labels)
    target = project.annotation("head").target()
    assert target[1, 2].tolist() == [IGNORE, 2, IGNORE, 2, IGNORE, IGNORE]
    assert (target[:, :, 1] >= 0).all()
    with pytest.raises(SslsegError, match="revision 99"):
        project.labels_at(99)


def test_the_author_is_the_person_at_the_computer(
    project: ProjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "bea")
    project.save_slices("head", Plane.AXIAL, {0: (filled(Plane.AXIAL, 1), PARTIAL)})
    assert project.slices()[0].author == "bea"


def test_history_keeps_every_revision(project: ProjectStore) -> None:
    for value in (1, 2, BACKGROUND):
        project.save_slices("head", Plane.CORONAL, {2: (filled(Plane.CORONAL, value), PARTIAL)})
    key = SliceKey(case="head", plane=Plane.CORONAL, index=2)
    records = project.history(key)
    assert [r.revision for r in records] == [1, 2, 3]
    assert [int(project.labels_at(r.revision).max()) for r in records] == [1, 2, 255]
    assert len(project.slices()) == 1
    with sqlite3.connect(project.path / "project.sqlite") as db:
        for statement in ("UPDATE revisions SET author = 'x'", "DELETE FROM revisions"):
            with pytest.raises(sqlite3.IntegrityError, match="never"):
                db.execute(statement)
    db.close()


@pytest.mark.parametrize(
    ("index", "labels"),
    [
        (6, filled(Plane.AXIAL, 1)),
        (-1, filled(Plane.AXIAL, 1)),
        (0, filled(Plane.CORONAL, 1)),
        (0, filled(Plane.AXIAL, 1).astype(np.int16)),
    ],
)
def test_labels_that_do_not_fit_change_nothing(
    project: ProjectStore, index: int, labels: np.ndarray
) -> None:
    good = (filled(Plane.AXIAL, 1), PARTIAL)
    with pytest.raises(SslsegError, match="case head"):
        project.save_slices("head", Plane.AXIAL, {1: good, index: (labels, PARTIAL), 2: good})
    assert project.revision() == 0
    assert project.slices() == ()


def test_settings_are_json(project: ProjectStore) -> None:
    assert project.setting("encoder") is None
    project.set_setting("encoder", {"run": "r1", "dice": [0.5, None]})
    project.set_setting("encoder", {"run": "r2"})
    assert project.setting("encoder") == {"run": "r2"}


def test_everything_is_there_after_reopening(project: ProjectStore) -> None:
    project.save_slices("head", Plane.AXIAL, {0: (filled(Plane.AXIAL, 1), COMPLETE)})
    project.set_setting("a", 1)
    before = (project.cases(), project.slices(), project.classes)
    project.close()
    project.close()
    with ProjectStore.open(project.path) as again:
        assert (again.cases(), again.slices(), again.classes) == before
        assert again.setting("a") == 1
        assert (again.annotation("head").labels[:, :, 0] == 1).all()


EDIT = st.tuples(
    st.sampled_from(list(Plane)),
    st.integers(0, 3),
    st.sampled_from([0, 1, 2, BACKGROUND]),
    st.sampled_from(list(SliceState)),
)


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(edits=st.lists(EDIT, max_size=8))
def test_newest_revisions_replay_like_all_revisions(
    project: ProjectStore, edits: list[tuple[Plane, int, int, SliceState]]
) -> None:
    name = f"case{len(project.cases())}"
    project.add_case(project.case("head").model_copy(update={"name": name}))
    expected, states = np.zeros(SHAPE, np.uint8), {}
    for plane, index, value, state in edits:
        labels = take_slice(expected, plane, index)
        labels[::2] = value
        states[plane, index] = state
        project.save_slices(name, plane, {index: (labels.copy(), state)})
    annotation = project.annotation(name)
    assert np.array_equal(annotation.labels, expected)
    assert annotation.states == states


# ---- damage ----


def damage(project: ProjectStore, revision: int) -> None:
    """Change one bit of the labels of a revision, behind the program's back."""
    db = sqlite3.connect(project.path / "project.sqlite")
    db.execute("DROP TRIGGER revisions_stay")
    (blob,) = db.execute("SELECT labels FROM revisions WHERE id = ?", (revision,)).fetchone()
    packed = bytearray(blob)
    packed[len(packed) // 2] ^= 4
    db.execute("UPDATE revisions SET labels = ? WHERE id = ?", (bytes(packed), revision))
    db.commit()
    db.close()


def test_a_damaged_revision_is_named_and_can_be_skipped(project: ProjectStore) -> None:
    for value in (1, 2):
        project.save_slices("head", Plane.AXIAL, {4: (filled(Plane.AXIAL, value), PARTIAL)})
    project.save_slices("head", Plane.AXIAL, {5: (filled(Plane.AXIAL, 2), COMPLETE)})
    damage(project, 2)
    for read in (lambda: project.annotation("head"), lambda: project.labels_at(2)):
        with pytest.raises(SslsegError, match="case head, axial slice 4"):
            read()
    rescued = project.annotation("head", skip_damaged=True)
    assert (rescued.labels[:, :, 4] == 1).all()
    assert (rescued.labels[:, :, 5] == 2).all()


def test_with_no_good_revision_a_slice_is_left_out(project: ProjectStore) -> None:
    project.save_slices("head", Plane.AXIAL, {4: (filled(Plane.AXIAL, 1), COMPLETE)})
    damage(project, 1)
    rescued = project.annotation("head", skip_damaged=True)
    assert rescued.states == {}
    assert not rescued.labels.any()


def test_swapped_revisions_are_noticed(project: ProjectStore) -> None:
    for index in (0, 1):
        project.save_slices("head", Plane.AXIAL, {index: (filled(Plane.AXIAL, index), PARTIAL)})
    db = sqlite3.connect(project.path / "project.sqlite")
    db.execute("DROP TRIGGER revisions_stay")
    db.execute("UPDATE revisions SET slice = 1 - slice")
    db.commit()
    db.close()
    with pytest.raises(SslsegError, match="damaged revision"):
        project.annotation("head")


@pytest.mark.parametrize("content", [b"", b"hello" * 1000])
def test_what_is_no_database_is_refused(project: ProjectStore, content: bytes) -> None:
    project.close()
    (project.path / "project.sqlite").write_bytes(content)
    for read_only in (True, False):
        with pytest.raises(SslsegError, match="damaged project file"):
            ProjectStore.open(project.path, read_only)
    assert not (project.path / "project.lease").exists()


def test_a_newer_format_is_refused(project: ProjectStore) -> None:
    project.close()
    with sqlite3.connect(project.path / "project.sqlite") as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(SslsegError, match="newer version"):
        ProjectStore.open(project.path)


def test_no_project_is_told_plainly(tmp_path: Path) -> None:
    with pytest.raises(SslsegError, match="no project in"):
        ProjectStore.open(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_changes_nothing(project: ProjectStore) -> None:
    project.save_slices("head", Plane.AXIAL, {0: (filled(Plane.AXIAL, 1), PARTIAL)})
    db = project._connection
    pages = db.execute("PRAGMA page_count").fetchone()[0]
    db.execute(f"PRAGMA max_page_count = {pages}")
    noise = np.random.default_rng(0).choice(np.array([0, 1, 2, 255], np.uint8), (4, 5))

    def fill() -> None:
        for index in range(1000):
            project.save_slices("head", Plane.AXIAL, {index % 6: (noise, PARTIAL)})

    with pytest.raises(SslsegError, match="full"):
        fill()
    last = project.revision()
    assert len(project.slices()) == min(last, 6)
    project.annotation("head")
    db.execute("PRAGMA max_page_count = 1000000")
    assert project.save_slices("head", Plane.AXIAL, {0: (noise, PARTIAL)}) == last + 1


def test_a_copy_of_the_folder_finds_the_images_where_they_were(
    project: ProjectStore, tmp_path: Path
) -> None:
    where = project.source_path("head")
    project.close()
    copy = tmp_path / "elsewhere" / "deep" / "copy"
    shutil.copytree(project.path, copy)
    with ProjectStore.open(copy) as store:
        assert store.source_path("head") == where
