"""Small pictures of slices for the list of suggestions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from sslseg.core.geometry import Array, Geometry, Plane, take_slice
from sslseg.core.suggestion import Box

Rgb = npt.NDArray[np.uint8]

FRAME = (255, 213, 74)
"""Colour of the frame around what a suggestion is about."""


def on_screen(slice_2d: Array) -> Array:
    """Turn a slice ``(H, W)`` in RAS axis order as the viewer shows it.

    Rows run down: top or front first; columns run from the patient's right, or from the front.
    """
    return slice_2d.T[::-1, ::-1]


def outline(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return the voxels of a 2-D mask that have a neighbour outside it."""
    padded = np.pad(mask, 1)
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask & ~inner


def thumbnail(
    image: Array, geometry: Geometry, plane: Plane, limits: tuple[float, float], size: int
) -> Rgb:
    """Return a square picture ``(size, size, 3)`` of one slice ``(H, W)``, in its true shape."""
    grey = np.clip((image - limits[0]) / max(limits[1] - limits[0], 1e-9), 0, 1)
    shown = on_screen((np.nan_to_num(grey) * 255).astype(np.uint8))
    return np.repeat(_fit(shown, _pixel_mm(geometry, plane), size)[..., None], 3, axis=2)


def draw_outlines(
    picture: Rgb,
    labels: npt.NDArray[np.uint8],
    geometry: Geometry,
    plane: Plane,
    colors: dict[int, tuple[int, int, int]],
) -> None:
    """Draw the outline of each class of a slice ``(H, W)`` into its picture, in place."""
    size = picture.shape[0]
    shown = _fit(on_screen(labels), _pixel_mm(geometry, plane), size)
    for value, color in colors.items():
        picture[outline(shown == value)] = color


def draw_box(
    picture: Rgb,
    shape: tuple[int, int],
    box: Box,
    geometry: Geometry,
    plane: Plane,
    color: tuple[int, int, int],
) -> None:
    """Draw the frame of a box of a slice of `shape` ``(H, W)`` into its picture, in place."""
    inside = np.zeros(shape, bool)
    inside[box[0] : box[1], box[2] : box[3]] = True
    shown = _fit(on_screen(inside), _pixel_mm(geometry, plane), picture.shape[0])
    picture[outline(shown)] = color


def _pixel_mm(geometry: Geometry, plane: Plane) -> tuple[float, float]:
    """Return height and width of a pixel on the screen in mm."""
    across, down = (geometry.spacing[axis] for axis in range(3) if axis != plane.axis)
    return (down, across)


def _fit(image: Array, pixel_mm: tuple[float, float], size: int) -> Array:
    """Resample to a centred square by nearest neighbour, black around."""
    height, width = (n * mm for n, mm in zip(image.shape, pixel_mm, strict=True))
    step = max(height, width) / size
    offsets = np.arange(size) + 0.5
    rows = np.floor((offsets * step - (size * step - height) / 2) / pixel_mm[0]).astype(int)
    columns = np.floor((offsets * step - (size * step - width) / 2) / pixel_mm[1]).astype(int)
    inside = np.outer(
        (rows >= 0) & (rows < image.shape[0]), (columns >= 0) & (columns < image.shape[1])
    )
    picked = image[np.clip(rows, 0, image.shape[0] - 1)][:, np.clip(columns, 0, image.shape[1] - 1)]
    return np.where(inside, picked, np.zeros((), image.dtype))


def read_thumbnails(
    source: Path,
    prediction: Path | None,
    slices: tuple[tuple[Plane, int, Box | None], ...],
    colors: dict[int, tuple[int, int, int]],
    size: int,
) -> tuple[Rgb, ...]:
    """Read a volume once and picture several of its slices; raises SslsegError as reading does."""
    from sslseg.storage import arrays, images

    volume = images.read_volume(source)
    labels = arrays.load_array(prediction, "labels") if prediction is not None else None
    step = max(1, round((volume.data.size / 1e6) ** (1 / 3)))
    sample = volume.data[::step, ::step, ::step].astype(np.float32)
    low, high = np.nanpercentile(sample, (0.5, 99.5))
    pictures = []
    for plane, index, box in slices:
        image = take_slice(volume.data, plane, index)
        picture = thumbnail(image, volume.geometry, plane, (float(low), float(high)), size)
        if labels is not None:
            said = take_slice(labels, plane, index)
            draw_outlines(picture, said, volume.geometry, plane, colors)
        if box is not None:
            draw_box(picture, image.shape, box, volume.geometry, plane, FRAME)
        pictures.append(picture)
    return tuple(pictures)
