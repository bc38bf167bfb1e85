"""DICOM folders, made here slice by slice, and real ones where SSLSEG_DATA says."""

import hashlib
import os
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from phantoms import oblique
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from sslseg.core.errors import SslsegError
from sslseg.storage.images import describe, fingerprint, read_header, read_volume, write_labels

ROWS, COLUMNS, SLICES = 5, 4, 6
AXES = oblique()
SERIES, STUDY, FRAME = generate_uid(), generate_uid(), generate_uid()


def pixels() -> np.ndarray:
    """Stored values ``(slice, row, column)``."""
    return np.arange(SLICES * ROWS * COLUMNS, dtype=np.int16).reshape(SLICES, ROWS, COLUMNS)


def write_slice(folder: Path, index: int, **tags: object) -> Path:
    """One CT slice, 3 mm from the next, 0.5 x 0.75 mm pixels, oblique, without a file ending."""
    meta = pydicom.dataset.FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = pydicom.Dataset()
    data.file_meta = meta
    data.SOPClassUID, data.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    data.StudyInstanceUID, data.SeriesInstanceUID = STUDY, SERIES
    data.FrameOfReferenceUID = FRAME
    data.Modality, data.SeriesNumber, data.SeriesDescription = "CT", 3, "head"
    data.PatientName, data.PatientID = "Doe^Jane", "1"
    data.Rows, data.Columns, data.PixelSpacing = ROWS, COLUMNS, [0.75, 0.5]
    data.ImageOrientationPatient = [round(v, 9) for v in (*AXES[:, 0], *AXES[:, 1])]
    data.ImagePositionPatient = [round(v, 6) for v in AXES[:, 2] * 3.0 * index + [1, 2, 3]]
    data.SliceThickness = 3
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated = data.BitsStored = 16
    data.HighBit, data.PixelRepresentation = 15, 1
    data.RescaleSlope, data.RescaleIntercept = 1, -1024
    data.PixelData = pixels()[index].tobytes()
    for name, value in tags.items():
        setattr(data, name, value)
    path = folder / f"IM{(index * 7) % 11:02d}"  # the order of names is not that of places
    data.save_as(path, enforce_file_format=True)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "study"
    path.mkdir()
    for index in range(SLICES):
        write_slice(path, index)
    (path / "readme.txt").write_text("not an image")
    return path


def itk_reference(folder: Path) -> sitk.Image:
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return reader.Execute()


def assert_same_place(folder: Path) -> None:
    """Compare values at world points with ITK's own reader of series."""
    volume, itk = read_volume(folder), itk_reference(folder)
    random = np.random.default_rng(0)
    for _ in range(50):
        index = tuple(int(random.integers(n)) for n in volume.data.shape)
        world = volume.geometry.matrix @ (*index, 1)
        there = itk.TransformPhysicalPointToIndex((-world[0], -world[1], world[2]))
        back = np.array(itk.TransformIndexToPhysicalPoint(there)) * (-1, -1, 1)
        assert np.abs(back - world[:3]).max() < 1e-2
        assert itk.GetPixel(there) == volume.data[index]


def test_a_series_is_read_in_hounsfield_units(folder: Path) -> None:
    volume = read_volume(folder)
    assert volume.modality == "CT"
    assert sorted(volume.data.ravel()) == list(range(-1024, -1024 + pixels().size))
    assert volume.data.dtype.kind == "i"
    assert np.allclose(volume.geometry.spacing, (0.5, 0.75, 3.0), atol=1e-5)
    assert_same_place(folder)


def test_fractional_slopes_give_float32(folder: Path) -> None:
    for index in range(SLICES):
        write_slice(folder, index, RescaleSlope=0.5)
    volume = read_volume(folder)
    assert volume.data.dtype == np.float32
    assert volume.data.max() == -1024 + 0.5 * (pixels().size - 1)
    assert read_header(folder).dtype == np.float32


def test_masks_of_a_series_are_nifti_on_its_grid(folder: Path, tmp_path: Path) -> None:
    volume, out = read_volume(folder), tmp_path / "mask.nii.gz"
    write_labels(out, ((volume.data + 1024) % 5).astype(np.uint8), describe(folder), folder)
    mask, itk = sitk.ReadImage(str(out)), itk_reference(folder)
    assert np.array_equal(sitk.GetArrayFromImage(mask) % 5, pixels() % 5)
    for index in ((0, 0, 0), (COLUMNS - 1, ROWS - 1, SLICES - 1)):
        one = mask.TransformIndexToPhysicalPoint(index)
        assert np.allclose(one, itk.TransformIndexToPhysicalPoint(index), atol=1e-3)


def test_one_slice_is_a_volume(tmp_path: Path) -> None:
    write_slice(tmp_path, 2)
    assert read_volume(tmp_path).data.shape == (COLUMNS, ROWS, 1)


def test_the_fingerprint_covers_every_file(folder: Path) -> None:
    before = fingerprint(folder)
    write_slice(folder, 3, PatientID="2")
    assert fingerprint(folder) != before


def test_other_files_in_the_folder_are_no_part_of_the_image(folder: Path) -> None:
    record = describe(folder)
    (folder / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0 thumbnails")
    (folder / "study.nii.gz").write_bytes(b"a mask that somebody put here")
    assert fingerprint(folder) == record.sha256


def test_the_fingerprint_is_that_of_the_slices_by_name(folder: Path) -> None:
    """As it was when all files of a folder counted: projects made then go on."""
    (folder / "readme.txt").unlink()
    slices = b"".join(path.read_bytes() for path in sorted(folder.iterdir()))
    assert fingerprint(folder) == hashlib.sha256(slices).hexdigest()


def test_no_mask_is_written_among_the_slices(folder: Path) -> None:
    labels = np.zeros((COLUMNS, ROWS, SLICES), np.uint8)
    record, before = describe(folder), sorted(folder.iterdir())
    with pytest.raises(SslsegError, match="the folder that holds the image study"):
        write_labels(folder / "study.nii.gz", labels, record, folder)
    assert sorted(folder.iterdir()) == before
    write_labels(folder / "masks" / "study.nii.gz", labels, record, folder)
    assert fingerprint(folder) == record.sha256


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ({"SeriesInstanceUID": generate_uid(), "SeriesDescription": "scout"}, "3 .head., 3 .scout"),
        ({"ImagePositionPatient": [1.0, 2, 3]}, "two images at one place"),
        ({"ImagePositionPatient": [round(v, 6) for v in AXES[:, 2] * 9.1 + [1, 2, 3]]}, "uneven"),
        ({"ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}, "turned against the first"),
        ({"PixelSpacing": [0.75, 0.6]}, "another grid"),
        ({"SamplesPerPixel": 3}, "multi-frame or colour"),
        ({"NumberOfFrames": 4}, "multi-frame or colour"),
        ({"ImagePositionPatient": None}, "without position"),
    ],
)
def test_what_is_no_stack_is_refused(folder: Path, tags: dict[str, object], message: str) -> None:
    write_slice(folder, 3, **tags)
    with pytest.raises(SslsegError, match=message) as caught:
        read_header(folder)
    assert "\n" not in str(caught.value)


def test_a_missing_slice_is_noticed(folder: Path) -> None:
    (folder / "IM10").unlink()
    with pytest.raises(SslsegError, match=r"uneven slice gaps, 3\.00 to 6\.00 mm"):
        read_header(folder)


def test_a_slice_that_cannot_be_read_is_not_left_out(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the end of the stack no gap would show it."""
    last = write_slice(folder, SLICES - 1)
    read = pydicom.dcmread

    def denied(path: Path, **how: object) -> pydicom.Dataset:
        if path == last:
            raise PermissionError(13, "Permission denied")
        return read(path, **how)

    monkeypatch.setattr(pydicom, "dcmread", denied)
    with pytest.raises(SslsegError, match=f"unreadable file .*{last.name}"):
        describe(folder)


def test_gantry_tilt_is_refused(folder: Path) -> None:
    for index in range(SLICES):
        place = AXES[:, 2] * 3.0 * index + AXES[:, 1] * index
        write_slice(folder, index, ImagePositionPatient=[round(v, 6) for v in place])
    with pytest.raises(SslsegError, match=r"gantry tilt of 18\.4 degrees"):
        read_header(folder)


def test_a_cut_slice_is_noticed(folder: Path) -> None:
    path = folder / "IM10"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(SslsegError, match="IM10"):
        read_volume(folder)


@pytest.mark.realdata
@pytest.mark.skipif("SSLSEG_DATA" not in os.environ, reason="SSLSEG_DATA is not set")
def test_real_series_agree_with_itk() -> None:
    folders = [
        p for p in sorted((Path(os.environ["SSLSEG_DATA"]) / "dicom").iterdir()) if p.is_dir()
    ]
    refused = []
    for folder in folders:
        try:
            assert_same_place(folder)
        except SslsegError as error:
            refused.append(str(error))
    assert len(refused) < len(folders)
    assert all("tilt" in line for line in refused)
