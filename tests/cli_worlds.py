"""A tiny labelled folder for tests of the command line: ellipsoids that shine, with noise."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np

SHAPE = (20, 24, 16)


def write_ellipsoids(folder: Path, count: int = 4) -> tuple[list[Path], Path]:
    """Write `count` images and label files with two classes; return the images and the labels."""
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(*[np.arange(n) for n in SHAPE], indexing="ij"))
    images, labels = folder / "images", folder / "labels"
    images.mkdir()
    labels.mkdir()
    paths = []
    for number in range(count):
        center = np.array(SHAPE).reshape(3, 1, 1, 1) / 2 + rng.uniform(-2, 2, (3, 1, 1, 1))
        inside = (((grid - center) / rng.uniform(4, 6, (3, 1, 1, 1))) ** 2).sum(0) < 1
        truth = (inside * (1 + (grid[1] > center[1, 0, 0, 0]))).astype(np.uint8)
        image = (truth * 40 + rng.normal(100, 5, SHAPE)).astype(np.float32)
        affine = np.diag([-1.0, -1.0, 2.0, 1.0])
        paths.append(images / f"case_{number}.nii.gz")
        nib.save(nib.Nifti1Image(image, affine), paths[-1])
        nib.save(nib.Nifti1Image(truth, affine), labels / paths[-1].name)
    return paths, labels
