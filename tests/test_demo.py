"""The demo without a screen, and the example, as a newcomer would run them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import imageio.v3 as imageio
import nibabel as nib
import numpy as np
import pytest

from sslseg import demo
from sslseg.core.catalogue import DEFAULT_METHOD
from sslseg.storage.samples import sample_images
from sslseg.storage.store import ProjectStore
from sslseg.training.model import load_facts

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_headless_demo_tells_the_story_and_leaves_masks_and_pictures(tmp_path: Path) -> None:
    story: list[str] = []
    files = demo.headless(tmp_path, 0.02, story.append)
    masks = [file for file in files if file.parent.name == "masks"]
    drawn = [file for file in files if file.parent.name == "pictures"]
    assert len(masks) == len(drawn) == len(sample_images()) == 8
    for source in sample_images():
        mask, image = nib.load(tmp_path / "masks" / source.name), nib.load(source)
        assert mask.shape == image.shape
        assert mask.get_data_dtype() == np.uint8
        np.testing.assert_allclose(mask.affine, image.affine, atol=1e-4)
        assert set(np.unique(np.asarray(mask.dataobj))) <= {0, 1, 2}
    assert imageio.imread(drawn[0]).shape == (5 * 64, 5 * (3 * 56 + 2), 3)
    told = "\n".join(story)
    assert "8 cases, 6 slices labelled" in told
    assert f"Training {DEFAULT_METHOD} on" in told
    assert told.count("Label next: sample_") == 3
    with ProjectStore.open(tmp_path / "project", read_only=True) as store:
        assert len(store.slices()) == 6, "the model must not write annotations"


@pytest.mark.slow
def test_example_runs_as_it_stands(tmp_path: Path) -> None:
    told = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "loop.py"), str(tmp_path / "project"), "0.02"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert len(list((tmp_path / "project" / "masks").glob("*.nii.gz"))) == 8
    assert "sample_0" in told.stdout


@pytest.mark.slow
def test_a_method_outside_the_package_trains_and_predicts(tmp_path: Path) -> None:
    project = tmp_path / "project"
    told = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "train_my_method.py"), str(project), "0.02"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Masks by my-decided" in told.stdout
    assert len(list((project / "masks").glob("*.nii.gz"))) == 8
    facts = load_facts(project)
    assert facts is not None
    assert facts.method == "my-decided"
    assert facts.step > 0


def test_a_method_is_a_file_of_forty_lines() -> None:
    """What the documents promise to whoever adds one."""
    lines = (ROOT / "examples" / "my_method.py").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 40
