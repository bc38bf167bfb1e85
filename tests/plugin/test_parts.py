"""The parts of the plugin that need no window of napari."""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel

from napari_sslseg import _samples
from napari_sslseg._reader import get_reader
from napari_sslseg.background import Background
from napari_sslseg.labels_adapter import changed_voxels, touched_slices
from napari_sslseg.layers import confidence_colormap, contrast_limits, uncertainty_colormap
from napari_sslseg.suggestions import SuggestionQueue, key_of
from napari_sslseg.summaries import CaseState, PredictionFacts, Worklist, held_out_dice
from napari_sslseg.thumbnails import draw_outlines, on_screen, outline, thumbnail
from napari_sslseg.widgets.case_table import COLUMNS, CaseTable
from napari_sslseg.widgets.curves import KEPT, CurvesWidget, Series, group_of
from napari_sslseg.widgets.parameters import ParameterForm, field
from napari_sslseg.widgets.status import ago
from napari_sslseg.widgets.train import duration
from sslseg.core.annotation import Annotation, SliceKey, SliceRecord, SliceState
from sslseg.core.config import MethodInfo, Parameter
from sslseg.core.errors import SslsegError
from sslseg.core.events import CriticJudged, StepReported
from sslseg.core.geometry import Geometry, Plane
from sslseg.core.prediction import CriticHealth
from sslseg.core.suggestion import Suggestion
from sslseg.core.titles import TITLES, title


def suggestion(number: int, plane: Plane = Plane.AXIAL) -> Suggestion:
    return Suggestion(case="a", plane=plane, slice=number, score=1.0, reason="because")


def record(index: int, *, validation: bool = False, state: str = "complete") -> SliceRecord:
    key = SliceKey(case="a", plane=Plane.AXIAL, index=index)
    return SliceRecord(
        key=key, state=SliceState(state), revision=1, time=0, author="x", validation=validation
    )


# ---- strokes ----


def test_changed_voxels_are_found_across_chunks():
    before = np.zeros((40, 3, 3), np.uint8)
    now = before.copy()
    now[2, 1, 0] = now[37, 2, 2] = 1
    assert changed_voxels(now, before).tolist() == [[2, 1, 0], [37, 2, 2]]
    assert changed_voxels(now, now).shape == (0, 3)


def test_a_change_is_filed_where_it_is_a_single_slice():
    axial = np.array([[1, 2, 7], [4, 5, 7]])
    assert touched_slices(axial, Plane.AXIAL) == (Plane.AXIAL, [7])
    assert touched_slices(axial, Plane.CORONAL) == (Plane.AXIAL, [7])
    solid = np.array([[1, 2, 7], [4, 5, 8]])
    assert touched_slices(solid, Plane.CORONAL) == (Plane.CORONAL, [2, 5])


# ---- suggestions ----


def test_the_queue_goes_round_and_forgets_what_was_labelled():
    queue = SuggestionQueue()
    assert queue.advance() is None
    first, second, third = (suggestion(n) for n in (1, 2, 3))
    queue.set((first, second, third))
    assert [queue.advance() for _ in range(2)] == [first, second]
    queue.drop(key_of(second))
    assert queue.items == (first, third)
    assert queue.advance() == third
    assert queue.advance() == first


def test_dropping_another_keeps_the_place():
    queue = SuggestionQueue()
    first, second, third = (suggestion(n) for n in (1, 2, 3))
    queue.set((first, second, third))
    queue.visit(second)
    queue.drop(key_of(first))
    assert queue.advance() == third


# ---- worklist ----


def test_the_worklist_counts_slices_and_goes_to_the_next_undone():
    worklist = Worklist()
    worklist.reset(dict.fromkeys("abc", ""), [record(1), record(2, state="none")])
    assert worklist.summaries["a"].slices == 1
    assert worklist.summaries["a"].state is CaseState.STARTED
    worklist.mark_done({"b"})
    assert worklist.next_undone("a") == "c"
    assert worklist.next_undone("c") == "a"
    worklist.note(PredictionFacts("a", uncertainty=0.25, dice=None))
    worklist.recount("a", [record(1), record(5, validation=True)])
    assert (worklist.summaries["a"].uncertainty, worklist.summaries["a"].validation) == (0.25, True)
    worklist.mark_done({"a", "b", "c"})
    assert worklist.next_undone("a") is None


def test_the_last_dice_stays_as_long_as_a_slice_is_held_out():
    """The last model of a run learns from held-out slices too; the one before was measured."""
    worklist = Worklist()
    seen = PredictionFacts("a", uncertainty=0.2, dice=None, saw_held_out=True)

    def dice(facts=None):
        if facts is not None:
            worklist.note(facts)
        return worklist.summaries["a"].dice

    worklist.reset({"a": ""}, [record(1), record(5, validation=True)])
    assert dice(seen) is None, "there was none"
    assert dice(PredictionFacts("a", uncertainty=0.3, dice=0.8)) == 0.8
    assert dice(seen) == 0.8
    assert worklist.summaries["a"].uncertainty == 0.2, "that is of the new one"
    assert dice(PredictionFacts("a", uncertainty=0.3, dice=None)) is None, "no class is on them"
    assert dice(PredictionFacts("a", uncertainty=0.3, dice=0.7)) == 0.7
    worklist.recount("a", [record(1), record(5, validation=True, state="none")])
    assert dice() is None, "the held-out slice was wiped"
    assert dice(seen) is None


def test_a_case_in_which_nothing_is_found_says_so_and_has_no_bar(qtbot):
    worklist, table = Worklist(), CaseTable()
    qtbot.addWidget(table)
    worklist.reset({"a": ""})

    def bar():
        table.set_value(worklist.summaries.values(), None)
        item = table.item(0, COLUMNS.index("Uncertainty"))
        return item.data(Qt.ItemDataRole.UserRole), item.toolTip()

    assert bar() == (None, ""), "not predicted"
    worklist.note(PredictionFacts("a", uncertainty=None, dice=None))
    value, tip = bar()
    assert value is None
    assert "nothing found" in tip
    worklist.note(PredictionFacts("a", uncertainty=0.25, dice=None))
    assert bar() == (0.25, "mean uncertainty 0.250")


def test_held_out_dice_by_hand():
    labels = np.zeros((4, 1, 2), np.uint8)
    labels[:, 0, 0] = (1, 1, 0, 0)
    said = np.zeros_like(labels)
    said[:, 0, 0] = (1, 0, 0, 0)
    annotation = Annotation(labels)
    held_out = [record(0, validation=True), record(1)]
    assert held_out_dice(said, annotation, held_out) == pytest.approx(2 / 3)
    assert held_out_dice(said, annotation, [record(0)]) is None
    said[3, 0, 0] = 2
    assert held_out_dice(said, annotation, held_out) == pytest.approx(2 / 3), "2 was never drawn"


# ---- pictures ----


def test_a_thumbnail_lies_as_the_viewer_shows_it():
    image = np.zeros((3, 2))  # X, Y of an axial slice
    image[2, 1] = 1.0  # right, front
    assert on_screen(image)[0, 0] == 1  # top left
    geometry = Geometry.of((3, 2, 1), np.diag([1.0, 3.0, 1.0, 1.0]))
    picture = thumbnail(image, geometry, Plane.AXIAL, (0, 1), 6)
    assert picture.shape == (6, 6, 3)
    # Six mm high and three wide: half of the square stays black at the sides.
    assert picture[0, :, 0].tolist() == [0, 255, 0, 0, 0, 0] or picture[0, 1:3, 0].max() == 255
    assert picture[3:, :, 0].max() == 0


def test_outlines_have_the_colour_of_their_class():
    assert outline(np.ones((3, 3), bool)).sum() == 8
    geometry = Geometry.of((8, 8, 1), np.eye(4))
    labels = np.zeros((8, 8), np.uint8)
    labels[2:6, 2:6] = 2
    picture = np.zeros((8, 8, 3), np.uint8)
    draw_outlines(picture, labels, geometry, Plane.AXIAL, {2: (9, 8, 7)})
    assert (picture == (9, 8, 7)).all(axis=2).sum() == 12


# ---- layers ----


def test_maps_are_clear_where_there_is_nothing_to_see():
    assert uncertainty_colormap().map(np.array([0.0]))[0, 3] == 0
    assert uncertainty_colormap().map(np.array([1.0]))[0, 3] == 1
    alpha = confidence_colormap(0.4).map(np.array([0.1, 0.9]))[:, 3]
    assert alpha[0] > 0.8
    assert alpha[1] == 0


def test_contrast_of_a_constant_volume_is_a_range():
    low, high = contrast_limits(np.full((4, 4, 4), 7, np.int16))
    assert low < high


def test_contrast_looks_past_voxels_that_are_no_numbers():
    image = np.full((6, 6, 6), np.nan, np.float32)
    assert contrast_limits(image) == (0.0, 1.0)
    image[0] = np.inf
    image[1], image[2] = 3, 5
    assert contrast_limits(image) == (3.0, 5.0)


# ---- curves, form, words ----


def test_loss_terms_fall_into_three_groups():
    terms = ["supervised", "consistency", "adversarial", "critic", "critic_image", "pseudo"]
    groups = ["supervised", "unsupervised", "unsupervised", "critic", "critic", "unsupervised"]
    assert [group_of(term) for term in terms] == groups
    assert group_of("disagreement") == "", "a share, not a loss"


@pytest.fixture
def curves(qtbot):
    made = CurvesWidget()
    qtbot.addWidget(made)
    made.reset()
    return made


def step(number: int, **terms: float) -> StepReported:
    return StepReported(
        run="r",
        step=number,
        fraction=1,
        seconds=1,
        seconds_left=0,
        terms=terms,
        learning_rate=0.1,
    )


def test_how_often_critics_are_right_is_a_curve_of_its_own(curves):
    """Not added to their losses: the mean over critics."""
    curves.add_step(step(3, critic=0.6, critic_accuracy=0.9, critic_image_accuracy=0.7))
    assert curves.points("critic") == ([3], [pytest.approx(0.6)])
    assert curves.points("accuracy") == ([3], [pytest.approx(0.8)])


def test_the_critic_s_curve_is_the_mean_of_the_critics_own_losses(curves):
    """So that 0.69 and 0.1 can be read off it; one that only watches is not in every step."""
    curves.add_step(step(1, critic=0.7, critic_image=0.1, adversarial_unlabelled=5.0))
    curves.add_step(step(2, critic_image=0.3, adversarial_unlabelled=5.0))
    assert curves.points("critic") == ([1, 2], [pytest.approx(0.4), pytest.approx(0.5)])
    assert curves.points("unsupervised") == ([1, 2], [5.0, 5.0])
    curves.reset()
    curves.add_step(step(1, critic=0.7))
    assert curves.points("critic") == ([1], [0.7]), "of this run alone"


def test_disagreement_of_networks_is_in_no_loss(curves):
    curves.add_step(step(1, consistency=0.1, disagreement=0.9))
    assert curves.points("unsupervised") == ([1], [0.1])


def test_judgements_are_points_and_an_auc_is_one_where_it_was_measured(curves):
    """Held-out slices are learnt from in the end; then the last AUC stands, but is no new point."""
    health = CriticHealth(auc=0.81, auc_step=40, words="Usable.", accuracy_real=0.8)
    for number in (40, 80):
        found = health.model_copy(update={"accuracy_fake": number / 100})
        curves.add_judgement(CriticJudged(run="r", step=number, health=found))
    assert curves.points("auc") == ([40], [0.81])
    assert curves.points("real") == ([40, 80], [0.8, 0.8])
    assert curves.points("fake") == ([40, 80], [0.4, 0.8])
    assert curves.points("diversity") == ([], [])
    label = curves.findChild(QLabel, "judged")
    assert "AUC 0.81 (step 40)" in label.text()
    assert "diversity" not in label.text(), "no critic pushes"
    assert "Usable." in label.toolTip()


def test_a_long_curve_is_thinned():
    series = Series()
    for x in range(10 * KEPT):
        series.add(x, 1.0)
    assert KEPT / 2 <= len(series.x) <= KEPT
    assert series.x == sorted(series.x)


def test_the_form_returns_only_what_was_changed(qtbot):
    parameters = (
        Parameter(name="decay", type="float", default=0.99, help="h", minimum=0, maximum=1),
        Parameter(name="warm", type="bool", default=True, help="h"),
        Parameter(name="width", type="int", default=16, help="h", minimum=4, advanced=True),
        Parameter(name="kind", type="str", default="a", help="h", choices=("a", "b")),
    )
    form = ParameterForm()
    qtbot.addWidget(form)
    form.set_method(
        MethodInfo(name="m", family="f", summary="s", source="x", parameters=parameters)
    )
    assert form.value() == {}
    form.set_value({"decay": 0.95, "width": 32, "kind": "b"})
    assert form.value() == {"decay": 0.95, "width": 32, "kind": "b"}


def test_every_shipped_method_has_a_form_at_its_defaults(qtbot):
    from sslseg.core.catalogue import methods

    form = ParameterForm()
    qtbot.addWidget(form)
    for method in methods():
        form.set_method(method)
        assert form.value() == {}, method.name


def test_parameters_are_named_in_words_and_their_tips_name_them_for_the_command_line(qtbot):
    from sslseg.core.catalogue import methods, pretraining_methods

    for method in (*methods(), *pretraining_methods()):
        titles = [title(each.name) for each in method.parameters]
        assert len(set(titles)) == len(titles), method.name
        assert all(len(words) <= 26 and words[0].isupper() for words in titles), titles
    known = {
        each.name for method in (*methods(), *pretraining_methods()) for each in method.parameters
    }
    assert set(TITLES) <= known, "a title of a parameter that is gone"
    decay = next(each for each in methods()[0].parameters if each.name == "ema_decay")
    widget = field(decay)
    assert widget.label == "Slowness of the teacher"
    assert widget.tooltip.endswith("On the command line: --set ema_decay=0.99")


def test_times_in_words():
    assert (duration(7.4), duration(125)) == ("7 s", "2 min 05 s")
    assert (ago(2.9), ago(130), ago(7300)) == ("2 s", "2 min", "2 h")


# ---- background ----


def test_results_come_on_the_thread_that_drains_in_order():
    found: list[object] = []
    background = Background(found.append)
    background.submit(lambda: 1, found.append)
    background.submit(lambda: 1 // 0, found.append)
    background.submit(lambda: 3, found.append)
    while background.busy:
        background.drain()
    background.close()
    assert found[0] == 1
    assert isinstance(found[1], ZeroDivisionError)
    assert found[2] == 3


# ---- samples ----


@pytest.fixture
def archive(tmp_path: Path) -> tuple[str, str]:
    """A small archive of the same layout: its address and its checksum."""
    path = tmp_path / "served" / "Task04_Hippocampus.tar"
    path.parent.mkdir()
    with tarfile.open(path, "w") as tar:
        for name in ("imagesTr/hippocampus_001.nii.gz", "imagesTr/._hippocampus_001.nii.gz"):
            info = tarfile.TarInfo(f"Task04_Hippocampus/{name}")
            info.size = 4
            tar.addfile(info, io.BytesIO(b"scan"))
    return path.as_uri(), hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def test_hippocampus_is_fetched_once_and_checked(tmp_path, archive):
    url, md5 = archive
    (image,) = _samples.fetch_hippocampus(tmp_path / "cache", url, md5)
    assert image.read_bytes() == b"scan"
    again = _samples.fetch_hippocampus(tmp_path / "cache", "http://localhost:1/gone", md5)
    assert again == (image,)


def test_a_damaged_download_leaves_nothing(tmp_path, archive):
    url, _ = archive
    with pytest.raises(SslsegError, match="checksum"):
        _samples.fetch_hippocampus(tmp_path / "cache", url, "0" * 32)
    assert list((tmp_path / "cache").iterdir()) == []


def test_without_a_network_the_message_says_what_to_do(tmp_path):
    with pytest.raises(SslsegError, match="open the other sample"):
        _samples.fetch_hippocampus(tmp_path, "http://127.0.0.1:9/none.tar")


def test_the_checksum_is_the_one_that_monai_lists():
    datasets = pytest.importorskip("importlib.util").find_spec("monai")
    text = (Path(datasets.submodule_search_locations[0]) / "apps" / "datasets.py").read_text()
    assert _samples.MD5 in text
    assert _samples.HIPPOCAMPUS in text


def test_the_reader_takes_projects_and_samples_only():
    assert get_reader("somewhere/project.sqlite") is not None
    assert get_reader("sslseg://sample/generated") is not None
    assert get_reader("image.nii.gz") is None
    assert get_reader(["a", "b"]) is None
