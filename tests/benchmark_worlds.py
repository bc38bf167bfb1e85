"""The benchmarks as the tests import them, and made-up data laid out like theirs."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"
SHORT = {
    **{"seeds": [0, 1], "threads": 2, "steps": None, "minutes": 1.5},
    **{"labels": "coronal", "dataset": "hippocampus", "volumes": 4},
}
SHAPE = (12, 14, 10)


@pytest.fixture
def load(monkeypatch, tmp_path):
    """Import a benchmark by its name; results lie in `tmp_path`."""
    monkeypatch.syspath_prepend(FOLDER)
    monkeypatch.setattr(importlib.import_module("common"), "RESULTS", tmp_path)
    yield importlib.import_module
    for name, module in list(sys.modules.items()):
        if Path(getattr(module, "__file__", None) or ".").parent == FOLDER:
            del sys.modules[name]


def asked(**options):
    return argparse.Namespace(**{**SHORT, **options})


def keep(file, *lines):
    text = "".join(json.dumps({"key": key, "result": result}) + "\n" for key, result in lines)
    file.write_text(text, encoding="utf-8")


def make_data(folder, count, ending=".nii.gz", classes=2):
    """Write volumes with boxes side by side along X, each as bright as its class."""
    for kind in ("images", "labels"):
        (folder / kind).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(count):
        labels = np.zeros(SHAPE, np.uint8)
        for value in range(1, classes + 1):
            labels[3 * value - 2 : 3 * value + 1, 3:12, 2:8] = value
        image = (100 * labels + rng.integers(0, 20, SHAPE)).astype(np.int16)
        for kind, array in (("images", image), ("labels", labels)):
            nib.save(nib.Nifti1Image(array, np.eye(4)), folder / kind / f"case_{number}{ending}")
    return folder
