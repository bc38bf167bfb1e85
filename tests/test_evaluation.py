from __future__ import annotations

import numpy as np
import pytest

from sslseg.core.errors import SslsegError
from sslseg.core.volume import ClassLabel
from sslseg.evaluation import evaluate, evaluate_case, measure, summarise, surface_distances

CLASSES = (
    ClassLabel(value=1, name="posterior", color="#ff0000"),
    ClassLabel(value=2, name="anterior", color="#00ff00"),
)
NOTHING = {"dice": None, "hd95_mm": None, "assd_mm": None}


def cube(low: int, high: int, shape=(24, 24, 24)) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[low:high, 4:14, 4:14] = True
    return mask


def test_shifted_cubes_by_hand():
    # Ten voxels wide, moved by 2 along x: 8 of 10 planes overlap.
    found = measure(cube(4, 14), cube(6, 16), (1.5, 1.0, 1.0))
    assert found["dice"] == pytest.approx(0.8)
    assert found["hd95_mm"] == pytest.approx(3.0)
    there, _ = surface_distances(cube(4, 14), cube(6, 16), (1.5, 1.0, 1.0))
    assert there.size == 10**3 - 8**3
    assert there.max() == pytest.approx(3.0)


def test_parallel_sheets_have_one_distance_in_mm():
    first, second = np.zeros((9, 9, 9), bool), np.zeros((9, 9, 9), bool)
    first[:, 2], second[:, 5] = True, True
    found = measure(first, second, (1.0, 2.5, 1.0))
    assert found == {"dice": 0.0, "hd95_mm": 7.5, "assd_mm": 7.5}


def test_equal_masks_are_perfect():
    assert measure(cube(4, 9), cube(4, 9), (1, 1, 4)) == {"dice": 1, "hd95_mm": 0, "assd_mm": 0}


def test_assd_counts_every_surface_voxel_once():
    line, dot = np.zeros((1, 1, 7), bool), np.zeros((1, 1, 7), bool)
    line[0, 0, :5], dot[0, 0, 0] = True, True
    found = measure(line, dot, (1, 1, 1))
    assert found["assd_mm"] == pytest.approx((0 + 1 + 2 + 3 + 4 + 0) / 6)
    assert found["hd95_mm"] == pytest.approx(3.8)


@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")
def test_the_same_as_monai():
    torch = pytest.importorskip("torch")
    from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance

    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(*[np.arange(20)] * 3, indexing="ij"))
    spacing = (0.7, 1.0, 2.0)
    for _ in range(3):
        masks = [
            (
                ((grid - rng.uniform(7, 12, (3, 1, 1, 1))) / rng.uniform(3, 9, (3, 1, 1, 1))) ** 2
            ).sum(0)
            < 1
            for _ in range(2)
        ]
        first, second = (torch.from_numpy(mask)[None, None].float() for mask in masks)
        hd95 = compute_hausdorff_distance(first, second, percentile=95, spacing=spacing)
        assd = compute_average_surface_distance(first, second, symmetric=True, spacing=spacing)
        found = measure(*masks, spacing)
        assert found["hd95_mm"] == pytest.approx(float(hd95), rel=1e-5)
        assert found["assd_mm"] == pytest.approx(float(assd), rel=1e-5)


def test_absent_and_empty_classes():
    truth, empty = np.zeros((24, 24, 24), np.uint8), np.zeros((24, 24, 24), np.uint8)
    truth[cube(4, 14)] = 1
    missed = evaluate_case(empty, truth, (1, 1, 1), CLASSES)
    assert missed == {"posterior": {**NOTHING, "dice": 0.0}, "anterior": NOTHING}
    invented = evaluate_case(truth, empty, (1, 1, 1), CLASSES)
    assert invented["posterior"] == {**NOTHING, "dice": 0.0}


def test_means_skip_what_is_undefined():
    one = {"posterior": {"dice": 0.5, "hd95_mm": 2.0, "assd_mm": 1.0}, "anterior": NOTHING}
    two = {
        "posterior": {"dice": 0.7, "hd95_mm": None, "assd_mm": None},
        "anterior": {"dice": 0.9, "hd95_mm": 4.0, "assd_mm": 2.0},
    }
    mean = summarise({"a": one, "b": two}, CLASSES)["mean"]
    assert mean["posterior"] == {"dice": pytest.approx(0.6), "hd95_mm": 2.0, "assd_mm": 1.0}
    assert mean["all"] == {"dice": pytest.approx(0.75), "hd95_mm": 3.0, "assd_mm": 1.5}


def test_shape_of_the_result():
    truth = np.zeros((24, 24, 24), np.uint8)
    truth[cube(4, 14)] = 2
    found = evaluate({"a": truth}, {"a": truth}, {"a": (1.0, 1.0, 1.0)}, CLASSES)
    perfect = {"dice": 1.0, "hd95_mm": 0.0, "assd_mm": 0.0}
    assert found == {
        "cases": {"a": {"posterior": NOTHING, "anterior": perfect}},
        "mean": {"posterior": NOTHING, "anterior": perfect, "all": perfect},
    }


def test_missing_prediction_and_wrong_grid():
    truth = np.zeros((3, 3, 3), np.uint8)
    with pytest.raises(SslsegError, match="no prediction of case a"):
        evaluate({}, {"a": truth}, {"a": (1, 1, 1)}, CLASSES)
    with pytest.raises(SslsegError, match=r"\(3, 3, 2\)"):
        evaluate_case(truth[..., :2], truth, (1, 1, 1), CLASSES)
