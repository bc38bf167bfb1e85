"""The facade on four tiny volumes written by nibabel: the whole loop, and every label state."""

from __future__ import annotations

import errno
import itertools
import json
import weakref
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from engine_worlds import CORONAL, SHAPE, paint, truth, write_image
from safetensors.numpy import load_file

from sslseg import scoring
from sslseg.core.annotation import BACKGROUND, SliceState
from sslseg.core.config import DeviceChoice, TrainRequest
from sslseg.core.control import Control
from sslseg.core.errors import Cancelled, SslsegError
from sslseg.core.events import (
    CheckpointSaved,
    Compared,
    CriticJudged,
    Exported,
    FinishReason,
    PredictionReady,
    RunFinished,
    RunStarted,
    SlicesPredicted,
    StepReported,
    Validated,
)
from sslseg.core.geometry import Plane
from sslseg.data.domains import BLIND
from sslseg.data.project import ProjectData
from sslseg.session import Session
from sslseg.storage import arrays
from sslseg.storage.checkpoints import latest_facts
from sslseg.storage.formats import unreadable
from sslseg.storage.glimpses import load_glimpse
from sslseg.storage.runs import runs
from sslseg.training import glimpse, loop, validation
from sslseg.training.costs import Costs
from sslseg.training.lineage import TAUGHT
from sslseg.training.model import honest, load_facts_and_tensors
from sslseg.training.prediction import predict_case
from sslseg.training.round import COMPARED, TO_COMPARE

NAMES = ("a", "b", "c", "d")
TINY = {"width": 2, "batch": 2}


def request(steps=2, **changes) -> TrainRequest:
    settings = TINY | changes.pop("settings", {})
    return TrainRequest(steps=steps, device=DeviceChoice.CPU, settings=settings, **changes)


def run(session: Session, asked: TrainRequest | None = None, control: Control | None = None):
    return list(session.train(asked or request(), control or Control()))


def of(kind, events):
    return [event for event in events if isinstance(event, kind)]


def weights(session: Session):
    found = load_facts_and_tensors(session.store.path)
    assert found is not None
    return {name: tensor for name, tensor in found[1].items() if name.startswith("net.")}


def equal(a, b) -> bool:
    return a.keys() == b.keys() and all(bool((a[key] == b[key]).all()) for key in a)


@pytest.fixture
def make_session(tmp_path):
    made = []

    def make(name="project"):
        session = Session.create(tmp_path / name, ["one", "two"])
        made.append(session)
        files = [write_image(tmp_path / f"{case}.nii.gz", n) for n, case in enumerate(NAMES)]
        list(session.add(files, Control()))
        return session

    yield make
    for session in made:
        session.close()


@pytest.fixture
def session(make_session):
    return make_session()


@pytest.fixture
def labels(tmp_path):
    """A folder with the true labels of all cases."""
    folder = tmp_path / "labels"
    folder.mkdir()
    for n, name in enumerate(NAMES):
        nib.save(nib.Nifti1Image(truth(n).astype(np.uint8), np.eye(4)), folder / f"{name}.nii.gz")
    return folder


def test_the_whole_loop(session, labels, tmp_path):
    assert [case.name for case in session.store.cases()] == list(NAMES)
    cold = session.suggest(3)
    assert len(cold) == 3
    assert len({(s.case, s.plane, s.slice) for s in cold}) == 3
    assert all(s.reason for s in cold)
    for name in ("a", "b"):
        file = labels / f"{name}.nii.gz"
        assert session.import_labels(name, file, CORONAL, [2, 5, 2]) == 2
    events = run(session, request(3))
    assert isinstance(events[0], RunStarted)
    assert [e.reason for e in of(RunFinished, events)] == [FinishReason.COMPLETED]
    assert of(CheckpointSaved, events)[-1].step == 3
    assert of(Validated, events)[-1].slices == 1, "the fourth slice is held out"
    assert of(CriticJudged, events)
    predicted = of(PredictionReady, session.predict((), Control()))
    assert [e.case for e in predicted] == list(NAMES)
    found = arrays.load_prediction(arrays.latest_prediction(session.store.path, "c"))
    assert found.labels.shape == SHAPE
    assert found.info.step == 3
    assert found.confidence is not None
    warm = session.suggest(5)
    assert len(warm) == 5
    assert all(s.reason for s in warm)
    for suggestion in warm:
        known = {(r.key.case, r.key.plane, r.key.index) for r in session.store.slices()}
        assert (suggestion.case, suggestion.plane, suggestion.slice) not in known
    scores = session.evaluate(labels)
    assert set(scores["cases"]) == set(NAMES)
    assert set(scores["mean"]) == {"one", "two", "all"}
    out = tmp_path / "out"
    written = of(Exported, session.export(out, "nifti", "predictions", Control()))[-1].files
    assert len(written) == 4
    mask = nib.load(next(f for f in written if "c.nii" in f))
    assert np.array_equal(np.asarray(mask.dataobj), found.labels)
    assert np.array_equal(mask.affine, np.eye(4))


def test_imported_slices_are_the_files(session, labels):
    session.import_labels("a", labels / "a.nii.gz", Plane.SAGITTAL, [3])
    target = session.store.annotation("a").target()
    assert np.array_equal(target[3], truth(0)[3])
    assert (np.delete(target, 3, axis=0) == -1).all()
    assert session.import_labels("b", labels / "b.nii.gz") == SHAPE[2]
    assert np.array_equal(session.store.annotation("b").target(), truth(1))


@pytest.mark.parametrize("wrong", [-1, SHAPE[1], 99])
def test_a_slice_that_does_not_exist_imports_nothing(session, labels, wrong):
    with pytest.raises(SslsegError, match=f"slice {wrong} of a"):
        session.import_labels("a", labels / "a.nii.gz", CORONAL, [1, wrong])
    assert session.store.slices() == ()


def test_labels_without_a_class_are_refused(session, tmp_path):
    values = truth().astype(np.uint8)
    values[0, 0, 0] = 7
    nib.save(nib.Nifti1Image(values, np.eye(4)), tmp_path / "odd.nii.gz")
    with pytest.raises(SslsegError, match=r"label values \[7\]"):
        session.import_labels("a", tmp_path / "odd.nii.gz")
    assert session.store.slices() == ()


def test_a_painted_value_without_a_class_is_refused_and_changes_nothing(session):
    labels = np.zeros((SHAPE[0], SHAPE[2]), np.uint8)
    labels[1, 1], labels[2, 2] = BACKGROUND, 9
    with pytest.raises(SslsegError, match=r"label values \[9\] in coronal slice 3 of case a"):
        session.store.save_slices("a", CORONAL, {3: (labels, SliceState.PARTIAL)})
    assert session.store.slices() == ()


def test_the_plan_says_when_nothing_is_held_out(session):
    for count, slices in enumerate(([2, 4, 5], [6])):
        paint(session.store, "a", slices)
        (start,) = of(RunStarted, run(session))
        said = any("no Dice is measured" in words for words in start.plan)
        assert said == (count == 0)


def test_no_dice_for_want_of_time_is_said_once(session, monkeypatch):
    paint(session.store, "a", [2, 4, 5, 6])
    monkeypatch.setattr("sslseg.training.round.Costs.measured", lambda *_: [])
    told = of(Validated, run(session))
    assert [(event.mean, event.slices) for event in told] == [(None, 0)]
    assert "takes too much of this run" in told[0].words


def test_one_bad_file_adds_nothing(session, tmp_path):
    bad = tmp_path / "bad.nii.gz"
    bad.write_bytes(b"not an image")
    good = write_image(tmp_path / "e.nii.gz")
    with pytest.raises(SslsegError):
        list(session.add([good, bad], Control()))
    assert [case.name for case in session.store.cases()] == list(NAMES)


def test_without_labels_there_is_nothing_to_train(session):
    with pytest.raises(SslsegError, match="no labelled slice"):
        run(session)


def test_what_no_slice_shows_is_told_when_training_begins(session):
    some = np.zeros((SHAPE[0], SHAPE[2]), np.uint8)
    some[1] = 1
    session.store.save_slices("a", CORONAL, {3: (some, SliceState.PARTIAL)})
    (start,) = of(RunStarted, run(session))
    assert "No labelled slice shows two: the model cannot find that yet." in start.plan
    assert "No labelled slice says what is background" in start.notice
    some[2], some[3] = 2, BACKGROUND
    session.store.save_slices("a", CORONAL, {5: (some, SliceState.PARTIAL)})
    (start,) = of(RunStarted, run(session))
    assert not any("No labelled slice" in words for words in start.plan)
    assert "No labelled slice" not in start.notice


def test_a_class_that_only_held_out_slices_show_is_told(session):
    """The fourth slice is held out at its first stroke; what is drawn there later stays there."""
    some = np.zeros((SHAPE[0], SHAPE[2]), np.uint8)
    some[1] = 1
    drawn = dict.fromkeys((2, 4, 6, 8), (some, SliceState.COMPLETE))
    session.store.save_slices("a", CORONAL, drawn)
    (held,) = [record for record in session.store.slices() if record.validation]
    both = some.copy()
    both[3] = 2
    session.store.save_slices("a", CORONAL, {held.key.index: (both, SliceState.COMPLETE)})
    (start,) = of(RunStarted, run(session))
    assert "Only held-out slices show two" in start.notice
    (start,) = of(RunStarted, run(session, request(settings={"validation": False})))
    assert "Only held-out slices" not in start.notice


def test_without_a_model_there_is_nothing_to_predict(session):
    with pytest.raises(SslsegError, match="without a trained model"):
        list(session.predict((), Control()))


@pytest.mark.parametrize("settings", [{"widht": 3}, {"width": -1}, {"width": "wide"}])
def test_wrong_settings_are_refused_before_anything_is_written(session, settings):
    paint(session.store, "a", [3])
    with pytest.raises(SslsegError, match=r"widht|width"):
        run(session, request(settings=settings))
    assert not (session.store.path / "runs").exists()


def test_who_may_not_write_hears_it_before_the_first_step(session):
    paint(session.store, "a", [3])
    (session.store.path / "runs").write_bytes(b"")  # no run can have a folder in there
    events = run(session)
    assert not of(StepReported, events)
    (end,) = of(RunFinished, events)
    assert end.reason is FinishReason.FAILED
    assert "while making the folder" in end.message


def test_same_seed_and_steps_give_the_same_bits(make_session):
    found = []
    for name, seed in (("p", 5), ("q", 5), ("r", 6)):
        session = make_session(name)
        paint(session.store, "a", [2, 5])
        run(session, request(3, seed=seed))
        found.append(weights(session))
    assert equal(found[0], found[1])
    assert not equal(found[0], found[2])


def test_a_round_goes_on_from_the_last_unless_fresh(session):
    paint(session.store, "a", [2, 5])
    new = run(session)
    first = weights(session)
    warm = run(session, request(steps=1, seed=1))
    after_warm = weights(session)
    cold = run(session, request(steps=1, seed=1, fresh=True))
    after_cold = weights(session)

    def distance(to):
        key = next(k for k in first if k.endswith("conv.weight"))
        return float((to[key] - first[key]).abs().max())

    assert distance(after_warm) < 0.01, "one step from where it was"
    assert distance(after_cold) > 0.05, "other weights altogether"
    told = [any("Goes on from run" in w for w in e[0].plan) for e in (new, warm, cold)]
    assert told == [False, True, False]
    assert of(RunStarted, new)[0].run in " ".join(of(RunStarted, warm)[0].plan)


def test_another_plane_begins_anew_and_the_first_goes_on_where_it_was(tmp_path):
    """Of a cube, slices of all planes have one shape, and so have their networks."""
    with Session.create(tmp_path / "p", ["one", "two"]) as session:
        list(session.add([write_image(tmp_path / "a.nii.gz", 0, (12, 12, 12))], Control()))
        paint(session.store, "a", [2, 5])
        (first, *_), (other, *_), (again, *_) = (
            run(session, request(settings={"plane": plane}))
            for plane in ("coronal", "axial", "coronal")
        )
    assert not any("Goes on" in words for words in other.plan)
    assert f"Goes on from run {first.run}." in again.plan


def test_another_method_begins_anew(session):
    paint(session.store, "a", [2, 5])
    run(session, request(method="supervised"))
    events = run(session, request(method="ua-mt"))
    assert not any("Goes on" in words for words in events[0].plan)
    predicted = next(iter(session.predict(["a"], Control())))
    info = arrays.load_info(arrays.latest_prediction(session.store.path, predicted.case))
    assert info.method == "ua-mt", "the newest run predicts"


def test_a_model_is_found_again_in_a_new_process(session):
    paint(session.store, "a", [2, 5])
    run(session)
    list(session.predict(["b"], Control()))
    mine = arrays.load_prediction(arrays.latest_prediction(session.store.path, "b"))
    with Session(session.store.path, read_only=True) as reader:
        list(reader.predict(["b"], Control()))
    again = arrays.load_prediction(arrays.latest_prediction(session.store.path, "b"))
    assert again.info.version != mine.info.version
    assert np.array_equal(again.labels, mine.labels)
    assert np.array_equal(again.uncertainty, mine.uncertainty)


def test_stop_keeps_what_was_learnt(session):
    paint(session.store, "a", [2, 5])
    control, events = Control(), []
    for event in session.train(request(steps=500), control):
        events.append(event)
        if isinstance(event, StepReported):
            control.stop()
    (finished,) = of(RunFinished, events)
    assert finished.reason is FinishReason.STOPPED
    assert 1 <= finished.step < 500
    assert of(CheckpointSaved, events)[-1].step == finished.step
    control.reset()
    assert of(PredictionReady, session.predict(["a"], control))


def test_one_unreadable_case_keeps_no_other_from_being_predicted(session):
    paint(session.store, "a", (2, 5))
    run(session)
    session.store.source_path("b").write_bytes(b"not what was added")
    for cached in (session.store.path / "cache").glob("b-*"):
        cached.unlink()
    told = []
    with pytest.raises(SslsegError, match="case b"):
        told.extend(session.predict((), Control()))
    assert [event.case for event in of(PredictionReady, told)] == ["a", "c", "d"]


def test_an_unlabelled_image_that_is_gone_keeps_nobody_from_training(session):
    paint(session.store, "a", (2, 5))
    session.store.source_path("b").unlink()
    session.store.source_path("c").write_bytes(b"another image")
    (end,) = of(RunFinished, run(session))
    assert end.reason is FinishReason.COMPLETED
    assert end.message.startswith("Left out: 2 cases. Got no image of case b")
    (end,) = of(RunFinished, session.pretrain(request(), Control()))
    assert end.reason is FinishReason.COMPLETED
    assert end.message.startswith("Left out: 2 cases.")


def test_nothing_is_suggested_of_an_image_that_is_gone(session):
    session.store.source_path("b").unlink()
    assert {found.case for found in session.suggest(8)} == {"a", "c", "d"}


def test_a_labelled_image_that_is_gone_ends_the_training_before_its_first_step(session):
    paint(session.store, "a", (2, 5))
    session.store.source_path("a").unlink()
    events = run(session)
    (end,) = of(RunFinished, events)
    assert (end.reason, end.step) == (FinishReason.FAILED, 0)
    assert "no image of case a" in end.message


def test_a_case_too_large_for_memory_keeps_no_other_from_being_predicted(session, monkeypatch):
    paint(session.store, "a", (2, 5))
    run(session)

    def large(store, trainer, facts, name, control):
        if name == "b":
            raise MemoryError
        if name == "c":
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")
        return predict_case(store, trainer, facts, name, control)

    monkeypatch.setattr("sslseg.training.prediction.predict_case", large)
    told = []
    with pytest.raises(SslsegError, match="case b, whose prediction does not fit into memory"):
        told.extend(session.predict((), Control()))
    assert [event.case for event in of(PredictionReady, told)] == ["a", "d"]


def test_after_a_training_that_diverged_the_last_checkpoint_predicts(session, monkeypatch):
    """The network in memory is the one that went wrong."""
    paint(session.store, "a", (2, 5))
    run(session)
    ended = FinishReason.FAILED

    def broken(job, control):
        yield job.started
        job.trainer.step_count = 3
        job.save()
        for tensor in job.trainer.nets["student"].parameters():
            tensor.data.fill_(float("nan"))
        yield RunFinished(run=job.started.run, reason=ended, step=3, seconds=1.0, message="x")

    monkeypatch.setattr("sslseg.training.loop.train", broken)
    run(session)
    trainer, _ = session._model()
    assert all(torch.isfinite(tensor).all() for tensor in trainer.weights().values())


@pytest.mark.parametrize(
    ("code", "tries"),
    [(errno.ENOSPC, 1), (errno.EACCES, 1), (errno.EROFS, 1), (None, 1), (errno.EIO, len(NAMES))],
    ids=["no room", "no permission", "read only", "fell short", "one bad place"],
)
def test_a_full_disk_ends_a_prediction_at_once(session, monkeypatch, code, tries):
    paint(session.store, "a", (2, 5))
    run(session)
    tried = []

    def refused(path, *_, **__):
        tried.append(path)
        raise OSError("7 requested and 0 written") if code is None else OSError(code, "refused")

    monkeypatch.setattr(np, "save", refused)
    with pytest.raises(SslsegError, match="while writing the prediction of a"):
        list(session.predict((), Control()))
    assert len(tried) == tries


def test_an_image_that_may_not_be_read_keeps_no_other_from_being_predicted(session, monkeypatch):
    paint(session.store, "a", (2, 5))
    run(session)

    def locked(store, trainer, facts, name, control):
        if name == "b":
            raise unreadable(Path(name), "locked") from PermissionError(errno.EACCES, "locked")
        return predict_case(store, trainer, facts, name, control)

    monkeypatch.setattr("sslseg.training.prediction.predict_case", locked)
    told = []
    with pytest.raises(SslsegError, match="unreadable file b"):
        told.extend(session.predict((), Control()))
    assert [event.case for event in of(PredictionReady, told)] == ["a", "c", "d"]


@pytest.fixture
def predicted(session):
    """A project with predictions of a, b and c."""
    paint(session.store, "a", (2, 5))
    run(session)
    list(session.predict(("a", "b", "c"), Control()))
    return session


def test_an_evaluation_holds_one_case_at_a_time(predicted, labels, monkeypatch):
    held = []

    def spied(read):
        def reading(*args):
            found = read(*args)
            held.append(weakref.ref(found))
            return found

        return reading

    for name in ("read_labels", "predicted"):
        monkeypatch.setattr(scoring, name, spied(getattr(scoring, name)))
    events = predicted.scoring(labels).events(Control())
    for done, event in enumerate(events, start=1):
        assert (event.done, event.total, len(held)) == (done, 3, 2 * done)
        assert all(array() is None for array in held), "nothing of a case that is measured"


def test_an_evaluation_can_be_stopped(predicted, labels):
    control, found = Control(), predicted.scoring(labels)
    events = found.events(control)
    next(events)
    control.stop()
    with pytest.raises(Cancelled):
        next(events)
    assert list(found.found["cases"]) == ["a"]


def test_what_an_evaluation_lacks_is_told_before_it_begins(predicted, labels):
    with pytest.raises(SslsegError, match="no prediction of case d"):
        predicted.scoring(labels, ["a", "d"])
    (labels / "b.nii.gz").unlink()
    with pytest.raises(SslsegError, match="no label file of case b"):
        predicted.scoring(labels, ["a", "b"])
    assert list(predicted.evaluate(labels)["cases"]) == ["a", "c"]


def test_a_closed_session_keeps_no_model_in_memory(session):
    paint(session.store, "a", (2, 5))
    run(session)
    assert session._loaded is not None
    session.close()
    assert session._loaded is None


def test_an_export_counts_what_an_older_model_said_and_what_nobody(session, tmp_path):
    paint(session.store, "a", (2, 5))
    run(session)
    list(session.predict(("a", "b"), Control()))
    run(session)
    list(session.predict(("a",), Control()))
    (told,) = of(Exported, list(session.export(tmp_path / "m", "nifti", "predictions", Control())))
    assert (told.older, told.missing) == (1, 2)
    (told,) = of(Exported, list(session.export(tmp_path / "n", "nifti", "annotations", Control())))
    assert (told.older, told.missing) == (0, 0)


def test_the_shown_case_is_predicted_first_and_the_rest_can_be_stopped(session):
    paint(session.store, "a", [2, 5])
    run(session)
    control = Control()
    control.show("c")
    work = session.predict((), control)
    assert next(work).case == "c"
    control.stop()
    with pytest.raises(Cancelled):
        list(work)
    assert arrays.latest_prediction(session.store.path, "c")
    assert arrays.latest_prediction(session.store.path, "a") is None


@pytest.fixture
def large(monkeypatch):
    """Whole cases take for ever, slices no time; a preview is due at each step."""
    monkeypatch.setattr(Costs, "preview", lambda *_: 1e6)
    monkeypatch.setattr(Costs, "planes_seconds", lambda *_: 0.0)
    monkeypatch.setattr(loop, "_Pace", partial(loop._Pace, preview=0.0))
    monkeypatch.setattr(loop, "LONGEST_WAIT_SECONDS", 0.0)


def test_a_case_that_takes_too_long_shows_slices_while_training_and_before_all_of_it(
    session, large
):
    paint(session.store, "a", [2, 5])
    control = Control()
    control.show("c", (CORONAL, 11))
    events = run(session, request(steps=4), control)
    assert of(PredictionReady, events) == []
    shown = of(SlicesPredicted, events)
    assert shown
    assert {event.case for event in shown} == {"c"}
    found = load_glimpse(Path(shown[-1].file))
    assert (found.case, found.plane, found.first) == ("c", CORONAL, 8)
    assert found.labels.shape == (4, SHAPE[0], SHAPE[2])
    first, second = itertools.islice(session.predict((), control), 2)
    assert (first.kind, first.case) == ("slices", "c")
    assert (second.kind, second.case) == ("prediction", "c")
    whole = arrays.load_prediction(Path(second.folder)).labels
    np.testing.assert_array_equal(load_glimpse(Path(first.file)).labels[3], whole[:, 11])


def test_a_case_that_was_removed_from_the_disk_shows_nothing_and_the_training_goes_on(
    session, large, monkeypatch
):
    paint(session.store, "a", [2, 5])
    asked = []

    def refuse(*_: object) -> None:
        asked.append(1)
        raise SslsegError("nothing", "an image", "Put it back.")

    monkeypatch.setattr(glimpse, "load_prepared", refuse)
    control = Control()
    control.show("c", (CORONAL, 11))
    events = run(session, request(steps=4), control)
    assert asked
    assert of(SlicesPredicted, events) == []
    assert events[-1].reason is FinishReason.COMPLETED


def test_a_place_that_the_case_does_not_have_is_the_nearest_one(session, large):
    """The slice of the case before may still be told when the next one is on the screen."""
    paint(session.store, "a", [2, 5])
    run(session)
    control = Control()
    control.show("c", (CORONAL, 400))
    first = next(session.predict((), control))
    found = load_glimpse(Path(first.file))
    assert (found.first, len(found.labels)) == (SHAPE[1] - 4, 4)


def test_what_a_run_leaves_on_disk_is_plain(session):
    paint(session.store, "a", [2, 5])
    run(session)
    (folder,) = (session.store.path / "runs").iterdir()
    assert {path.suffix for path in folder.iterdir()} == {".json", ".jsonl", ".safetensors"}
    asked = json.loads((folder / "run.json").read_text())
    assert TrainRequest.model_validate(asked) == request()


def one_voxel(session):
    labels = np.zeros((SHAPE[0], SHAPE[2]), np.uint8)
    labels[4, 3] = 2
    session.store.save_slices("a", CORONAL, {5: (labels, SliceState.PARTIAL)})


def one_class(session):
    labels = np.ones((SHAPE[0], SHAPE[2]), np.uint8)
    session.store.save_slices("a", CORONAL, {5: (labels, SliceState.COMPLETE)})


def empty_complete(session):
    labels = np.zeros((SHAPE[0], SHAPE[2]), np.uint8)
    session.store.save_slices("a", CORONAL, {5: (labels, SliceState.COMPLETE)})


def background_only(session):
    labels = np.zeros((SHAPE[0], SHAPE[2]), np.uint8)
    labels[:3] = BACKGROUND
    session.store.save_slices("a", CORONAL, {5: (labels, SliceState.PARTIAL)})


def three_planes(session):
    for plane in Plane:
        paint(session.store, "a", [3], plane)


def whole_volume(session):
    paint(session.store, "b", range(SHAPE[2]), Plane.AXIAL)


def a_case_of_silence(session):
    paint(session.store, "a", [1, 2])
    empty = np.zeros((SHAPE[0], SHAPE[2]), np.uint8)
    session.store.save_slices("b", CORONAL, {1: (empty, SliceState.NONE)})


def a_class_missing_in_validation(session):
    paint(session.store, "a", [1, 2, 3])
    labels = np.ones((SHAPE[0], SHAPE[2]), np.uint8)
    session.store.save_slices("b", CORONAL, {4: (labels, SliceState.COMPLETE)})


STATES = [
    one_voxel,
    one_class,
    empty_complete,
    background_only,
    three_planes,
    whole_volume,
    a_case_of_silence,
    a_class_missing_in_validation,
]


@pytest.mark.parametrize("label", STATES)
def test_any_label_state_trains(session, label):
    label(session)
    events = run(session, request(settings={"start": 0.0}))
    assert of(RunFinished, events)[0].reason is FinishReason.COMPLETED
    for report in of(StepReported, events):
        assert all(np.isfinite(value) for value in report.terms.values())
    assert all(bool(np.isfinite(t.numpy()).all()) for t in weights(session).values())
    for validated in of(Validated, events):
        assert all(v is None or 0 <= v <= 1 for v in validated.dice.values())
    if label is a_class_missing_in_validation:
        assert of(Validated, events)[-1].dice["two"] is None


ODD = [
    {"spacing": (1.0, 1.0, 5.0)},
    {"spacing": (0.5, 2.0, 1.0)},
    {"shape": (4, 30, 5)},
    {"shape": (1, 12, 8)},
    {"directions": np.diag([-1.0, -1.0, 1.0])},
    {"directions": np.eye(3)[[2, 0, 1]]},
]


@pytest.mark.parametrize("dimensions", ["2.5d", "3d"])
def test_volumes_of_any_spacing_shape_and_orientation_train_together(session, tmp_path, dimensions):
    files = [write_image(tmp_path / f"odd{n}.nii.gz", n, **odd) for n, odd in enumerate(ODD)]
    list(session.add(files, Control()))
    names = [case.name for case in session.store.cases()]
    for case, plane in zip(names, itertools.cycle(Plane)):
        paint(session.store, case, [0], plane)
    events = run(session, request(settings={"dimensions": dimensions}))
    assert of(RunFinished, events)[0].reason is FinishReason.COMPLETED
    assert of(Validated, events)
    for name in ("odd0", "odd3", "odd5"):
        list(session.predict([name], Control()))
        found = arrays.load_prediction(arrays.latest_prediction(session.store.path, name))
        assert found.labels.shape == session.store.case(name).geometry.shape
        assert np.isfinite(found.uncertainty).all()


@pytest.mark.parametrize(
    "damage",
    [
        lambda d: np.where(np.arange(d.size).reshape(d.shape) > 0, np.nan, d),
        lambda d: np.full_like(d, 3.0),
        lambda d: d * 1e30,
    ],
    ids=["all but one not a number", "constant", "huge"],
)
def test_any_intensities_train(session, tmp_path, damage):
    data = damage(np.random.default_rng(0).normal(size=SHAPE).astype(np.float32))
    nib.save(nib.Nifti1Image(data, np.eye(4)), tmp_path / "e.nii.gz")
    list(session.add([tmp_path / "e.nii.gz"], Control()))
    paint(session.store, "e", [3])
    events = run(session)
    assert of(RunFinished, events)[0].reason is FinishReason.COMPLETED
    assert all(np.isfinite(v) for v in of(StepReported, events)[-1].terms.values())


def test_a_baseline_in_between_does_not_break_the_line(session):
    paint(session.store, "a", [2, 5])
    first = run(session, request(steps=1, method="mean-teacher"))
    run(session, request(steps=1, method="supervised"))
    third = run(session, request(steps=1, method="mean-teacher"))
    assert of(RunStarted, first)[0].run in " ".join(of(RunStarted, third)[0].plan)


def test_the_model_that_validates_the_next_round_never_saw_the_held_out_slices(session):
    paint(session.store, "a", [1, 3, 5, 7])
    run(session, request(steps=5))
    newest = runs(session.store.path)[0]
    facts = latest_facts(newest)
    before = latest_facts(honest(newest))
    assert (facts["saw_held_out"], facts["step"]) == (True, 5)
    assert (before["saw_held_out"], before["step"]) == (False, 3)


def test_a_model_that_was_taught_everything_measures_nothing(session):
    """Without validation no slice joins: all teach from the start."""
    paint(session.store, "a", [1, 3, 5, 7])
    everything = {"validation": False}
    run(session, request(settings=everything))
    (first,) = runs(session.store.path)
    assert latest_facts(first)["saw_held_out"] is True
    (ready,) = of(PredictionReady, session.predict(("a",), Control()))
    assert arrays.load_info(Path(ready.folder)).saw_held_out
    (again,) = of(RunStarted, run(session, request(settings=everything)))
    assert f"Goes on from run {first.name}." in again.plan
    assert not again.notice
    (start,) = of(RunStarted, run(session))
    assert TAUGHT in start.plan
    assert start.notice == TAUGHT


def test_without_any_held_out_slice_a_run_without_validation_is_gone_on_from(session):
    paint(session.store, "a", [1, 3, 5])
    run(session, request(settings={"validation": False}))
    (first,) = runs(session.store.path)
    assert latest_facts(first)["saw_held_out"] is False
    (start,) = of(RunStarted, run(session))
    assert f"Goes on from run {first.name}." in start.plan


def test_a_class_that_was_added_starts_anew_and_says_so(session):
    paint(session.store, "a", [1, 3, 5])
    (first,) = of(RunStarted, run(session))
    assert not first.notice
    session.store.add_class("three")
    (start,) = of(RunStarted, run(session))
    assert "since there are other classes" in start.notice
    assert all(any(part in words for words in start.plan) for part in start.notice.split(". "))
    (fresh,) = of(RunStarted, run(session, request(fresh=True, settings={"width": 3})))
    assert "Starts anew" not in fresh.notice, "it was asked for"


def test_volumes_of_a_little_other_size_do_not_make_a_training_forget(session, tmp_path):
    """Most are of 12 voxels then, which a network made anew would halve where 8 are not."""
    paint(session.store, "a", [1, 3, 5])
    run(session)
    (first,) = runs(session.store.path)
    larger = [write_image(tmp_path / f"larger{n}.nii.gz", n, (12, 12, 12)) for n in range(6)]
    list(session.add(larger, Control()))
    (start,) = of(RunStarted, run(session))
    assert f"Goes on from run {first.name}." in start.plan
    assert any(words.endswith("as in the run before.") for words in start.plan)
    (anew,) = of(RunStarted, run(session, request(fresh=True)))
    assert not any(words.endswith("as in the run before.") for words in anew.plan)


def test_a_run_whose_honest_model_was_never_kept_is_gone_on_from_where_no_slice_joined(session):
    """A disk that was full when held-out slices should join leaves the folder and no model."""
    paint(session.store, "a", [2, 5])
    run(session)
    (first,) = runs(session.store.path)
    honest(first).mkdir()
    (start,) = of(RunStarted, run(session, request(1)))
    assert f"Goes on from run {first.name}." in start.plan
    paint(session.store, "a", [1, 3, 7])
    run(session, request(5, fresh=True))
    joined = runs(session.store.path)[0]
    for file in honest(joined).iterdir():
        file.unlink()
    (start,) = of(RunStarted, run(session, request(1)))
    assert latest_facts(joined)["saw_held_out"] is True
    assert f"Goes on from run {joined.name}." not in start.plan


def test_a_training_of_two_domains_names_them_and_whose_dice_it_measures(session):
    """Held-out slices of the source tell nothing of the target, for which people adapt."""
    paint(session.store, "a", [1, 3, 5, 7])
    session.store.set_domain(("c", "d"), "site B")
    events = run(session, request(method="minent", steps=5))
    assert not any(found.source for found in of(Validated, events))
    events = run(session, request(method="advent", steps=5))
    (start,) = of(RunStarted, events)
    target = "target: site B (2 cases, none labelled)."
    assert f"Source: no domain set (2 cases, 1 labelled); {target}" in start.plan
    assert BLIND in start.plan
    found = of(Validated, events)
    assert found
    assert all(one.source for one in found)


# ---- the supervised baseline ----


def compared(session: Session, **changes):
    events = run(session, request(baseline=True, **changes))
    (found,) = of(Compared, events)
    return events, found


def test_a_baseline_is_trained_alike_and_never_predicts(session):
    paint(session.store, "a", (2, 5, 9, 11))
    settings = {"consistency": 0.5, "critic_weight": 0.1}
    events, found = compared(session, seed=3, settings=settings)
    main, beside = of(RunStarted, events)
    assert (main.baseline, beside.baseline) == (False, True)
    assert (beside.method, beside.steps) == ("supervised", main.steps)
    assert [event.run for event in of(RunFinished, events)] == [main.run, beside.run]
    facts = latest_facts(session.store.path / "runs" / beside.run)
    assert facts["baseline"] is True
    asked = facts["request"]
    assert (asked["seed"], asked["settings"]) == (3, TINY)
    assert found.measured.slices == found.baseline.slices == 1
    assert found.fair
    last = [event for event in events if isinstance(event, Validated)]
    assert [found.measured, found.baseline] == [
        [event for event in last if event.run == started.run][-1] for started in (main, beside)
    ]
    assert (found.measured.step, found.baseline.step) == (main.steps, beside.steps)
    for started in (main, beside):
        assert latest_facts(session.store.path / "runs" / started.run)["saw_held_out"] is False
        assert any(words.endswith(TO_COMPARE) for words in started.plan)
    # The newest run is the baseline's; the model that predicts is the method's, also after
    # the project was opened anew.
    assert runs(session.store.path)[0].name == beside.run
    predicted = of(PredictionReady, list(session.predict(["b"], Control())))
    with Session(session.store.path, read_only=True) as again:
        predicted += of(PredictionReady, list(again.predict(["b"], Control())))
    assert {arrays.load_info(Path(each.folder)).run for each in predicted} == {main.run}


def test_the_next_round_goes_on_from_both(session):
    paint(session.store, "a", (2, 5, 9))
    events, found = compared(session)
    assert found.words.endswith("no Dice on held-out slices to compare them by.")
    first = [event.run for event in of(RunStarted, events)]
    events, found = compared(session)
    plans = [" ".join(event.plan) for event in of(RunStarted, events)]
    assert all(f"Goes on from run {run}." in plan for run, plan in zip(first, plans, strict=True))
    assert found.fair


def test_both_learn_from_the_labels_of_the_beginning(session, monkeypatch):
    """An eleventh slice would be held out too, and a new class would ask for another network."""
    monkeypatch.setattr(loop, "POLL_SECONDS", 0.0)
    paint(session.store, "a", range(10))
    taught, sampler = [], ProjectData.sampler

    def noted(self, *asked):
        taught.append(sampler(self, *asked))
        return taught[-1]

    monkeypatch.setattr(ProjectData, "sampler", noted)
    events = []
    for event in session.train(request(6, baseline=True), Control()):
        events.append(event)
        if isinstance(event, StepReported):
            session.store.add_class(f"class {len(session.store.classes)}")
            paint(session.store, "b", [2, 5, 9], seed=1)
    (found,) = of(Compared, events)
    assert found.measured.slices == found.baseline.slices == 1
    assert found.measured.dice.keys() == found.baseline.dice.keys() == {"one", "two"}
    assert found.fair
    assert {each.slices for each in taught} == {9}, "the one held out teaches neither"
    plans = [event.plan for event in of(RunStarted, events)]
    assert [COMPARED in plan for plan in plans] == [True, False]


def test_the_baseline_measures_what_the_method_had_time_for(session, monkeypatch):
    """Two slices are held out; the method has room for one of them, the baseline for both."""
    paint(session.store, "a", range(11))
    monkeypatch.setattr(validation, "FEWEST", 1)
    monkeypatch.setattr(validation, "MOST_PIXELS", 1)
    events = []
    for event in session.train(request(baseline=True), Control()):
        events.append(event)
        if isinstance(event, RunFinished):
            monkeypatch.setattr(validation, "FEWEST", 6)
    (found,) = of(Compared, events)
    assert found.measured.slices == found.baseline.slices == 1


def test_a_dice_in_volumes_that_teach_says_so(session):
    paint(session.store, "a", [1, 3, 5])
    paint(session.store, "b", [7])
    assert not of(Validated, run(session))[-1].known, "no other slice of b teaches"
    paint(session.store, "b", [2])
    found = of(Validated, run(session))[-1]
    assert found.known
    assert found.words.endswith("(only n = 1, known volumes)")


def test_a_baseline_that_starts_later_says_so(session):
    paint(session.store, "a", (2, 5, 9, 11))
    run(session)
    _, found = compared(session)
    assert not found.fair
    assert "Unequal" in found.words


def test_a_baseline_with_fewer_trainings_behind_it_says_so(session):
    """The method has gone through three, the baseline through two."""
    paint(session.store, "a", (2, 5, 9, 11))
    _, found = compared(session)
    assert found.fair
    run(session)
    _, found = compared(session)
    assert not found.fair


def test_a_run_goes_on_from_the_end_or_says_from_where(session):
    paint(session.store, "a", (2, 5, 9, 11))
    run(session, request(5))
    (first,) = runs(session.store.path)
    (start,) = of(RunStarted, run(session, request(5)))
    halfway = "at step 3 before the slices held out taught it too."
    assert f"Goes on from run {first.name}, as it was {halfway}" in start.plan
    events, _ = compared(session, steps=5)
    before = of(RunStarted, events)[0].run
    (start,) = of(RunStarted, run(session, request(5)))
    assert f"Goes on from run {before}." in start.plan, "none joined while models were compared"


def test_a_dice_of_partly_labelled_slices_says_so(session):
    """Where nothing is painted nobody said anything: a model that paints too much is not found."""
    store = session.store
    paint(store, "a", [1, 3, 5, 7])
    (held,) = [record for record in store.slices() if record.validation]
    drawn = {held.key.index: (store.labels_at(held.revision).copy(), SliceState.PARTIAL)}
    store.save_slices(held.key.case, held.key.plane, drawn)
    found = of(Validated, run(session))[-1]
    assert found.partial == 1
    assert found.words.endswith("1 partly labelled)")


def test_a_stopped_training_has_no_baseline(session):
    paint(session.store, "a", (2, 5, 9))
    control, events = Control(), []
    for event in session.train(request(steps=50, baseline=True), control):
        events.append(event)
        if isinstance(event, StepReported):
            control.stop()
    assert len(of(RunStarted, events)) == 1
    assert not of(Compared, events)


def test_supervised_is_not_compared_with_itself(session):
    paint(session.store, "a", (2, 5, 9))
    with pytest.raises(SslsegError, match="baseline for supervised"):
        run(session, request(baseline=True, method="supervised"))


def test_slices_hand_over_to_boxes(session):
    """Both networks are in the checkpoint, both predict, and the next round goes on."""
    paint(session.store, "a", [2, 5, 7, 9])
    asked = request(6, method="bcp", settings={"relay": True})
    events = run(session, asked)
    steps = of(StepReported, events)
    assert "boxes" not in steps[0].terms
    assert list(steps[-1].terms) == ["boxes"]
    assert any("3-D network learns" in words for words in of(RunStarted, events)[0].plan)
    list(session.predict(["b"], Control()))
    mine = arrays.load_prediction(arrays.latest_prediction(session.store.path, "b"))
    with Session(session.store.path, read_only=True) as reader:
        list(reader.predict(["b"], Control()))
    again = arrays.load_prediction(arrays.latest_prediction(session.store.path, "b"))
    assert np.array_equal(again.labels, mine.labels)
    assert np.array_equal(again.uncertainty, mine.uncertainty)
    assert of(RunFinished, run(session, asked))[0].reason is FinishReason.COMPLETED


def test_optimisers_are_kept_only_while_a_run_lasts(session, monkeypatch):
    paint(session.store, "a", [2, 4, 5, 6])
    monkeypatch.setattr(loop, "_Pace", partial(loop._Pace, checkpoint=0.0))
    run(session, request(5))
    (folder,) = runs(session.store.path)
    first, last = sorted(folder.glob("*.safetensors"))
    (joined,) = honest(folder).glob("*.safetensors")
    assert [file.stem[-1] for file in (first, joined, last)] == ["1", "3", "5"]
    whole = [any("optimiser" in name for name in load_file(f)) for f in (first, joined, last)]
    assert whole == [True, False, False]
    assert last.stat().st_size < 0.6 * first.stat().st_size
    assert list(session.predict(("b",), Control())), "what is left is enough to predict"
    (start,) = of(RunStarted, run(session, request(1)))
    assert any(folder.name in words for words in start.plan), "and for the next round"


def damage(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)


def test_a_damaged_newest_run_gives_way_to_the_one_before(session):
    paint(session.store, "a", [2, 5])
    run(session, request(method="supervised"))
    before, _ = load_facts_and_tensors(session.store.path)
    run(session, request(method="mean-teacher"))
    newest, oldest = runs(session.store.path)
    assert oldest.name == before.run
    for file in newest.glob("checkpoint-*.safetensors"):
        damage(file)
    facts, _ = load_facts_and_tensors(session.store.path)
    assert facts.run == oldest.name
    for file in oldest.glob("checkpoint-*.safetensors"):
        damage(file)
    with pytest.raises(SslsegError, match="only damaged checkpoints"):
        load_facts_and_tensors(session.store.path)


def test_a_class_that_nobody_drew_is_looked_for(session):
    assert not any("nothing is drawn" in s.reason for s in session.suggest(4)), "nothing is at all"
    some = np.zeros(session.store.case("a").geometry.slice_shape(CORONAL), np.uint8)
    some[1] = 1
    session.store.save_slices("a", CORONAL, {2: (some, SliceState.COMPLETE)})
    assert all(s.reason.startswith("nothing is drawn as two yet") for s in session.suggest(4))
    some[2] = 2
    session.store.save_slices("a", CORONAL, {5: (some, SliceState.PARTIAL)})
    assert not any("nothing is drawn" in s.reason for s in session.suggest(4))


def test_the_round_to_come_follows_from_labels_not_from_runs(session, labels, monkeypatch):
    """A training that was stopped and begun again, with nothing labelled between, is one round."""
    told = []
    monkeypatch.setattr("sslseg.session.rank", lambda *_, **how: told.append(how) or [])
    session.suggest(1)
    for name in ("a", "b"):
        session.import_labels(name, labels / f"{name}.nii.gz", CORONAL, [2, 5])
        for _ in range(2):
            run(session, request(1))
            session.suggest(1)
    assert [how["round_number"] for how in told] == [1, 2, 2, 3, 3]
