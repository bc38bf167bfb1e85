"""Masks that leave the program lie exactly on the images they came from."""

import json
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from sslseg.core.annotation import BACKGROUND, SliceState
from sslseg.core.control import Control
from sslseg.core.errors import Cancelled, SslsegError
from sslseg.core.events import Event, Exported, Progress
from sslseg.core.geometry import Plane
from sslseg.core.prediction import Prediction, PredictionInfo
from sslseg.export.formats import export
from sslseg.export.masks import MaskSource, predicted
from sslseg.export.nifti import export_nifti
from sslseg.export.nnunet import export_nnunet
from sslseg.storage.arrays import save_prediction
from sslseg.storage.images import describe, read_volume, refuse_images_folder
from sslseg.storage.store import ProjectStore

SHAPE = (4, 5, 6)
PREDICTIONS, ANNOTATIONS = MaskSource.PREDICTIONS, MaskSource.ANNOTATIONS
TURNED = np.array([[0, 0, 2.0, 5], [-0.5, 0, 0, 9], [0, -0.75, 0.1, 3], [0, 0, 0, 1]])


def values() -> np.ndarray:
    return np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ProjectStore]:
    """A turned NIfTI case with text in its header, an NRRD case, and nothing said about them."""
    image = nib.Nifti1Image(values()[..., None], TURNED)
    image.header["descrip"] = b"Doe^Jane"
    nib.save(image, tmp_path / "turned.nii.gz")
    itk = sitk.GetImageFromArray(values().T)
    itk.SetSpacing((1, 2, 3))
    itk.SetDirection((-1, 0, 0, 0, 1, 0, 0, 0, -1))
    sitk.WriteImage(itk, str(tmp_path / "flipped.nrrd"))
    with ProjectStore.create(tmp_path / "project", ["a", "b"]) as project:
        for name in ("turned.nii.gz", "flipped.nrrd"):
            project.add_case(describe(tmp_path / name))
        yield project


def predict(store: ProjectStore, case: str) -> np.ndarray:
    """Save a prediction whose labels follow the image, 0 to 2; return them in RAS+."""
    labels = (read_volume(store.source_path(case)).data % 3).astype(np.uint8)
    half = np.zeros(labels.shape, np.float16)
    info = PredictionInfo(
        case=case, version="1", run="r", method="m", step=1, time=1.0, classes=("a", "b")
    )
    save_prediction(
        store.path, Prediction(labels, np.stack([half] * 3), half, half, None, info), {}
    )
    return labels


def annotate(store: ProjectStore, state: SliceState) -> None:
    """In axial slice 1 of the turned case, one row a, one row b, one row background."""
    shape = store.case("turned").geometry.slice_shape(Plane.AXIAL)
    labels = np.zeros(shape, np.uint8)
    labels[0], labels[1], labels[2] = 1, 2, BACKGROUND
    store.save_slices("turned", Plane.AXIAL, {1: (labels, state)})


def files(events: Iterator[Event]) -> list[Path]:
    """Run an export; check what it tells; return its files."""
    *progress, last = list(events)
    assert isinstance(last, Exported)
    assert all(isinstance(event, Progress) for event in progress)
    done = [event.done for event in progress if isinstance(event, Progress)]
    assert done == list(range(len(done)))
    return [Path(file) for file in last.files]


def voxels(path: Path) -> np.ndarray:
    """The array in the file's own order, read without our code."""
    return np.asarray(nib.load(path).dataobj)


def test_predictions_in_the_format_of_each_image(store: ProjectStore, tmp_path: Path) -> None:
    for case in ("turned", "flipped"):
        predict(store, case)
    written = files(export_nifti(store, tmp_path / "out" / "masks", PREDICTIONS, Control()))
    assert [path.name for path in written] == ["turned.nii.gz", "flipped.nrrd"]
    assert np.array_equal(voxels(written[0]), values() % 3)
    assert np.array_equal(nib.load(written[0]).affine, nib.load(tmp_path / "turned.nii.gz").affine)
    mask = sitk.ReadImage(str(written[1]))
    image = sitk.ReadImage(str(tmp_path / "flipped.nrrd"))
    assert np.array_equal(sitk.GetArrayFromImage(mask), (values() % 3).T)
    for fact in ("GetOrigin", "GetSpacing", "GetDirection"):
        assert getattr(mask, fact)() == getattr(image, fact)()


def test_what_was_labelled_stands_in_the_exported_prediction(
    store: ProjectStore, tmp_path: Path
) -> None:
    said = predict(store, "turned")
    annotate(store, SliceState.PARTIAL)
    (path,) = files(export_nifti(store, tmp_path / "out", PREDICTIONS, Control()))
    expected = said.copy()
    expected[0, :, 1], expected[1, :, 1], expected[2, :, 1] = 1, 2, 0
    assert not np.array_equal(expected, said)
    way = store.case("turned").reorientation
    assert np.array_equal(voxels(path), way.to_source(expected))
    assert np.array_equal(predicted(store, "turned"), said), "evaluation is of the model alone"


def test_annotations_are_classes_and_zero(store: ProjectStore, tmp_path: Path) -> None:
    annotate(store, SliceState.PARTIAL)
    (path,) = files(export_nifti(store, tmp_path / "out", ANNOTATIONS, Control()))
    expected = store.annotation("turned").labels.copy()
    expected[expected == BACKGROUND] = 0
    assert sorted(np.unique(expected)) == [0, 1, 2]
    way = store.case("turned").reorientation
    assert np.array_equal(voxels(path), way.to_source(expected))


@pytest.mark.parametrize("state", [SliceState.PARTIAL, SliceState.COMPLETE])
def test_nnunet_ignores_what_nobody_labelled(
    store: ProjectStore, tmp_path: Path, state: SliceState
) -> None:
    annotate(store, state)
    out = tmp_path / "Dataset001_Head"
    written = files(export_nnunet(store, out, ANNOTATIONS, Control()))
    assert [path.relative_to(out).as_posix() for path in written] == [
        "imagesTr/turned_0000.nii.gz",
        "labelsTr/turned.nii.gz",
        "imagesTs/flipped_0000.nii.gz",
        "dataset.json",
    ]
    assert json.loads((out / "dataset.json").read_text()) == {
        "channel_names": {"0": "MRI"},
        "labels": {"background": 0, "a": 1, "b": 2, "ignore": 3},
        "numTraining": 1,
        "file_ending": ".nii.gz",
    }
    labels = store.case("turned").reorientation.to_ras(voxels(written[1]))
    assert (labels[:, :, 0] == 3).all()
    assert (labels[:, :, 2:] == 3).all()
    rest = 0 if state is SliceState.COMPLETE else 3
    assert labels[:, 0, 1].tolist() == [1, 2, 0, *[rest] * (labels.shape[0] - 3)]


def test_nnunet_images_lie_under_their_labels(store: ProjectStore, tmp_path: Path) -> None:
    annotate(store, SliceState.PARTIAL)
    written = files(export_nnunet(store, tmp_path / "d", ANNOTATIONS, Control()))
    image, label, other = (nib.load(path) for path in written[:3])
    assert image.shape == label.shape == SHAPE
    assert np.array_equal(image.affine, label.affine)
    assert np.array_equal(np.asarray(image.dataobj), values())
    assert image.get_data_dtype() == np.int16
    assert b"Doe" not in image.to_bytes()
    assert np.array_equal(np.asarray(other.dataobj), values())
    itk = sitk.ReadImage(str(written[2]))
    original = sitk.ReadImage(str(tmp_path / "flipped.nrrd"))
    assert np.allclose(itk.GetDirection(), original.GetDirection())


def test_nnunet_with_predictions_needs_no_ignore_label(store: ProjectStore, tmp_path: Path) -> None:
    for case in ("turned", "flipped"):
        predict(store, case)
    files(export_nnunet(store, tmp_path / "d", PREDICTIONS, Control()))
    facts = json.loads((tmp_path / "d" / "dataset.json").read_text())
    assert facts["labels"] == {"background": 0, "a": 1, "b": 2}
    assert facts["numTraining"] == 2


@pytest.mark.parametrize("export", [export_nifti, export_nnunet])
@pytest.mark.parametrize("what", list(MaskSource))
def test_nothing_to_export_writes_nothing(
    store: ProjectStore, tmp_path: Path, export: type, what: MaskSource
) -> None:
    with pytest.raises(SslsegError, match=f"no {what.value}"):
        list(export(store, tmp_path / "out", what, Control()))
    assert not (tmp_path / "out").exists()


def test_a_vanished_image_is_told(store: ProjectStore, tmp_path: Path) -> None:
    predict(store, "turned")
    (tmp_path / "turned.nii.gz").unlink()
    with pytest.raises(SslsegError, match="no image of case turned"):
        list(export_nifti(store, tmp_path / "out", PREDICTIONS, Control()))


def test_a_damaged_prediction_is_not_exported(store: ProjectStore, tmp_path: Path) -> None:
    predict(store, "turned")
    path = store.path / "predictions" / "turned" / "1" / "labels.npy"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(SslsegError, match=r"labels\.npy"):
        list(export_nifti(store, tmp_path / "out", PREDICTIONS, Control()))
    assert list((tmp_path / "out").iterdir()) == []


def test_out_must_be_a_folder(store: ProjectStore, tmp_path: Path) -> None:
    predict(store, "turned")
    (tmp_path / "out").write_text("a file")
    with pytest.raises(SslsegError, match="out"):
        list(export_nifti(store, tmp_path / "out", PREDICTIONS, Control()))


@pytest.mark.parametrize("place", ["out", "out/below"])
def test_a_file_in_the_way_is_named(store: ProjectStore, tmp_path: Path, place: str) -> None:
    predict(store, "turned")
    (tmp_path / "out").write_text("a file")
    with pytest.raises(SslsegError, match=r"out, which is a file; expected a folder to export to"):
        list(export(store, tmp_path / place, "nifti", "predictions", Control()))
    assert (tmp_path / "out").read_text() == "a file"


def test_an_export_can_be_stopped(store: ProjectStore, tmp_path: Path) -> None:
    for case in ("turned", "flipped"):
        predict(store, case)
    control = Control()
    events = export_nnunet(store, tmp_path / "d", PREDICTIONS, control)
    next(events)
    next(events)
    control.stop()
    with pytest.raises(Cancelled):
        list(events)
    assert not (tmp_path / "d" / "dataset.json").exists()


def test_masks_never_replace_the_images(store: ProjectStore, tmp_path: Path) -> None:
    for case in ("turned", "flipped"):
        predict(store, case)
    before = {name: (tmp_path / name).read_bytes() for name in ("turned.nii.gz", "flipped.nrrd")}
    with pytest.raises(SslsegError, match="the folder that holds the image turned"):
        list(export_nifti(store, tmp_path, PREDICTIONS, Control()))
    assert all((tmp_path / name).read_bytes() == data for name, data in before.items())


def test_masks_never_lie_among_the_images(store: ProjectStore, tmp_path: Path) -> None:
    """There may be the same image in another format, under the name that the mask would take."""
    source = tmp_path / "turned.nii"
    nib.save(nib.load(tmp_path / "turned.nii.gz"), source)
    with pytest.raises(SslsegError, match=r"the folder that holds the image turned\.nii"):
        refuse_images_folder(tmp_path, source)
    refuse_images_folder(tmp_path / "out", source)


def test_a_second_nnunet_export_never_leaves_a_case_on_both_sides(
    store: ProjectStore, tmp_path: Path
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    annotate(store, SliceState.PARTIAL)
    files(export_nnunet(store, first, ANNOTATIONS, Control()))
    files(export_nnunet(store, first, ANNOTATIONS, Control()))
    for case in ("turned", "flipped"):
        predict(store, case)
    with pytest.raises(SslsegError, match=r"imagesTs.flipped_0000\.nii\.gz, where case flipped"):
        list(export_nnunet(store, first, PREDICTIONS, Control()))
    files(export_nnunet(store, second, PREDICTIONS, Control()))
    before = sorted(path for path in second.rglob("*"))
    with pytest.raises(SslsegError, match=r"labelsTr.flipped\.nii\.gz, where case flipped"):
        list(export_nnunet(store, second, ANNOTATIONS, Control()))
    assert sorted(path for path in second.rglob("*")) == before, "nothing is removed"


def test_a_case_whose_annotation_was_taken_back_is_not_exported(
    store: ProjectStore, tmp_path: Path
) -> None:
    annotate(store, SliceState.NONE)
    with pytest.raises(SslsegError, match="no annotations"):
        list(export_nifti(store, tmp_path / "out", ANNOTATIONS, Control()))
