"""Predictions and checkpoints are whole and as written, or refused."""

import errno
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sslseg.core.errors import SslsegError
from sslseg.core.prediction import (
    CriticHealth,
    Figures,
    Prediction,
    PredictionInfo,
    mean_uncertainty,
)
from sslseg.storage import checkpoints
from sslseg.storage.arrays import (
    FACTS,
    latest_prediction,
    load_array,
    load_figures,
    load_info,
    load_prediction,
    load_scores,
    save_prediction,
    seal,
    sha256,
    shrink_predictions,
    unseal,
    write_atomic,
)

SHAPE = (3, 4, 5)
SCORES = {"axial": np.linspace(0, 1, 5)}


def prediction(version: str = "v1", time: float = 1.0, confidence: bool = True) -> Prediction:
    random = np.random.default_rng(0)
    one = random.random((2, *SHAPE)).astype(np.float16)
    return Prediction(
        labels=one.argmax(0).astype(np.uint8),
        probability=one,
        uncertainty=one[0],
        mutual_information=one[1],
        confidence=one[0] if confidence else None,
        info=PredictionInfo(
            case="head",
            version=version,
            run="r",
            method="mean-teacher",
            step=3,
            time=time,
            classes=("a",),
            critic=CriticHealth(auc=0.8, healthy=True, words="fine"),
        ),
    )


@pytest.mark.parametrize("confidence", [True, False])
def test_a_prediction_comes_back(tmp_path: Path, confidence: bool) -> None:
    written = prediction(confidence=confidence)
    folder = save_prediction(tmp_path, written, SCORES)
    assert folder == tmp_path / "predictions" / "head" / "v1"
    assert latest_prediction(tmp_path, "head") == folder
    read = load_prediction(folder)
    assert read.info == written.info == load_info(folder)
    for name in ("labels", "uncertainty", "mutual_information"):
        assert np.array_equal(getattr(read, name), getattr(written, name))
        assert getattr(read, name).dtype == getattr(written, name).dtype
        assert np.array_equal(load_array(folder, name), getattr(written, name))
    assert (read.confidence is not None) is confidence
    assert np.array_equal(load_scores(folder)["axial"], SCORES["axial"])


def test_the_newest_two_versions_are_kept(tmp_path: Path) -> None:
    for number, version in enumerate(["b", "a", "c"]):
        save_prediction(tmp_path, prediction(version, float(number)), SCORES)
        latest = latest_prediction(tmp_path, "head")
        assert latest is not None
        assert latest.name == version
    kept = sorted(path.name for path in (tmp_path / "predictions" / "head").iterdir())
    assert kept == ["a", "c"]
    assert latest_prediction(tmp_path, "tail") is None


def test_a_version_can_be_written_again(tmp_path: Path) -> None:
    save_prediction(tmp_path, prediction(), SCORES)
    folder = save_prediction(tmp_path, prediction(confidence=False), SCORES)
    assert load_prediction(folder).confidence is None


def test_one_bit_in_any_file_of_a_prediction_is_noticed(tmp_path: Path) -> None:
    folder = save_prediction(tmp_path, prediction(), SCORES)
    original = {path: path.read_bytes() for path in folder.iterdir()}
    random = np.random.default_rng(0)
    for path, data in original.items():
        places = {0, len(data) - 1, *random.integers(len(data), size=20).tolist()}
        for place in places:
            flipped = bytearray(data)
            flipped[place] ^= 1 << int(random.integers(8))
            path.write_bytes(flipped)
            assert not reads_unharmed(folder, path) or json_says_the_same(path, data)
        path.write_bytes(data)
    load_prediction(folder)


def reads_unharmed(folder: Path, path: Path) -> bool:
    try:
        load_scores(folder) if path.suffix == ".npz" else load_prediction(folder)
    except SslsegError:
        return False
    return True


def json_says_the_same(path: Path, data: bytes) -> bool:
    """A space that became another blank changes nothing."""
    return path.suffix == ".json" and unseal(path.read_bytes()) == unseal(data)


def test_a_cut_or_missing_file_is_noticed(tmp_path: Path) -> None:
    folder = save_prediction(tmp_path, prediction(), SCORES)
    for path in sorted(folder.iterdir()):
        data = path.read_bytes()
        for keep in (0, 1, len(data) // 2, len(data) - 1):
            path.write_bytes(data[:keep])
            assert not reads_unharmed(folder, path)
        path.unlink()
        assert not reads_unharmed(folder, path)
        path.write_bytes(data)


def test_swapped_arrays_are_noticed(tmp_path: Path) -> None:
    folder = save_prediction(tmp_path, prediction(), SCORES)
    data = (folder / "uncertainty.npy").read_bytes()
    (folder / "uncertainty.npy").write_bytes((folder / "mutual_information.npy").read_bytes())
    (folder / "mutual_information.npy").write_bytes(data)
    with pytest.raises(SslsegError, match=r"uncertainty\.npy"):
        load_prediction(folder)


def test_a_sealed_file_knows_itself() -> None:
    facts = {"b": [1, 2.5, None], "a": {"x": "ü"}}
    assert unseal(seal(facts)) == facts
    for data in (b"{}", b"[]", b"", seal(facts).replace(b"2.5", b"2.6")):
        with pytest.raises(ValueError, match=r"sealed|checksum|Expecting"):
            unseal(data)


# ---- full disk ----


def full_disk(*_: object, **__: object) -> int:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("call", ["write", "replace", "fsync", "open"])
def test_a_full_disk_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    path = tmp_path / "a.json"
    write_atomic(path, b"old")
    with monkeypatch.context() as patch:
        patch.setattr(os, call, full_disk)
        with pytest.raises(SslsegError, match=r"No space left.*a\.json.*11 bytes of room"):
            write_atomic(path, b"new content")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
    write_atomic(path, b"new content")
    assert path.read_bytes() == b"new content"


def test_short_writes_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: whole(fd, data[:3]))
    write_atomic(tmp_path / "a", b"0123456789")
    assert (tmp_path / "a").read_bytes() == b"0123456789"


@pytest.mark.parametrize("call", ["write", "replace"])
def test_a_full_disk_leaves_the_old_prediction_and_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    folder = save_prediction(tmp_path, prediction(), SCORES)
    checkpoints.save(tmp_path / "run", 1, {"w": np.ones(3)}, {})
    with monkeypatch.context() as patch:
        patch.setattr(os, call, full_disk)
        with pytest.raises(SslsegError, match="No space left"):
            save_prediction(tmp_path, prediction("v2", 2.0), SCORES)
        with pytest.raises(SslsegError, match="No space left"):
            checkpoints.save(tmp_path / "run", 2, {"w": np.zeros(3)}, {})
    assert latest_prediction(tmp_path, "head") == folder
    assert list(folder.parent.iterdir()) == [folder]
    loaded = checkpoints.latest(tmp_path / "run")
    assert loaded is not None
    assert loaded[0]["w"].sum() == 3


# ---- checkpoints ----


def test_a_checkpoint_comes_back_with_every_dtype(tmp_path: Path) -> None:
    tensors = {
        "w": np.arange(6, dtype=np.float32).reshape(2, 3).T,
        "half": np.float16([0.5]),
        "count": np.array(7, dtype=np.int64),
        "on": np.array([True, False]),
    }
    facts = {"step": 5, "method": "ua-mt", "random": [1, 2**63], "none": None}
    path = checkpoints.save(tmp_path / "run", 5, tensors, facts)
    assert path.name == "checkpoint-000000005.safetensors"
    loaded = checkpoints.latest(tmp_path / "run")
    assert loaded is not None
    assert loaded[1] == facts
    for name, tensor in tensors.items():
        assert np.array_equal(loaded[0][name], tensor)
        assert loaded[0][name].dtype == tensor.dtype
        assert loaded[0][name].shape == tensor.shape


def test_tensors_of_torch_are_taken_without_importing_it(tmp_path: Path) -> None:
    class Tensor:
        def detach(self) -> "Tensor":
            return self

        def cpu(self) -> "Tensor":
            return self

        def numpy(self) -> np.ndarray:
            return np.full(2, 3.0)

    checkpoints.save(tmp_path, 1, {"w": Tensor()}, {})
    loaded = checkpoints.latest(tmp_path)
    assert loaded is not None
    assert loaded[0]["w"].tolist() == [3.0, 3.0]


def test_the_newest_two_checkpoints_are_kept(tmp_path: Path) -> None:
    assert checkpoints.latest(tmp_path) is None
    for step in (8, 9, 10, 1000):
        checkpoints.save(tmp_path, step, {"w": np.array([step])}, {})
    steps = sorted(int(p.stem.split("-")[1]) for p in tmp_path.glob("*.safetensors"))
    assert steps == [10, 1000]
    assert len(list(tmp_path.iterdir())) == 4


def test_a_checkpoint_is_never_replaced_by_one_of_the_same_step(tmp_path: Path) -> None:
    first = checkpoints.save(tmp_path, 5, {"w": np.zeros(3), "m": np.ones(3)}, {})
    before = first.read_bytes()
    assert checkpoints.save(tmp_path, 5, {"w": np.zeros(3)}, {}) == first
    assert first.read_bytes() == before


@pytest.mark.parametrize("suffix", [".safetensors", ".json"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path: Path, suffix: str) -> None:
    for step in (1, 2):
        checkpoints.save(tmp_path, step, {"w": np.arange(50) + step}, {"step": step})
    path = tmp_path / f"checkpoint-000000002{suffix}"
    data = path.read_bytes()
    random = np.random.default_rng(0)
    for place in (0, len(data) - 1, *random.integers(len(data), size=40)):
        flipped = bytearray(data)
        flipped[place] ^= 1 << int(random.integers(8))
        path.write_bytes(flipped)
        assert latest_step(tmp_path) == 1 or json_says_the_same(path, data)
    for keep in (0, 1, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:keep])
        assert latest_step(tmp_path) == 1
    path.unlink()
    assert latest_step(tmp_path) == 1


def latest_step(folder: Path) -> int:
    loaded = checkpoints.latest(folder)
    assert loaded is not None
    return int(loaded[1]["step"])


def test_with_damaged_checkpoints_only_nothing_is_pretended(tmp_path: Path) -> None:
    path = checkpoints.save(tmp_path, 1, {"w": np.zeros(3)}, {})
    path.write_bytes(b"")
    with pytest.raises(SslsegError, match="only damaged checkpoints"):
        checkpoints.latest(tmp_path)


def save_as_before(project: Path, written: Prediction) -> Path:
    """Save a prediction as versions did that kept its probability and wrote no figures."""
    folder = save_prediction(project, written, SCORES)
    np.save(folder / "probability.npy", written.probability)
    facts = unseal((folder / FACTS).read_bytes())
    facts["sha256"]["probability.npy"] = sha256(folder / "probability.npy")
    del facts["figures"]
    write_atomic(folder / FACTS, seal(facts))
    return folder


def test_the_largest_array_is_not_written(tmp_path: Path) -> None:
    folder = save_prediction(tmp_path, prediction(), SCORES)
    assert not (folder / "probability.npy").exists()
    assert load_prediction(folder).probability.shape == (0, *SHAPE)


def test_a_prediction_of_an_earlier_version_is_read_and_loses_its_largest_array(
    tmp_path: Path,
) -> None:
    old = save_as_before(tmp_path, prediction("a", 0.0))
    assert load_figures(old) is None
    for _ in range(2):
        read = load_prediction(old)
        assert read.info == prediction("a", 0.0).info
        assert np.array_equal(read.labels, prediction().labels)
        assert read.confidence is not None
        save_prediction(tmp_path, prediction("b", 1.0), SCORES)
        assert not (old / "probability.npy").exists()


def test_figures_are_read_without_the_arrays(tmp_path: Path) -> None:
    written = prediction()
    folder = save_prediction(tmp_path, written, SCORES)
    empty = replace(written, labels=np.zeros_like(written.labels), info=prediction("v2", 2.0).info)
    other = save_prediction(tmp_path, empty, SCORES)
    for path in (*folder.glob("*.npy"), *other.glob("*.npy")):
        path.unlink()
    expected = mean_uncertainty(written.labels, written.uncertainty)
    assert expected is not None
    assert load_figures(folder) == Figures(uncertainty=expected)
    assert load_figures(other) == Figures(uncertainty=None), "nothing was found"
    (folder / FACTS).write_bytes(b"{}")
    with pytest.raises(SslsegError, match="damaged"):
        load_figures(folder)


def test_shrunk_predictions_still_say_what_to_label_next(tmp_path: Path) -> None:
    for number, version in enumerate(["a", "b"]):
        folder = save_prediction(tmp_path, prediction(version, float(number)), SCORES)
    shrink_predictions(tmp_path)
    assert [path.name for path in (tmp_path / "predictions" / "head").iterdir()] == ["b"]
    assert latest_prediction(tmp_path, "head") == folder
    assert load_info(folder) == prediction("b", 1.0).info
    assert np.array_equal(load_array(folder, "labels"), prediction().labels)
    assert np.array_equal(load_scores(folder)["axial"], SCORES["axial"])
    assert len(list(folder.iterdir())) == 3
