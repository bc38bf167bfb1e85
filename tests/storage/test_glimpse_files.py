"""Some predicted slices on disk."""

from __future__ import annotations

import numpy as np
import pytest

from sslseg.core.errors import SslsegError
from sslseg.core.geometry import Plane
from sslseg.core.prediction import Glimpse
from sslseg.storage.glimpses import load_glimpse, save_glimpse

LABELS = np.arange(2 * 4 * 5).reshape(2, 4, 5).astype(np.uint8)
GLIMPSE = Glimpse("a case", Plane.CORONAL, 7, LABELS)


def test_slices_come_back_as_they_were(tmp_path):
    path = tmp_path / "slices.npz"
    save_glimpse(path, Glimpse("another", Plane.AXIAL, 0, LABELS[:1]))
    save_glimpse(path, GLIMPSE)
    found = load_glimpse(path)
    assert (found.case, found.plane, found.first) == ("a case", Plane.CORONAL, 7)
    np.testing.assert_array_equal(found.labels, LABELS)
    assert found.labels.dtype == np.uint8
    assert [each.name for each in tmp_path.iterdir()] == ["slices.npz"], "nothing but the newest"


@pytest.mark.parametrize("change", [lambda b: b[:40], lambda b: b[:-60] + bytes(60), lambda b: b""])
def test_damage_is_told_in_one_line(tmp_path, change):
    path = tmp_path / "slices.npz"
    save_glimpse(path, GLIMPSE)
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(SslsegError, match=r"slices\.npz"):
        load_glimpse(path)


def test_one_that_is_gone_is_told_in_one_line(tmp_path):
    with pytest.raises(SslsegError, match="cannot be read"):
        load_glimpse(tmp_path / "slices.npz")


def test_a_glimpse_knows_its_slices():
    assert GLIMPSE.places == {(Plane.CORONAL, 7), (Plane.CORONAL, 8)}
