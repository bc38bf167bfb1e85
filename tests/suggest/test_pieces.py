"""Each piece of a suggestion against numbers worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from suggest_worlds import grid

from sslseg.core.errors import SslsegError
from sslseg.core.geometry import Plane
from sslseg.core.prediction import CriticHealth
from sslseg.suggest import scores
from sslseg.suggest.cost import drawing_seconds
from sslseg.suggest.descriptors import look_features, shape_features
from sslseg.suggest.novelty import AXES, Novelty, principal, standardised
from sslseg.suggest.planes import crossing_lines, habit, orthogonal
from sslseg.suggest.regions import heaviest_boxes, pointing
from sslseg.suggest.strategies import at_first, strategy_named
from sslseg.suggest.views import Table

# ---- where on the slice ----


def test_the_heaviest_connected_region_is_boxed_not_the_brightest_voxel():
    values = np.zeros((3, 10, 12), np.float32)
    values[1, 1, 1] = 1.0
    values[1, 4:6, 7:10] = 0.6  # 3.6 in all
    values[1, 6, 10] = 0.6  # touches by a corner
    values[1, 8, 2:11] = 0.4  # heavy too, but below half of the peak
    assert heaviest_boxes(values, Plane.SAGITTAL).tolist() == [[0] * 4, [4, 7, 7, 11], [0] * 4]


def test_a_region_from_edge_to_edge_is_not_framed():
    values = np.ones((2, 5, 6), np.float32)
    values[0, :, 5] = 0
    boxes = heaviest_boxes(values, Plane.SAGITTAL)
    assert pointing(boxes, 5, 6).tolist() == [[0, 5, 0, 5], [0, 0, 0, 0]]


def test_regions_of_neighbouring_slices_are_not_joined():
    values = np.zeros((4, 6, 6), np.float32)
    values[2, 1:3, 3], values[2, 3:5, 4] = 1.0, 1.0
    assert heaviest_boxes(values, Plane.AXIAL)[3].tolist() == [2, 3, 1, 3]
    assert heaviest_boxes(values, Plane.AXIAL)[4].tolist() == [2, 3, 3, 5]
    assert heaviest_boxes(values, Plane.CORONAL)[1].tolist() == [2, 3, 3, 4]


# ---- what it looks like ----


def test_shape_features_by_hand():
    labels = np.zeros((2, 4, 8), np.uint8)
    labels[1, 3, 0:2] = 1
    found = shape_features(labels, Plane.SAGITTAL)
    np.testing.assert_allclose(found[0], [0.25, 0, 0.5, 0.5])
    np.testing.assert_allclose(found[1], [0.75, np.sqrt(2 / 32), 3.5 / 4, 1 / 8])


def test_look_features_are_block_means_of_the_matching_slice():
    image = np.zeros((2, 8, 4), np.float16)
    image[1, 0:2, 3] = 2
    found = look_features(image, Plane.SAGITTAL, 4)
    assert not found[:2].any()
    np.testing.assert_allclose(found[2], found[3])
    blocks = found[3, :16].reshape(4, 4)
    assert blocks[0, 3] == 2
    assert blocks.sum() == 2
    assert found[3, 16] == pytest.approx(np.std(image[1].astype(float)))


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 2, 5)])
def test_small_slices_have_features_too(shape):
    for plane in Plane:
        assert np.isfinite(look_features(np.ones(shape), plane, 3)).all()


# ---- the default score ----


def test_a_small_class_counts_as_much_as_a_large_one():
    """Slices twice as unsure of a large organ, of a small one, and of neither."""
    masses = np.repeat([[160.0, 4.0], [80.0, 8.0], [80.0, 4.0]], 20, axis=0)
    likely = scores.hybrid(of_masses(masses), np.random.default_rng(0), 1)[0]
    assert likely[0] == pytest.approx(likely[20])
    assert likely[40] == pytest.approx(likely[0] * 2 / 3)


def test_a_class_that_was_never_learnt_changes_nothing():
    """A trace of it, 1e-4 everywhere and a little more in every second slice, is no uncertainty."""
    large = np.linspace(80, 160, 50)
    trace = 1e-4 * (1 + np.arange(50) % 2)
    alone, both = of_masses(large[:, None]), of_masses(np.stack([large, trace], axis=1))
    assert scores.classes_in_play(both).tolist() == [0]
    rng = np.random.default_rng(0)
    np.testing.assert_allclose(scores.hybrid(both, rng, 1), scores.hybrid(alone, rng, 1))
    assert scores.class_turns(both, 1) == (0, 0, None)


def test_a_class_is_in_play_from_one_percent_of_the_largest():
    masses = np.zeros((500, 4))
    masses[0] = 160, 1.7, 1.5, 0  # in one slice of 500: no percentile sees it
    assert scores.classes_in_play(of_masses(masses)).tolist() == [0, 1]
    assert scores.classes_in_play(of_masses(masses[:, :0])).tolist() == []
    assert scores.class_turns(of_masses(masses), 2) == (1, 0, None, 1, 0, None)


def test_a_class_in_few_slices_counts_there_and_not_by_its_trace_elsewhere():
    """Of 300 slices one shows the second class; by its 99th percentile the trace would count 1."""
    masses = np.tile([100.0, 1e-3], (300, 1))
    masses[0, 1], masses[1:150, 1] = 50.0, 1e-5
    likely = scores.hybrid(of_masses(masses), np.random.default_rng(0), 1)[0]
    # over 1 % of 100 instead, so that the trace adds 0.001 / 2 to 1 / 2
    assert likely[0] == likely.max()
    assert likely[1] == pytest.approx(likely[299], rel=2e-3)


def of_masses(masses: np.ndarray) -> Table:
    """Slices alike but for the uncertainty of their classes, ``(N, K)``."""
    count = len(masses)
    rows, none = np.zeros(count, np.intp), np.zeros(count)
    same = np.full(count, 100.0)
    values = {"band": same, "mutual": none, "foreground": same, "classes": masses}
    boxes, features = np.zeros((count, 4), np.int32), np.zeros((count, 0), np.float32)
    return Table(rows, rows, np.arange(count), rows == 0, values, boxes, features)


# ---- diversity ----


def test_novelty_is_the_distance_to_the_nearest_taken():
    points = np.array([[0.0], [1.0], [5.0], [9.0]])
    scale = points.std()
    novelty = Novelty(points, [0])
    np.testing.assert_allclose(novelty.gaps() * scale, [0, 1, 5, 9], rtol=1e-5)
    novelty.take(3)
    np.testing.assert_allclose(novelty.gaps() * scale, [0, 1, 4, 0], rtol=1e-5, atol=1e-6)


def test_nothing_taken_is_all_alike():
    assert Novelty(np.eye(3), []).gaps().tolist() == [1, 1, 1]


def test_rows_without_features_stand_in_the_middle():
    found = standardised(np.array([[1.0, 2.0], [3.0, 2.0], [np.nan, 0.0]]))
    np.testing.assert_allclose(found, [[-1, 0], [1, 0], [0, 0]])


def test_principal_axes_keep_distances_of_flat_data():
    rng = np.random.default_rng(0)
    flat = rng.normal(size=(50, 3)) @ rng.normal(size=(3, 40))
    points = standardised(flat)
    kept = principal(points, AXES)
    assert kept.shape == (50, AXES)
    far = np.linalg.norm(points[0] - points, axis=1)
    np.testing.assert_allclose(np.linalg.norm(kept[0] - kept, axis=1), far, rtol=1e-3, atol=1e-4)


def test_the_share_of_novelty_falls_from_half_to_nothing():
    assert [at_first(n) for n in (0, 1, 6, 9)] == [0.5, 0.5, 0, 0]
    assert at_first(3) == pytest.approx(0.6 / 1.6)


# ---- cost and planes ----


def test_seconds_grow_with_the_outline():
    np.testing.assert_allclose(drawing_seconds([0, 100]), [8, 23])


def test_lines_where_a_slice_meets_annotated_ones(make_case):
    annotated = {Plane.AXIAL: (1, 4), Plane.CORONAL: (2,)}
    assert [crossing_lines(annotated, plane) for plane in Plane] == [3, 2, 1]


def test_a_complementary_plane_is_preferred(make_case):
    some = make_case("a", annotated={Plane.AXIAL: (1, 4), Plane.CORONAL: (2,)})
    bare = make_case("b")
    table = Table.of([some, bare])
    factors = orthogonal(table, [some, bare])
    by_plane = {
        plane: set(factors[(table.case == 0) & (table.axis == plane.axis)]) for plane in Plane
    }
    assert by_plane == {Plane.SAGITTAL: {1.0}, Plane.CORONAL: {0.5}, Plane.AXIAL: {0.5}}
    assert set(factors[table.case == 1]) == {1.0}


@pytest.mark.parametrize(
    ("axial", "coronal", "sagittal", "expected"),
    [
        (3, 2, 0, (1.0, 0.5, 0.5)),  # nobody has drawn a sagittal slice
        (3, 0, 0, (1.0, 1.0, 0.5)),
        (3, 2, 1, (4 / 5, 1.0, 0.5)),  # 3 + 2 lines against 3 + 1
        (2, 2, 0, (1.0, 0.5, 0.5)),
        (2, 2, 2, (1.0, 1.0, 1.0)),
    ],
)
def test_among_other_planes_one_that_nobody_drew_comes_first(
    make_case, axial, coronal, sagittal, expected
):
    counts = {Plane.SAGITTAL: sagittal, Plane.CORONAL: coronal, Plane.AXIAL: axial}
    case = make_case(annotated={plane: tuple(range(n)) for plane, n in counts.items()})
    table = Table.of([case])
    factors = orthogonal(table, [case])
    assert [set(factors[table.axis == plane.axis]) for plane in Plane] == [{n} for n in expected]


def test_a_plane_that_is_not_offered_does_not_come_first(make_case):
    """Coronal voxels are 0.5 x 8 mm: nobody drew there, and nobody will."""
    annotated = {Plane.AXIAL: (1, 4, 7), Plane.SAGITTAL: (2, 5)}
    case = make_case(geometry=grid(spacing=(0.5, 2, 8)), annotated=annotated)
    table = Table.of([case])
    factors = orthogonal(table, [case])
    by_axis = {int(axis): set(factors[table.axis == axis]) for axis in np.unique(table.axis)}
    assert by_axis == {Plane.SAGITTAL.axis: {1.0}, Plane.AXIAL.axis: {0.5}}


def test_habit_follows_how_much_each_plane_is_used(make_case):
    """Four axial slices and one coronal one: 1, a quarter, nothing."""
    axial = make_case("a", annotated={Plane.AXIAL: (3, 6, 9)})
    mixed = make_case("b", annotated={Plane.AXIAL: (5,), Plane.CORONAL: (7,)})
    table = Table.of([axial, mixed])
    factors = habit(table, [axial, mixed])
    by_plane = {plane: set(factors[table.axis == plane.axis]) for plane in Plane}
    expected = {Plane.SAGITTAL: 0.0, Plane.CORONAL: 0.25, Plane.AXIAL: 1.0}
    assert by_plane == {plane: {factor} for plane, factor in expected.items()}
    bare = make_case("c")
    assert set(habit(Table.of([bare]), [bare])) == {1.0}
    thick = make_case("d", geometry=grid((9, 40, 40), (5, 0.5, 0.5)))
    table = Table.of([axial, thick])
    assert set(habit(table, [axial, thick])[table.case == 1]) == {1.0}, "sagittal slices or none"


# ---- noise ----


def test_power_draws_in_proportion_to_the_score():
    rng = np.random.default_rng(0)
    first = [scores.noisy(np.array([1.0, 3.0]), rng, 1.0).argmax() for _ in range(4000)]
    assert np.mean(first) == pytest.approx(0.75, abs=0.02)
    late = [scores.noisy(np.array([1.0, 3.0]), rng, 100.0).argmax() for _ in range(100)]
    assert all(late)


def test_beta_grows_exponentially_from_1_to_100_over_six_rounds():
    betas = [100 ** scores.progress(number) for number in (0, 1, 2, 6, 20)]
    np.testing.assert_allclose(betas, [1, 1, 100**0.2, 100, 100])


def test_two_thirds_are_split_equally_over_the_classes_that_are_predicted(make_case):
    case = make_case(geometry=grid((6, 5, 4)))
    padded = {
        key: np.pad(values, ((0, 0), (0, 1))) if key.endswith("classes") else values
        for key, values in case.scores.items()
    }
    table = Table.of([replace(case, scores=padded)])  # class 3 was added later
    rng = np.random.default_rng(0)
    rows = scores.class_stratified(table, rng, 6)
    assert rows.shape == (6, len(table))
    plain = scores.uncertainty(table, rng, 6)[0]
    ratios = rows[[2, 5]] / plain
    np.testing.assert_allclose(ratios[0], ratios[1])
    assert np.abs(np.log(ratios[0])).max() < 0.1
    means = table.values["classes"] / (table.values["band"] + scores.BAND_PRIOR)[:, None]
    order = [1, 0, 1, 0]  # round six begins with the second class
    for row, value in zip((0, 1, 3, 4), order, strict=True):
        assert np.abs(np.log(rows[row] / means[:, value])).max() < 0.1


def test_no_class_predicted_leaves_plain_uncertainty(make_case):
    case = make_case()
    empty = {k: v[:, :0] if k.endswith("classes") else v for k, v in case.scores.items()}
    table = Table.of([replace(case, scores=empty)])
    assert scores.class_stratified(table, np.random.default_rng(0), 1).shape == (1, len(table))


# ---- the table ----


def test_predictions_with_fewer_classes_and_other_features_are_ranked_together(make_case):
    old, new = make_case("old"), make_case("new", seed=1)
    later = {
        key: np.pad(v, ((0, 0), (0, 2))) if key.endswith(("classes", "features")) else v
        for key, v in new.scores.items()
    }
    table = Table.of([old, replace(new, scores=later)])
    assert table.values["classes"].shape == (len(table), 4)
    assert not table.values["classes"][table.case == 0, 2:].any()
    assert table.features.shape[1] in (5, 7)
    assert np.isnan(table.features).all(axis=1).sum() == len(table) / 2


def test_doubt_of_a_sick_discriminator_counts_nothing(make_case):
    well, ill = make_case("a"), replace(make_case("b"), critic=CriticHealth(auc=0.99))
    table = Table.of([well, ill])
    assert table.values["doubt"][table.case == 0].any()
    assert not table.values["doubt"][table.case == 1].any()


# ---- names ----


def test_additions_combine():
    chosen = strategy_named("uncertainty+power+cost+diverse+orthogonal")
    assert (chosen.base, chosen.per_second, chosen.planes) == ("uncertainty", True, orthogonal)
    assert chosen.novelty is at_first
    assert chosen.score is not scores.uncertainty


@pytest.mark.parametrize(
    "name",
    [
        "auto+speed",
        "equal+cost",
        "+cost",
        "",
        "cold-start+diverse",
        "core-set+power+cost",
        "core-set+diverse",
    ],
)
def test_names_that_mean_nothing_are_refused(name):
    with pytest.raises(SslsegError):
        strategy_named(name)
