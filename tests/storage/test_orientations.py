"""Left stays left: what is read and written lies where the file says, for every orientation."""

from pathlib import Path

import nibabel as nib
import numpy as np
import numpy.typing as npt
import pytest
import SimpleITK as sitk
from phantoms import SHAPE, affine_of, all_orientations, oblique, phantom

from sslseg.core.volume import Volume
from sslseg.storage.images import describe, read_labels, read_volume, write_labels

LPS = np.diag([-1.0, -1.0, 1.0])
DIRECTIONS = [*all_orientations(), *(oblique() @ m for m in all_orientations())]


def assert_same_world(volume: Volume, affine: npt.NDArray[np.float64]) -> None:
    """Check that each value lies at the same millimetres as in the source array."""
    where = {int(value): np.array(index) for index, value in np.ndenumerate(phantom())}
    for index, value in np.ndenumerate(volume.data):
        world = volume.geometry.matrix[:3, :3] @ index + volume.geometry.matrix[:3, 3]
        expected = affine[:3, :3] @ where[int(value)] + affine[:3, 3]
        assert np.abs(world - expected).max() < 1e-3
    assert (np.abs(volume.geometry.matrix[:3, :3]).argmax(axis=0) == range(3)).all()
    assert (np.diag(volume.geometry.matrix)[:3] > 0).all()


def mask_of(volume: Volume) -> npt.NDArray[np.uint8]:
    return (volume.data % 7).astype(np.uint8)


@pytest.mark.parametrize("number", range(len(DIRECTIONS)))
def test_nifti(tmp_path: Path, number: int) -> None:
    affine = affine_of(DIRECTIONS[number])
    source, out = tmp_path / "case.nii.gz", tmp_path / "mask.nii.gz"
    nib.save(nib.Nifti1Image(phantom(), affine), source)
    volume = read_volume(source)
    assert_same_world(volume, affine)

    write_labels(out, mask_of(volume), describe(source), source)
    written, original = nib.load(out), nib.load(source)
    assert np.array_equal(np.asarray(written.dataobj), phantom() % 7)
    assert np.array_equal(written.affine, original.affine)
    assert np.array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(out))).T, phantom() % 7)
    labels = read_labels(out, volume.geometry, volume.reorientation)
    assert np.array_equal(labels, mask_of(volume))


@pytest.mark.parametrize("number", range(len(DIRECTIONS)))
@pytest.mark.parametrize("ending", [".nrrd", ".mha"])
def test_itk(tmp_path: Path, number: int, ending: str) -> None:
    affine = affine_of(DIRECTIONS[number])
    source, out = tmp_path / f"case{ending}", tmp_path / f"mask{ending}"
    image = sitk.GetImageFromArray(phantom().T)
    image.SetSpacing((0.5, 0.75, 3.0))
    image.SetOrigin((LPS @ affine[:3, 3]).tolist())
    image.SetDirection((LPS @ DIRECTIONS[number]).ravel().tolist())
    sitk.WriteImage(image, str(source))
    volume = read_volume(source)
    assert_same_world(volume, affine)

    write_labels(out, mask_of(volume), describe(source), source)
    written, original = sitk.ReadImage(str(out)), sitk.ReadImage(str(source))
    assert np.array_equal(sitk.GetArrayFromImage(written), (phantom() % 7).T)
    for index in ((0, 0, 0), tuple(n - 1 for n in SHAPE)):
        here = written.TransformIndexToPhysicalPoint(index)
        assert np.allclose(here, original.TransformIndexToPhysicalPoint(index), atol=1e-6)


def test_a_mask_in_another_axis_order_finds_its_place(tmp_path: Path) -> None:
    source, mask = tmp_path / "case.nii", tmp_path / "mask.nii"
    image = nib.Nifti1Image(phantom(), affine_of(oblique()))
    nib.save(image, source)
    turned = nib.Nifti1Image((phantom() % 7).astype(np.uint8), image.affine)
    nib.save(turned.as_reoriented(np.array([[2, -1], [0, 1], [1, -1]])), mask)
    volume = read_volume(source)
    labels = read_labels(mask, volume.geometry, volume.reorientation)
    assert np.array_equal(labels, mask_of(volume))


def test_a_grid_turned_by_45_degrees_is_read_as_its_image(tmp_path: Path) -> None:
    source, mask = tmp_path / "case.nii", tmp_path / "mask.nii"
    for path, rounding in ((source, -1e-5), (mask, 1e-5)):
        affine = np.eye(4)
        affine[:2, :2] = [[0.5 + rounding, -0.5], [0.5, 0.5 + rounding]]
        nib.save(nib.Nifti1Image((phantom() % 7).astype(np.uint8), affine), path)
    image, labels = read_volume(source), read_volume(mask)
    assert image.reorientation != labels.reorientation
    read = read_labels(mask, image.geometry, image.reorientation)
    assert np.array_equal(image.reorientation.to_source(read), phantom() % 7)
