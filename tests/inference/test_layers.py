"""Boxes are put together layer by layer, and say what those of the whole volume would."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from engine_worlds import image, tiny_trainer
from monai.inferers import sliding_window_inference

from sslseg.core.control import Control
from sslseg.inference.maps import maps_of
from sslseg.inference.windows import OVERLAP


@pytest.mark.parametrize("shape", [(20, 21, 13), (31, 9, 7), (5, 30, 4), (40, 3, 20), (9, 8, 6)])
@pytest.mark.parametrize("at_once", [1, 5])
def test_they_say_what_monai_does_of_a_network_whose_windows_show(shape, at_once, monkeypatch):
    judge = tiny_trainer("mean-teacher", 3).predictor()
    monkeypatch.setattr(
        "sslseg.inference.predictor.WINDOWS_AT_ONCE", at_once * int(np.prod(judge.patch))
    )
    x = torch.from_numpy(image(0, shape).astype(np.float32))[None, None]
    with torch.inference_mode():
        stacked = sliding_window_inference(
            x,
            judge.patch,
            at_once,
            judge._window,
            overlap=OVERLAP,
            mode="gaussian",
            padding_mode="replicate",
        )
    expected = maps_of(torch.as_tensor(stacked)[0], judge.classes, has_critic=True)
    found = judge.volume(image(0, shape), Control())
    for name in ("probability", "entropy", "information", "confidence"):
        assert np.allclose(getattr(found, name), getattr(expected, name), atol=1e-6)


def test_no_more_slices_than_a_window_holds_are_gathered(monkeypatch):
    gathered = []

    def watched(stacked, *how):
        gathered.append(stacked.shape[1])
        return maps_of(stacked, *how)

    monkeypatch.setattr("sslseg.inference.predictor.maps_of", watched)
    judge = tiny_trainer("mean-teacher", 3).predictor()
    judge.volume(image(0, (40, 9, 7)), Control())
    assert sum(gathered) == 40
    assert max(gathered) <= judge.patch[0]
