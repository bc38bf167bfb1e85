from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from suggest_worlds import HEALTHY, flat_scores, grid

from sslseg.core.errors import SslsegError
from sslseg.core.geometry import Plane
from sslseg.core.prediction import CriticHealth
from sslseg.suggest.greedy import redundancy
from sslseg.suggest.selection import rank
from sslseg.suggest.strategies import STRATEGIES
from sslseg.suggest.views import CaseView

NAMES = ("posterior", "anterior")
PEAK = 17


def one_peak(name="a", mutual=0.0, annotated=None) -> CaseView:
    """Sure everywhere but in coronal slice 17, where class 2 is unsure."""
    geometry = grid()
    scores = {key: np.zeros_like(v) for key, v in flat_scores(geometry, 0).items()}
    for plane in Plane:
        scores[f"{plane}.band"] += 100
    scores["coronal.uncertainty"][PEAK] = 50
    scores["coronal.mutual"][PEAK] = 50 * mutual
    scores["coronal.doubt"][PEAK] = 50
    scores["coronal.classes"][PEAK] = (10, 40)
    return CaseView(name, geometry, annotated or {}, scores, None, HEALTHY)


def keys(found):
    return [(s.case, s.plane, s.slice) for s in found]


@pytest.mark.parametrize("strategy", ["auto", "uncertainty", "doubt"])
def test_peak_comes_first(strategy):
    best = rank([one_peak()], 1, strategy, classes=NAMES)[0]
    assert (best.plane, best.slice) == (Plane.CORONAL, PEAK)


def test_uncertainty_is_the_band_mean_with_its_prior():
    best = rank([one_peak()], 1, "uncertainty", classes=NAMES)[0]
    assert best.score == pytest.approx(50 / (100 + 100))


def test_reason_names_parties_class_and_distance():
    view = one_peak(mutual=0.5, annotated={Plane.CORONAL: (3, 29)})
    best = rank([view], 1, "uncertainty", classes=NAMES, parties="both networks")[0]
    assert (
        best.reason
        == "both networks disagree about anterior; 12 mm from the nearest labelled slice"
    )


def test_reason_without_disagreement_or_labels():
    best = rank([one_peak()], 1, "uncertainty", classes=NAMES)[0]
    assert best.reason == (
        "the model is unsure about anterior; nothing is labelled in this case yet"
    )


def test_auto_says_that_places_come_in_turn():
    found = rank([one_peak()], 40, classes=NAMES)
    reasons = {(s.plane, s.slice): s.reason.split(";")[0] for s in found}
    place = "next place along the structure: "
    assert reasons.pop((Plane.CORONAL, PEAK)) == f"{place}the model is unsure about anterior"
    assert set(reasons.values()) == {f"{place}the model is sure here"}


def test_reason_of_doubt():
    best = rank([one_peak()], 1, "doubt", classes=NAMES)[0]
    assert best.reason.startswith("the discriminator doubts the prediction of anterior")


def test_redundancy_by_hand():
    one_sigma = 1 - np.exp(-0.5)
    found = redundancy(np.array([0.0, 2.0, np.inf]), np.array([10, 10, 10]), np.ones(3))
    np.testing.assert_allclose(found, [0, one_sigma, 1])
    # Long stacks: 6 slices of 1 mm or more, but 6 mm of thinner ones.
    far = redundancy(np.array([6.0, 6.0, 20.0]), np.full(3, 300), np.array([1.0, 5.0, 0.3]))
    np.testing.assert_allclose(far, one_sigma)


def test_a_batch_spreads_over_cases():
    found = rank([one_peak("a"), one_peak("b")], 2, classes=NAMES)
    assert {s.case for s in found} == {"a", "b"}


def test_used_planes_are_mildly_preferred(make_case):
    view = one_peak()
    scores = dict(view.scores)
    scores["axial.uncertainty"] = scores["axial.uncertainty"].copy()
    scores["axial.uncertainty"][5] = 48
    plain = replace(view, scores=scores)
    assert rank([plain], 1, "uncertainty", classes=NAMES)[0].plane is Plane.CORONAL
    habit = make_case("b", annotated={Plane.AXIAL: (1,)}, scored=False)
    assert rank([plain, habit], 1, "uncertainty", classes=NAMES)[0].plane is Plane.AXIAL


def test_only_the_fine_plane_of_thick_slices():
    geometry = grid((40, 40, 12), (0.5, 0.5, 5.0))
    view = CaseView("a", geometry, {}, flat_scores(geometry, 1), None, HEALTHY)
    for strategy in STRATEGIES:
        assert {s.plane for s in rank([view], 5, strategy, classes=NAMES)} == {Plane.AXIAL}


def test_cold_start_without_any_model(make_case):
    cases = [make_case(str(n), scored=False) for n in range(5)]
    found = rank(cases, 6, classes=NAMES)
    assert len({s.case for s in found}) == 2
    assert len({s.plane for s in found}) == 1
    reasons = [s.reason.split(";")[0] for s in found]
    assert reasons == ["a new case", *["a further view of this case"] * 2] * 2
    assert [s.score for s in found] == sorted((s.score for s in found), reverse=True)


def test_random_foreground_draws_predicted_slices_only(make_case):
    case = make_case()
    found = rank([case], 40, "random-foreground", classes=NAMES)
    assert all(case.scores[f"{s.plane}.foreground"][s.slice] > 0 for s in found[:20])


def test_class_stratified_takes_turns():
    geometry = grid((40, 30, 20))
    scores = {key: np.zeros_like(v) for key, v in flat_scores(geometry, 0).items()}
    for plane in Plane:
        scores[f"{plane}.band"] += 100
    for index, masses in ((3, (50, 0)), (20, (0, 50))):
        scores["sagittal.classes"][index] = masses
    scores["sagittal.uncertainty"][35] = 50
    view = CaseView("a", geometry, {}, scores, None, HEALTHY)
    found = rank([view], 3, "class-stratified", classes=NAMES, round_number=5)
    assert [s.slice for s in found] == [3, 20, 35]
    assert [s.reason.split(";")[0] for s in found] == [
        "the turn of posterior: the model is unsure about it",
        "the turn of anterior: the model is unsure about it",
        "the model is unsure about this slice",
    ]


def test_class_stratified_names_the_class_whose_turn_it_was_not_the_largest():
    view = one_peak()  # posterior 10, anterior 40
    found = rank([view], 2, "class-stratified", classes=NAMES, round_number=6)
    assert found[0].slice == PEAK
    assert found[0].reason.startswith("the turn of anterior: the model is unsure about it")
    assert found[1].reason.startswith("the turn of posterior: the model is sure here")
    first = rank([view], 1, "class-stratified", classes=NAMES, round_number=7)[0]
    assert first.slice == PEAK
    assert first.reason.startswith("the turn of posterior: the model is unsure about it")


def test_doubt_needs_a_healthy_critic(make_case):
    ill = replace(make_case(), critic=CriticHealth(auc=0.99, words="AUC 0.99: too sharp."))
    with pytest.raises(SslsegError, match=r"AUC 0\.99: too sharp"):
        rank([ill], 1, "doubt", classes=NAMES)


def test_one_healthy_critic_is_enough_and_its_slices_come_first(make_case):
    ill = replace(make_case("ill"), critic=CriticHealth(auc=0.99, words="AUC 0.99: too sharp."))
    found = rank([ill, make_case("well", seed=1)], 5, "doubt", classes=NAMES)
    assert {s.case for s in found} == {"well"}


def test_a_suggestion_points_at_its_region():
    view = one_peak()
    scores = dict(view.scores)
    boxes = np.zeros((30, 4), np.int32)
    boxes[PEAK] = (3, 8, 10, 12)
    found = rank([replace(view, scores={**scores, "coronal.box": boxes})], 1, classes=NAMES)
    assert found[0].box == (3, 8, 10, 12)
    assert rank([replace(view, scores=None)], 1, classes=NAMES)[0].box is None
    bare = {key: v for key, v in scores.items() if not key.endswith(("box", "features"))}
    assert rank([replace(view, scores=bare)], 1, classes=NAMES)[0].box is None


def test_cost_prefers_what_is_quick_to_draw_and_tells_both_scores():
    view = one_peak()
    scores = {key: values.copy() for key, values in view.scores.items()}
    scores["coronal.uncertainty"][8] = 40
    scores["coronal.boundary"][[8, PEAK]] = 0, 200
    view = replace(view, scores=scores)
    assert rank([view], 1, "uncertainty", classes=NAMES)[0].slice == PEAK
    best = rank([view], 1, "uncertainty+cost", classes=NAMES)[0]
    assert best.slice == 8
    assert best.score == pytest.approx(40 / 200 / 8, rel=1e-2)  # the end of the volume is far
    assert best.reason.endswith("about 8 s to draw, score 0.2 without that")


def looks(case, kinds):
    """The case with features that only tell the kind of each slice."""
    features = {
        f"{plane}.features": np.array(
            [[kinds(plane, i)] for i in range(case.geometry.slices(plane))]
        )
        for plane in Plane
    }
    return replace(case, scores={**case.scores, **features})


def test_core_set_takes_one_of_each_kind_first(make_case):
    def kind(plane, index):
        return 10.0 * plane.axis + (3.0 if index > 10 else 0.0)

    case = looks(make_case(annotated=dict.fromkeys(Plane, (2,))), kind)
    found = rank([case], 3, "core-set", classes=NAMES)
    assert {kind(s.plane, s.slice) for s in found} == {3.0, 13.0, 23.0}
    assert found[0].plane is Plane.SAGITTAL
    assert found[0].reason.startswith("unlike the slices labelled or listed so far")


def test_core_set_without_features_says_what_to_do(make_case):
    case = make_case()
    bare = {key: v for key, v in case.scores.items() if not key.endswith("features")}
    with pytest.raises(SslsegError, match="Predict the cases again"):
        rank([replace(case, scores=bare)], 1, "core-set", classes=NAMES)


def test_diverse_turns_from_what_looks_labelled_in_the_first_rounds_only(make_case):
    def kind(plane, index):
        return 1.0 if plane is Plane.CORONAL and index >= PEAK - 2 else 0.0

    view = looks(one_peak(annotated={Plane.CORONAL: (27,)}), kind)
    view.scores["coronal.uncertainty"][8] = 30
    strategy = "uncertainty+diverse"
    first, late = (rank([view], 1, strategy, classes=NAMES, round_number=n)[0] for n in (1, 6))
    assert (first.slice, late.slice) == (8, PEAK)


def test_a_batch_is_spread_over_cases_planes_and_slices(make_case):
    cases = [make_case(str(n), seed=n) for n in range(4)]
    found = rank(cases, 12, classes=NAMES)
    assert {s.case for s in found} == {"0", "1", "2", "3"}
    for case in "0123":
        for plane in Plane:
            own = sorted(s.slice for s in found if (s.case, s.plane) == (case, plane))
            assert all(b - a > 2 for a, b in pairwise(own))


def test_unknown_strategy_lists_all(make_case):
    with pytest.raises(SslsegError, match="random-foreground"):
        rank([make_case()], 1, "best", classes=NAMES)


@settings(max_examples=40, deadline=None)
@given(
    strategy=st.sampled_from([*sorted(STRATEGIES), "auto+diverse+cost", "uncertainty+power"]),
    seed=st.integers(0, 100),
    count=st.integers(0, 15),
    taken=st.lists(st.integers(0, 19), max_size=6),
    undrawn=st.sampled_from([(), ("anterior",)]),
)
def test_never_annotated_never_adjacent_and_the_same_again(strategy, seed, count, taken, undrawn):
    geometry = grid((40, 30, 20))
    cases = [
        CaseView(name, geometry, {Plane.AXIAL: tuple(sorted(set(taken)))}, scores, None, HEALTHY)
        for name, scores in (("a", flat_scores(geometry, 1)), ("b", flat_scores(geometry, 2)))
    ]
    asked = {"classes": NAMES, "seed": seed, "undrawn": undrawn}
    found = rank(cases, count, strategy, **asked)
    assert found == rank(cases, count, strategy, **asked)
    assert len(set(keys(found))) == len(found) == count
    for place, s in enumerate(found):
        done = set(cases["ab".index(s.case)].annotated.get(s.plane, ()))
        assert s.slice not in done
        done |= {t.slice for t in found[:place] if (t.case, t.plane) == (s.case, s.plane)}
        assert not {s.slice - 1, s.slice + 1} & done


@pytest.mark.parametrize("strategy", ["uncertainty", "random-foreground", "auto"])
def test_once_the_plane_in_use_is_used_up_the_best_of_the_others_follow(make_case, strategy):
    """Coronal slices in every second place; only one axial slice shows anything."""
    case = make_case(annotated={Plane.CORONAL: tuple(range(0, 30, 2))})
    scores = {key: values.copy() for key, values in case.scores.items()}
    for name in ("uncertainty", "mutual", "foreground", "classes"):
        for plane in (Plane.AXIAL, Plane.SAGITTAL):
            scores[f"{plane}.{name}"][:] = 0
        scores[f"axial.{name}"][9] = 30
    views = [replace(case, scores=scores)]
    found = [rank(views, 1, strategy, classes=NAMES, seed=seed)[0] for seed in range(5)]
    assert len(set(keys(found))) == 1, "no draw among equals"
    if strategy != "auto":  # whose places count more than scores
        assert (found[0].plane, found[0].slice) == (Plane.AXIAL, 9)


def test_while_the_plane_in_use_has_slices_left_others_wait(make_case):
    """Though no slice of it has a score."""
    view = one_peak(annotated={Plane.AXIAL: (3,)})
    found = rank([view], 5, "uncertainty", classes=NAMES)
    assert {s.plane for s in found} == {Plane.AXIAL}


def test_adjacent_slices_only_when_nothing_else_is_left(make_case):
    case = make_case(geometry=grid((3, 3, 3)))
    assert len(rank([case], 9, classes=NAMES)) == 9
    assert len(rank([case], 50, classes=NAMES)) == 9


def test_cold_start_says_what_the_images_are_like(make_case):
    cases = [make_case(n, scored=False, features=np.array([x])) for n, x in (("a", 0), ("b", 9))]
    reasons = [(s.case, s.reason.split(";")[0]) for s in rank(cases, 4, classes=NAMES)]
    assert reasons == [
        ("a", "a typical case to begin with"),
        ("a", "a further view of this case"),
        ("a", "a further view of this case"),
        ("b", "unlike the cases labelled or listed so far"),
    ]


@pytest.mark.parametrize("strategy", ["auto", "uncertainty", "disagreement"])
def test_the_ends_of_a_volume_do_not_win_by_being_ends(strategy):
    view = one_peak(mutual=0.5)
    scores = {key: values.copy() for key, values in view.scores.items()}
    for name in ("uncertainty", "mutual", "classes"):
        scores[f"coronal.{name}"][[0, -1]] = 2 * scores[f"coronal.{name}"][PEAK]
    best = rank([replace(view, scores=scores)], 1, strategy, classes=NAMES)[0]
    assert best.slice == PEAK


def test_auto_prefers_the_larger_predicted_object():
    """Two cases, as unsure at the same place of an object; one is four times as large."""
    views = []
    for name, size in (("small", 20), ("large", 80)):
        scores = {key: values.copy() for key, values in one_peak().scores.items()}
        scores["coronal.foreground"][PEAK - 5 : PEAK + 6] = size
        views.append(replace(one_peak(name), scores=scores))
    assert keys(rank(views, 1, classes=NAMES)) == [("large", Plane.CORONAL, PEAK)]


# ---- a class that nobody drew ----


def test_every_second_suggestion_looks_for_a_class_that_nobody_drew(make_case):
    cases = [make_case(str(n), seed=n, annotated={Plane.AXIAL: (9,)}) for n in range(3)]
    found = rank([*cases, make_case("new", seed=7)], 6, classes=NAMES, undrawn=("anterior",))
    looking = [s.reason.startswith("nothing is drawn as anterior yet") for s in found]
    assert looking == [True, False] * 3
    assert found[0].case == "new"


def test_baselines_do_not_look_for_it(make_case):
    cases = [make_case(n) for n in "ab"]
    for strategy in ("equal", "random", "random-foreground"):
        asked = {"classes": NAMES, "undrawn": ("anterior",)}
        found = rank(cases, 6, strategy, **asked)
        assert found == rank(cases, 6, strategy, classes=NAMES)


def test_a_cold_start_says_what_is_looked_for(make_case):
    cases = [make_case(n, scored=False) for n in "ab"]
    reasons = {s.reason.split(":")[0] for s in rank(cases, 4, classes=NAMES, undrawn=NAMES)}
    assert reasons == {"nothing is drawn as posterior or anterior yet"}


# ---- draws ----


def drawn(cases, strategy, chosen, count=1500):
    """Return how often a plane comes first."""
    firsts = [rank(cases, 1, strategy, classes=NAMES, seed=seed)[0] for seed in range(count)]
    return np.mean([first.plane is chosen for first in firsts])


def test_draws_are_in_proportion_to_the_foreground_and_the_factor_of_its_plane(make_case):
    """Axial 10 voxels, coronal 30 in a plane used half as much: 10 / (10 + 0.5 * 30)."""
    view = one_peak()
    scores = {key: values.copy() for key, values in view.scores.items()}
    scores["axial.foreground"][5] = 10
    scores["coronal.foreground"][PEAK] = 30
    cases = [
        replace(view, scores=scores),
        make_case("b", scored=False, annotated={Plane.AXIAL: (1, 4), Plane.CORONAL: (3,)}),
    ]
    wanted = 10 / 25
    error = 4 * np.sqrt(wanted * (1 - wanted) / 1500)
    assert drawn(cases, "random-foreground", Plane.AXIAL) == pytest.approx(wanted, abs=error)


def test_the_cost_divides_the_odds_of_a_draw(make_case):
    """Equal foreground, 8 s against 8 + 0.15 * 160 = 32 s: drawn four times as often."""
    view = one_peak()
    scores = {key: values.copy() for key, values in view.scores.items()}
    scores["axial.foreground"][5] = scores["coronal.foreground"][PEAK] = 30
    scores["coronal.boundary"][PEAK] = 160
    scores["axial.boundary"][5] = 0
    error = 4 * np.sqrt(0.8 * 0.2 / 1500)
    found = drawn([replace(view, scores=scores)], "random-foreground+cost", Plane.AXIAL)
    assert found == pytest.approx(0.8, abs=error)


def test_any_slice_is_as_likely_but_for_the_factor_of_its_plane(make_case):
    """40, 30 and 20 slices, the others used half as much: 40 / (40 + 0.5 * 50)."""
    used = {Plane.SAGITTAL: (1, 4), Plane.CORONAL: (2,), Plane.AXIAL: (3,)}
    cases = [make_case("a"), make_case("b", scored=False, annotated=used)]
    wanted = 40 / 65
    error = 4 * np.sqrt(wanted * (1 - wanted) / 1500)
    assert drawn(cases, "random", Plane.SAGITTAL) == pytest.approx(wanted, abs=error)


@pytest.mark.parametrize("strategy", ["auto", "random-foreground", "equal", "cold-start"])
def test_nothing_is_suggested_of_a_case_that_is_done(make_case, strategy):
    cases = [replace(make_case("done"), done=True), make_case("open", seed=1)]
    cases.append(replace(make_case("bare", scored=False), done=True))
    found = rank(cases, 12, strategy, classes=NAMES)
    assert {each.case for each in found} == {"open"}
    assert len(found) == 12
    assert rank([replace(case, done=True) for case in cases], 12, strategy, classes=NAMES) == []


@pytest.mark.parametrize("scored", [True, False])
def test_a_long_list_begins_as_a_short_one(make_case, scored):
    """The first page is as spread over places and kinds of cases as if there were no other."""
    kinds = np.random.default_rng(0).normal(size=(15, 4))
    cases = [
        make_case(str(number), seed=number, scored=scored, features=kinds[number])
        for number in range(15)
    ]
    short, long = (rank(cases, count, classes=NAMES) for count in (12, 48))
    assert [(s.case, s.slice) for s in long[:12]] == [(s.case, s.slice) for s in short]
