from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from suggest_worlds import prediction_of

from sslseg.core.geometry import Plane
from sslseg.suggest.acquisition import near, outline_mm, slice_scores, uncertainty_band


def test_band_reaches_four_voxels_of_the_finest_axis():
    seed = np.zeros((21, 21, 11), bool)
    seed[10, 10, 5] = True
    band = near(seed, (0.5, 0.5, 2.0))
    assert band.sum() == 9 * 9 * 3
    thick = near(seed, (0.5, 0.5, 5.0))
    assert thick.sum() == 9 * 9
    assert thick[6:15, 6:15, 5].all()


def test_band_holds_unsure_voxels_far_from_the_foreground():
    labels, unsure = np.zeros((20, 20, 20)), np.zeros((20, 20, 20))
    labels[3, 3, 3] = 1
    unsure[18, 18, 18] = 0.75
    band = uncertainty_band(prediction_of(labels, unsure), (1, 1, 1))
    assert band[18, 18, 18]
    assert band[7, 7, 7]
    assert not band[8, 8, 8]


def test_band_is_everything_when_nothing_is_predicted():
    nothing = np.zeros((4, 5, 6))
    scores = slice_scores(prediction_of(nothing, nothing), (1, 1, 1))
    assert scores["sagittal.band"].tolist() == [30.0] * 4


def test_sums_of_every_slice_by_hand():
    labels = np.zeros((30, 8, 6))
    labels[10, 4, 3] = 1
    unsure = np.zeros(labels.shape)
    unsure[10, 4, 3] = 0.5
    unsure[12, 4, 3] = 0.25
    unsure[25, 4, 3] = 0.25
    confidence = np.full(labels.shape, 0.75)
    scores = slice_scores(prediction_of(labels, unsure, unsure / 2, confidence), (1, 1, 1))
    sagittal = scores["sagittal.uncertainty"]
    assert sagittal[[10, 12, 25]].tolist() == [0.5, 0.25, 0.0]
    assert scores["axial.uncertainty"][3] == 0.75
    assert scores["coronal.mutual"][4] == 0.375
    assert scores["sagittal.band"][[5, 6, 14, 15]].tolist() == [0, 48, 48, 0]
    assert scores["sagittal.doubt"][10] == 12.0
    assert scores["axial.foreground"].tolist() == [0, 0, 0, 1, 0, 0]
    assert scores["sagittal.classes"][10].tolist() == [0.5, 0.0]
    kinds = {name.split(".")[1]: values.dtype for name, values in scores.items()}
    assert kinds.pop("box") == np.int32
    assert set(kinds.values()) == {np.dtype(np.float32)}


def test_boxes_are_in_voxels_of_the_whole_slice():
    labels, unsure = np.zeros((30, 20, 12)), np.zeros((30, 20, 12))
    labels[12, 10, 6] = 1
    unsure[11:14, 9:11, 6] = 0.5
    scores = slice_scores(prediction_of(labels, unsure), (1, 1, 1))
    assert scores["axial.box"][6].tolist() == [11, 14, 9, 11]
    assert scores["sagittal.box"][12].tolist() == [9, 11, 6, 7]
    assert scores["coronal.box"][10].tolist() == [11, 14, 6, 7]
    assert not scores["axial.box"][[5, 7, 0]].any()


def test_a_region_that_fills_the_band_is_framed_and_one_that_fills_the_slice_is_not():
    """Nothing is predicted, so the band is where it is unsure: its box is the region's own."""
    labels, unsure = np.zeros((30, 20, 12)), np.zeros((30, 20, 12))
    unsure[11:14, 9:12, 6] = 0.5
    assert slice_scores(prediction_of(labels, unsure), (1, 1, 1))["axial.box"][6].tolist() == [
        11,
        14,
        9,
        12,
    ]
    unsure[:, :, 6] = 0.5
    assert not slice_scores(prediction_of(labels, unsure), (1, 1, 1))["axial.box"].any()


def test_features_describe_each_slice_and_the_image_where_given():
    nothing = np.zeros((8, 6, 4))
    plain = slice_scores(prediction_of(nothing, nothing), (1, 1, 1))
    image = np.zeros((16, 3, 4), np.float16)
    seen = slice_scores(prediction_of(nothing, nothing), (1, 1, 1), image)
    for plane, count in (("sagittal", 8), ("coronal", 6), ("axial", 4)):
        assert plain[f"{plane}.features"].shape == (count, 4)
        assert seen[f"{plane}.features"].shape == (count, 4 + 17)


def test_no_doubt_without_a_discriminator():
    nothing = np.zeros((4, 5, 6))
    assert "axial.doubt" not in slice_scores(prediction_of(nothing, nothing), (1, 1, 1))


def test_outline_in_mm():
    labels = np.zeros((10, 10, 10))
    labels[4:6, 4:7, 5] = 1
    spacing = (2.0, 1.0, 3.0)
    assert outline_mm(labels, Plane.AXIAL, spacing)[5] == 2 * (2 * 2.0) + 2 * (3 * 1.0)
    assert outline_mm(labels, Plane.SAGITTAL, spacing)[4] == 2 * (3 * 1.0) + 2 * (1 * 3.0)
    assert outline_mm(labels, Plane.AXIAL, spacing)[4] == 0


@pytest.mark.parametrize("module", ["sslseg.suggest.selection", "sslseg.suggest.acquisition"])
def test_import_loads_no_torch(module):
    code = f"import sys, {module}; sys.exit('torch' in sys.modules or 'napari' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
