from __future__ import annotations

import errno
import os
import time

import numpy as np
import pytest
from engine_worlds import record, write_image

from sslseg.core.annotation import IGNORE
from sslseg.core.control import Control
from sslseg.core.errors import Cancelled, SslsegError
from sslseg.data import preprocessing
from sslseg.data.preprocessing import (
    cache_file,
    grid_shape,
    in_hounsfield,
    load_prepared,
    normalise,
    prepare_all,
    resample,
    resample_target,
)
from sslseg.storage.arrays import sha256
from sslseg.storage.images import describe
from sslseg.storage.store import ProjectStore

OWN = (None, None, None)


def test_normalised_by_hand():
    """Half 0, half 10: mean 5, deviation 5, nothing to clip."""
    data = np.zeros((10, 10, 10), np.int16)
    data[5:] = 10
    found = normalise(data)
    assert found.dtype == np.float32
    assert np.array_equal(found, np.where(data > 0, 1.0, -1.0))


@pytest.mark.parametrize("value", [0.0, 7.0, 1000.1, -1e-9, 1e30])
def test_constant_volumes_are_zeros(value):
    assert not normalise(np.full((12, 13, 14), value, np.float32)).any()


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_scale_does_not_matter(scale):
    data = np.random.default_rng(0).normal(size=(12, 12, 12))
    found = normalise(data * scale)
    assert np.allclose(found, normalise(data), atol=1e-3)
    assert found.std() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_voxels_that_are_not_finite_are_the_lower_bound(bad):
    data = np.random.default_rng(0).normal(size=(12, 12, 12))
    data[0, 0, 0] = bad
    found = normalise(data)
    assert np.isfinite(found).all()
    assert found[0, 0, 0] == found.min()


def test_nothing_finite_is_zeros():
    assert not normalise(np.full((4, 4, 4), np.nan)).any()


@pytest.mark.parametrize("outlier", [1e30, -1e30])
def test_outliers_do_not_set_the_scale(outlier):
    data = np.random.default_rng(0).normal(size=(12, 12, 12))
    data[0, 0, 0] = outlier
    found = normalise(data)
    assert found.std() == pytest.approx(1, abs=0.01)
    assert abs(found).max() < 10


def test_a_large_volume_is_summed_exactly(monkeypatch):
    """Far from zero float32 sums lose the deviation; and the parts need not divide the whole."""
    monkeypatch.setattr(preprocessing, "PART", 100)
    data = np.random.default_rng(0).normal(30_000, 3, (9, 9, 9)).astype(np.float32)
    clipped = np.clip(data, *np.percentile(data, preprocessing.CLIP)).astype(np.float64)
    by_hand = (clipped - clipped.mean()) / clipped.std()
    assert np.allclose(normalise(data), by_hand, atol=2e-3)


def test_the_given_intensities_stay():
    data = np.random.default_rng(0).normal(size=(5, 5, 5)).astype(np.float32)
    before = data.copy()
    normalise(data)
    assert np.array_equal(data, before)


def test_an_axial_slice_of_the_cache_is_in_one_piece(tmp_path):
    with ProjectStore.create(tmp_path / "p", ["one"]) as store:
        case = store.add_case(describe(write_image(tmp_path / "a.nii")))
        image = load_prepared(store, case, OWN).image
    assert isinstance(image, np.memmap)
    assert image[:, :, 3].flags.f_contiguous


def test_air_around_a_patient_does_not_set_the_scale_of_ct():
    rng = np.random.default_rng(0)
    body = rng.normal(40, 20, (10, 10, 10))
    scan = np.full((20, 10, 10), -1000.0)
    scan[10:] = body
    found = normalise(scan, "CT")
    alone = normalise(body)
    assert np.allclose(np.maximum(found[10:], alone.min()), alone, atol=1e-5)
    assert (found[:10] == found.min()).all()
    assert np.array_equal(normalise(scan), found), "it is taken for CT by itself"


def test_grid_shape():
    case = record(shape=(10, 20, 5), spacing=(1.0, 0.5, 4.0))
    assert grid_shape(case, OWN) == (10, 20, 5)
    assert grid_shape(case, (2.0, 1.0, None)) == (5, 10, 5)
    assert grid_shape(case, (100.0, 100.0, 100.0)) == (1, 1, 1)


def test_resampling_keeps_a_ramp_and_its_mean():
    ramp = np.arange(8, dtype=np.float32)[:, None, None] * np.ones((8, 3, 4), np.float32)
    finer = resample(ramp, (16, 3, 4))
    assert finer[4:12, 0, 0] == pytest.approx(np.arange(4, 12) / 2 - 0.25, abs=1e-5)
    assert resample(ramp, (4, 3, 4)).mean() == pytest.approx(3.5, abs=0.05)
    assert resample(ramp, ramp.shape) is not None
    assert np.array_equal(resample(ramp, ramp.shape), ramp)


@pytest.mark.parametrize("index", range(12))
def test_a_thin_annotated_slice_survives_a_coarser_grid(index):
    """Every slice number, also those that nearest-neighbour sampling would skip."""
    target = np.full((6, 12, 6), IGNORE, np.int16)
    target[:, index] = 1
    target[:3, index] = 2
    found = resample_target(target, (6, 5, 3))
    rows = np.flatnonzero((found != IGNORE).any((0, 2)))
    assert rows.tolist() == [min(int((index + 0.5) * 5 / 12), 4)]
    assert (found[:3, rows[0]] == 2).all()
    assert (found[3:, rows[0]] == 1).all()


def test_a_finer_grid_repeats_nothing_but_the_slice():
    target = np.full((4, 3, 4), IGNORE, np.int16)
    target[:, 1] = 1
    found = resample_target(target, (4, 6, 8))
    assert (found[:, 2:4] == 1).all()
    assert (found[:, :2] == IGNORE).all()
    assert (found[:, 4:] == IGNORE).all()


@pytest.fixture
def store(tmp_path):
    with ProjectStore.create(tmp_path / "p", ["one"]) as made:
        for name in ("a", "b"):
            made.add_case(describe(write_image(tmp_path / f"{name}.nii.gz")))
        yield made


def test_a_prepared_case_is_read_again(store, tmp_path):
    first = load_prepared(store, store.case("a"), OWN)
    assert first.image.dtype == np.float16
    (tmp_path / "a.nii.gz").rename(tmp_path / "gone")
    again = load_prepared(store, store.case("a"), OWN)
    assert np.array_equal(first.image, again.image)


@pytest.mark.parametrize(
    "damage",
    [lambda data: b"", lambda data: data[: len(data) // 2], lambda data: b"x" * len(data)],
    ids=["empty", "cut short", "other bytes"],
)
def test_a_damaged_cache_is_made_anew(store, damage):
    case = store.case("a")
    sound = np.array(load_prepared(store, case, OWN).image)
    path = cache_file(store.path, case, OWN)
    data = path.read_bytes()
    path.write_bytes(damage(data))
    assert np.array_equal(load_prepared(store, case, OWN).image, sound)
    assert path.read_bytes() == data


def test_another_grid_or_source_is_another_file(store):
    case = store.case("a")
    other = case.model_copy(update={"sha256": "0"})
    ct = case.model_copy(update={"modality": "CT"})
    files = {cache_file(store.path, c, s) for c in (case, other, ct) for s in (OWN, (1, None, 2))}
    assert len(files) == 6


def test_preparing_reports_each_missing_case_and_can_be_stopped(store):
    control = Control()
    work = prepare_all(store, store.cases(), OWN, control)
    first = next(work)
    assert (first.done, first.total) == (1, 2)
    control.stop()
    with pytest.raises(Cancelled):
        next(work)
    assert cache_file(store.path, store.case("a"), OWN).exists()
    assert not cache_file(store.path, store.case("b"), OWN).exists()
    control.reset()
    assert [(e.done, e.total) for e in prepare_all(store, store.cases(), OWN, control)] == [(1, 1)]


@pytest.fixture
def reads(monkeypatch):
    """Which files are read through for their checksum."""
    seen = []

    def counted(path):
        seen.append(path)
        return sha256(path)

    monkeypatch.setattr(preprocessing, "sha256", counted)
    return seen


def settle(path):
    """Let a file look as if it had been written a minute ago."""
    past = time.time() - 60
    os.utime(path, (past, past))


def test_a_prepared_case_is_read_through_once_in_a_process(store, reads):
    case = store.case("a")
    load_prepared(store, case, OWN)
    path = cache_file(store.path, case, OWN)
    settle(path)
    reads.clear()
    for _ in range(3):
        load_prepared(store, case, OWN)
    assert reads == [path]


def test_a_file_that_changed_since_is_read_through_again(store, reads):
    case = store.case("a")
    sound = np.array(load_prepared(store, case, OWN).image)
    path = cache_file(store.path, case, OWN)
    settle(path)
    load_prepared(store, case, OWN)
    path.write_bytes(path.read_bytes()[:-2] + b"xy")
    reads.clear()
    assert np.array_equal(load_prepared(store, case, OWN).image, sound)
    assert reads, "the damage was noticed"


def test_reading_through_what_is_there_is_told_and_can_be_stopped(store, monkeypatch):
    control = Control()
    list(prepare_all(store, store.cases(), OWN, control))
    assert list(prepare_all(store, store.cases(), OWN, control)) == [], "nothing is told of a blink"
    monkeypatch.setattr(preprocessing, "TELL_SECONDS", -1.0)
    work = prepare_all(store, store.cases(), OWN, control)
    first = next(work)
    assert (first.task, first.done, first.total) == ("Checking volumes", 1, 2)
    control.stop()
    with pytest.raises(Cancelled):
        next(work)


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE])
def test_too_many_open_files_are_no_damage(store, monkeypatch, number):
    case = store.case("a")
    load_prepared(store, case, OWN)
    path = cache_file(store.path, case, OWN)
    data = path.read_bytes()

    def refuse(*args, **kwargs):
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(preprocessing.np, "load", refuse)
    monkeypatch.setattr("sslseg.storage.sources.read_volume", None)
    with pytest.raises(SslsegError, match="ulimit"):
        load_prepared(store, case, OWN)
    assert path.read_bytes() == data


# ---- CT that does not say so ----


def ct(rng=None) -> np.ndarray:
    """A patient of soft tissue in a third of the volume, air around."""
    rng = rng or np.random.default_rng(0)
    data = np.full((30, 20, 20), -1000, np.int16)
    data[10:20] = rng.integers(-100, 200, (10, 20, 20))
    return data


def test_a_volume_with_air_is_taken_for_ct_resampled_or_not():
    assert in_hounsfield(ct())
    assert in_hounsfield(ct() * 0.999)
    assert np.array_equal(normalise(ct()), normalise(ct(), "CT"))
    assert normalise(ct())[10:20].std() == pytest.approx(1, abs=0.05), "air sets no scale"


def test_a_lung_differs_from_the_air_around_the_patient():
    data = ct()
    data[12:14], data[0] = -800, -3024
    values = normalise(data)
    assert values[13, 0, 0] > values[5, 0, 0] + 0.5
    assert values[0, 0, 0] == values[5, 0, 0], "the void beyond the scanner's field is air"


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(ct() + 1000, id="MR, no number below 0"),
        pytest.param(ct() / 7.0, id="nothing as light as air"),
        pytest.param(ct()[10:20], id="no air"),
        pytest.param(np.where(ct() < -500, -4096, ct()), id="a phase image"),
    ],
)
def test_other_volumes_are_not(data):
    assert not in_hounsfield(data)
