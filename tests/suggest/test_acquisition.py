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
    assert all(values.dtype == np.float32 for values in scores.values())


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
