"""Make the sample project's volumes: invented MR crops of a deep organ in a head.

Nothing here comes from a patient. Each case has an organ of two touching parts, a *nucleus* and
the *capsule* around it, between white matter, a folded cortex, a ventricle and look-alikes of the
same intensities, so that no threshold finds the parts but their shape and place do.

``python sample_data/make_sample_data.py`` writes 8 images and the masks of the first two;
``--all-masks FOLDER`` writes all 8 masks to FOLDER, for experiments that need the truth.
"""

from __future__ import annotations

import argparse
import gzip
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform
from scipy.interpolate import make_interp_spline

Field = npt.NDArray[np.float64]

CASES = 8
WITH_MASK = (1, 2)
CLASSES = ("nucleus", "capsule")
SHAPE = (56, 64, 48)
SPACING = (1.0, 1.0, 1.2)
STORED = {4: "LPS", 6: "PIR"}
"""Cases whose file runs along other axes than RAS+, as scanners' files do."""

_SEED = 20240
_FINE = 2  # intensities are drawn on a grid this much finer, then averaged: partial volume


def smooth(rng: np.random.Generator, knots: int) -> Field:
    """Return smooth noise on the fine grid ``(X, Y, Z)``, about in [-1, 1]."""
    noise = rng.uniform(-1, 1, (knots, knots, knots))
    for size in SHAPE:
        spline = make_interp_spline(np.arange(knots), np.eye(knots), k=min(3, knots - 1))
        rows = spline(np.linspace(0, knots - 1, size * _FINE))
        noise = np.tensordot(noise, rows, axes=(0, 1))
    return noise


def millimetres(rng: np.random.Generator) -> tuple[Field, Field, Field]:
    """Return the fine grid's coordinates in mm about the centre, bent smoothly by a few mm."""
    axes = [
        (np.arange(n * _FINE) - (n * _FINE - 1) / 2) * step / _FINE
        for n, step in zip(SHAPE, SPACING, strict=True)
    ]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    x, y, z = (axis + 3.0 * smooth(rng, 5) + 0.8 * smooth(rng, 10) for axis in (x, y, z))
    return x, y, z


def ellipsoid(at: tuple[Field, ...], centre: Field, radii: Field, turn: float) -> Field:
    """Return the level set of an ellipsoid turned by `turn` radians about z; below 1 is inside."""
    x, y, z = (axis - middle for axis, middle in zip(at, centre, strict=True))
    x, y = np.cos(turn) * x + np.sin(turn) * y, np.cos(turn) * y - np.sin(turn) * x
    return np.asarray((x / radii[0]) ** 2 + (y / radii[1]) ** 2 + (z / radii[2]) ** 2)


def head(rng: np.random.Generator, at: tuple[Field, ...]) -> Field:
    """Return intensities of everything but the organ, on the fine grid."""
    x, y, z = at
    grey, white, fluid = 455.0, 600.0, 150.0
    image = white + 18 * smooth(rng, 12)
    fold = x - 18 + 4.6 * np.sin(y / 3.6 + 2 * smooth(rng, 5)) * np.cos(z / 7 + smooth(rng, 4))
    image[fold > -2.4] = grey
    image[fold > 1.6] = fluid
    image[x > 24] = 70.0
    image[x > 27.5] = 520.0
    ventricle = ellipsoid(at, np.array([-22, 2, 2 + rng.normal()]), np.array([4.5, 19, 8]), 0.15)
    image[ventricle < 1] = fluid
    beside = np.array([-14.5, 12 + rng.normal(), 4 + rng.normal()])
    image[ellipsoid(at, beside, np.array([5.5, 9, 8]), 0.3) < 1] = grey
    below = np.array([-6 + rng.normal(), -22 + rng.normal(), -8 + rng.normal()])
    image[ellipsoid(at, below, np.array([11, 6, 9]), -0.2) < 1] = grey + 55
    above = np.array([4 + rng.normal(), 21 + rng.normal(), 10 + rng.normal()])
    image[ellipsoid(at, above, np.array([9, 6.5, 8]), 0.1) < 1] = grey + 55
    claustrum = ellipsoid(at, np.array([14, -2, 0]), np.array([1.3, 15, 12]), 0.1)
    image[claustrum < 1] = grey
    return image


def organ(rng: np.random.Generator, at: tuple[Field, ...]) -> npt.NDArray[np.uint8]:
    """Return the labels of the organ on the fine grid: 1 nucleus, 2 capsule."""
    centre = np.array([-1, 0, 0]) + rng.normal(0, 1.6, 3)
    radii = np.array([9.6, 14.5, 11.5]) * rng.uniform(0.86, 1.14, 3)
    turn = rng.normal(0.35, 0.12)
    inner = centre + radii * np.array([-0.2, 0.12, 0.0]) + rng.normal(0, 0.5, 3)
    labels = np.zeros(at[0].shape, np.uint8)
    outside = ellipsoid(at, centre, radii, turn)
    labels[outside < 1] = 2
    core = ellipsoid(at, inner, radii * rng.uniform(0.62, 0.70), turn)
    labels[(core < 1) & (outside < 0.9)] = 1
    return labels


def shrink(fine: Field) -> Field:
    """Average blocks of fine voxels into those of the volume."""
    blocks = fine.reshape([part for n in SHAPE for part in (n, _FINE)])
    return np.asarray(blocks.mean(axis=(1, 3, 5)))


def scan(rng: np.random.Generator, fine: Field) -> npt.NDArray[np.int16]:
    """Return what a scanner makes of it: partial volume, bias field, gain, Rician noise."""
    signal = shrink(fine) * np.exp(shrink(0.28 * smooth(rng, 3))) * rng.uniform(0.8, 1.25)
    sigma = rng.uniform(20, 28)
    noisy = np.hypot(signal + rng.normal(0, sigma, SHAPE), rng.normal(0, sigma, SHAPE))
    return noisy.round().astype(np.int16)


def make_case(index: int) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.uint8], Field]:
    """Return image and labels ``(I, J, K)`` in the file's axes, and the affine to RAS+ mm.

    Parameters
    ----------
    index : int
        1 to `CASES`; any other number gives a further case of the same kind.
    """
    rng = np.random.default_rng([_SEED, index])
    at = millimetres(rng)
    image = head(rng, at)
    fine = organ(rng, at)
    contrast = rng.uniform(0.88, 1.12)
    image[fine == 1] = 455.0 + 68 * contrast
    image[fine == 2] = 455.0 + 6 * contrast
    shares = np.stack([shrink((fine == value).astype(float)) for value in range(3)])
    labels = shares.argmax(axis=0).astype(np.uint8)
    affine = np.diag([*SPACING, 1.0])
    affine[:3, 3] = rng.uniform(-30, 10, 3).round(1)
    volume = scan(rng, image)
    turn = ornt_transform(io_orientation(affine), axcodes2ornt(STORED.get(index, "RAS")))
    stored = affine @ nib.orientations.inv_ornt_aff(turn, SHAPE)
    return (
        nib.orientations.apply_orientation(volume, turn),
        nib.orientations.apply_orientation(labels, turn),
        stored,
    )


def write(path: Path, array: npt.NDArray[Any], affine: Field) -> None:
    """Write a NIfTI file in mm; the same array gives the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(array, affine)
    image.header.set_xyzt_units("mm")
    image.set_sform(affine, code=1)
    image.set_qform(affine, code=1)
    path.write_bytes(gzip.compress(image.to_bytes(), 9, mtime=0))


def main() -> None:
    """Write the images and masks that lie beside this file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--all-masks", type=Path, metavar="FOLDER", help="only write 8 masks here")
    folder: Path | None = parser.parse_args().all_masks
    here = Path(__file__).parent
    for index in range(1, CASES + 1):
        image, labels, affine = make_case(index)
        name = f"sample_{index:02d}.nii.gz"
        if folder:
            write(folder / name, labels, affine)
            continue
        write(here / "images" / name, image, affine)
        if index in WITH_MASK:
            write(here / "labels" / name, labels, affine)


if __name__ == "__main__":
    main()
