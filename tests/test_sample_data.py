"""The sample volumes: drawn from their seeds to the voxel, small, and hard for a threshold."""

from __future__ import annotations

import functools
import sys
from pathlib import Path

import make_sample_data as generator
import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

FOLDER = Path(__file__).parents[1] / "sample_data"
INDICES = range(1, 9)
drawn = functools.cache(generator.make_case)


def best_window_dice(image: np.ndarray, mask: np.ndarray) -> float:
    """Dice of the best of all intensity windows [low, high] on this case."""
    top = int(image.max()) + 1
    everything = np.concatenate([[0], np.bincount(image.ravel(), minlength=top).cumsum()])
    inside = np.concatenate([[0], np.bincount(image[mask], minlength=top).cumsum()])
    chosen = everything[None, :] - everything[:, None]
    hit = inside[None, :] - inside[:, None]
    return float((2 * hit / np.maximum(chosen + mask.sum(), 1)).max())


def test_best_window_is_found_in_an_image_that_a_threshold_solves() -> None:
    image = np.array([[0, 5, 6], [9, 5, 0]])
    assert best_window_dice(image, (image == 5) | (image == 6)) == 1.0
    assert best_window_dice(image, image == np.array([[0, 5, 0], [0, 0, 1]])) == pytest.approx(
        2 / 3
    )


@pytest.mark.parametrize("index", INDICES)
def test_files_are_what_the_seeds_draw(index: int) -> None:
    image, labels, affine = drawn(index)
    stored = nib.load(FOLDER / "images" / f"sample_{index:02d}.nii.gz")
    np.testing.assert_array_equal(np.asarray(stored.dataobj), image)
    np.testing.assert_allclose(stored.affine, affine, atol=1e-5)
    assert stored.get_data_dtype() == np.int16
    mask = FOLDER / "labels" / f"sample_{index:02d}.nii.gz"
    assert mask.exists() == (index in generator.WITH_MASK)
    if mask.exists():
        np.testing.assert_array_equal(np.asarray(nib.load(mask).dataobj), labels)
        np.testing.assert_allclose(nib.load(mask).affine, stored.affine)


@pytest.mark.parametrize("index", INDICES)
def test_no_intensity_window_finds_a_class(index: int) -> None:
    image, labels, _ = drawn(index)
    for value in (1, 2):
        assert (labels == value).sum() > 500
        assert best_window_dice(image, labels == value) < 0.6
    assert best_window_dice(image, labels > 0) < 0.6
    assert (ndimage.binary_dilation(labels == 1) & (labels == 2)).any(), "the two parts must touch"


def test_files_are_small_and_stored_along_different_axes() -> None:
    files = sorted((FOLDER / "images").glob("*.nii.gz"))
    assert len(files) == len(INDICES)
    assert sum(file.stat().st_size for file in FOLDER.rglob("*.nii.gz")) < 5_000_000
    axes = {nib.aff2axcodes(nib.load(file).affine) for file in files}
    assert {("R", "A", "S"), ("L", "P", "S")} < axes
    spacings = [
        np.linalg.norm(nib.as_closest_canonical(nib.load(file)).affine[:3, :3], axis=0)
        for file in files
    ]
    np.testing.assert_allclose(spacings, [(1.0, 1.0, 1.2)] * len(files), rtol=1e-5)


def test_all_masks_can_be_had_for_experiments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["make_sample_data.py", "--all-masks", str(tmp_path)])
    generator.main()
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        f"sample_{index:02d}.nii.gz" for index in INDICES
    ]
    ours = (FOLDER / "labels" / "sample_01.nii.gz").read_bytes()
    assert (tmp_path / "sample_01.nii.gz").read_bytes() == ours
