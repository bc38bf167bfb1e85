"""Random damage to image files ends in one plain error, or in an image; never in a crash."""

import gzip
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from phantoms import phantom, write_nifti

from sslseg.core.errors import SslsegError
from sslseg.storage.images import read_volume


def test_no_flipped_bit_of_a_packed_file_changes_a_voxel(tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "a.nii.gz")
    data, random = path.read_bytes(), np.random.default_rng(0)
    refused = 0
    for _ in range(150):
        flipped = bytearray(data)
        flipped[random.integers(len(data))] ^= 1 << int(random.integers(8))
        path.write_bytes(flipped)
        try:
            volume = read_volume(path)
        except SslsegError:
            refused += 1
        else:
            assert np.array_equal(volume.reorientation.to_source(volume.data), phantom())
    assert refused > 120


@pytest.mark.filterwarnings("ignore")  # what libraries say of nonsense is not the point here
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.nrrd", "a.mha"])
def test_a_garbled_header_is_refused_or_read(tmp_path: Path, name: str) -> None:
    path, random = tmp_path / name, np.random.default_rng(0)
    if name.endswith((".nii", ".gz")):
        write_nifti(path)
    else:
        sitk.WriteImage(sitk.GetImageFromArray(phantom().T), str(path))
    data = path.read_bytes()
    plain = gzip.decompress(data) if name.endswith(".gz") else data
    messages = []
    for _ in range(150):
        garbled = bytearray(plain)
        for place in random.integers(0, 348, size=random.integers(1, 6)):
            garbled[place] = random.integers(256)
        path.write_bytes(gzip.compress(garbled) if name.endswith(".gz") else garbled)
        try:
            assert read_volume(path).data.ndim == 3
        except SslsegError as error:
            messages.append(str(error))
    assert len(messages) > 20
    assert all(name in message for message in messages)
