"""Which files are read, how, and which are refused with one line that names them."""

import gzip
import hashlib
import os
import stat
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from phantoms import affine_of, phantom, write_nifti

from sslseg.core.errors import SslsegError
from sslseg.core.geometry import Geometry, Reorientation
from sslseg.storage.images import (
    case_name,
    describe,
    fingerprint,
    label_ending,
    label_files,
    read_header,
    read_labels,
    read_volume,
    write_labels,
    write_volume,
)

STRAIGHT = np.eye(3)


def save(path: Path, data: np.ndarray, affine: np.ndarray | None = None) -> Path:
    nib.save(nib.Nifti1Image(data, affine_of(STRAIGHT) if affine is None else affine), path)
    return path


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.float32, np.float64, ">i2"])
def test_the_file_keeps_its_dtype(tmp_path: Path, dtype: str) -> None:
    header = nib.Nifti1Header(endianness=">" if dtype == ">i2" else "<")
    header.set_data_dtype(dtype)
    image = nib.Nifti1Image(phantom().astype(dtype), affine_of(STRAIGHT), header)
    nib.save(image, tmp_path / "a.nii.gz")
    volume = read_volume(tmp_path / "a.nii.gz")
    assert volume.data.dtype == np.dtype(dtype).newbyteorder("=")
    assert volume.data.dtype.isnative
    assert volume.data.dtype == read_header(tmp_path / "a.nii.gz").dtype
    assert np.array_equal(volume.data, phantom())


def test_scaled_data_are_float32(tmp_path: Path) -> None:
    image = nib.Nifti1Image(phantom(), affine_of(STRAIGHT))
    image.header.set_slope_inter(0.5, -10)
    nib.save(image, tmp_path / "a.nii")
    volume = read_volume(tmp_path / "a.nii")
    assert volume.data.dtype == np.float32
    assert np.array_equal(volume.data, nib.load(tmp_path / "a.nii").get_fdata())


def test_a_last_axis_of_one_is_dropped_and_masks_are_3d(tmp_path: Path) -> None:
    source = save(tmp_path / "a.nii.gz", phantom()[..., None])
    volume = read_volume(source)
    assert np.array_equal(volume.data, phantom())
    write_labels(
        tmp_path / "m.nii.gz", (volume.data % 3).astype(np.uint8), describe(source), source
    )
    written, original = nib.load(tmp_path / "m.nii.gz"), nib.load(source)
    assert written.shape == original.shape[:3] == (4, 5, 6)
    assert np.array_equal(written.affine, original.affine)
    assert written.header.get_zooms() == original.header.get_zooms()[:3]
    assert np.array_equal(np.asarray(written.dataobj), phantom() % 3)


def test_non_finite_voxels_stay(tmp_path: Path) -> None:
    data = phantom().astype(np.float32)
    data[1, 2, 3] = np.nan
    volume = read_volume(save(tmp_path / "a.nii", data))
    assert np.isnan(volume.data[1, 2, 3])
    assert np.isnan(volume.data).sum() == 1


def test_a_volume_in_memory_no_longer_needs_its_file(tmp_path: Path) -> None:
    source = write_nifti(tmp_path / "a.nii")
    volume = read_volume(source)
    source.write_bytes(b"")
    assert volume.data.sum() == phantom().sum()


def test_qform_is_used_where_there_is_no_sform(tmp_path: Path) -> None:
    image = nib.Nifti1Image(phantom(), None)
    image.set_qform(affine_of(STRAIGHT), code=1)
    nib.save(image, tmp_path / "a.nii")
    assert np.allclose(read_header(tmp_path / "a.nii").geometry.matrix, affine_of(STRAIGHT))


@pytest.mark.parametrize("codes", [(0, 1), (1, 0), (2, 4), (0, 0)])
def test_masks_keep_place_and_lose_text(tmp_path: Path, codes: tuple[int, int]) -> None:
    image = nib.Nifti1Image(phantom(), affine_of(STRAIGHT))
    image.set_qform(affine_of(STRAIGHT), code=codes[0])
    image.set_sform(affine_of(STRAIGHT) * 1.0, code=codes[1])
    image.header["descrip"] = b"Doe^Jane"
    image.header["db_name"] = b"Doe^Jane"
    image.header["aux_file"] = b"Doe^Jane"
    image.header["intent_name"] = b"Doe^Jane"
    image.header.set_xyzt_units("mm")
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"Doe^Jane"))
    source = tmp_path / "a.nii.gz"
    nib.save(image, source)
    volume = read_volume(source)
    write_labels(
        tmp_path / "m.nii.gz", (volume.data % 3).astype(np.uint8), describe(source), source
    )
    content = gzip.decompress((tmp_path / "m.nii.gz").read_bytes())
    assert b"Doe" in gzip.decompress(source.read_bytes())
    assert b"Doe" not in content
    written = nib.load(tmp_path / "m.nii.gz")
    original = nib.load(source)
    assert (int(written.header["qform_code"]), int(written.header["sform_code"])) == codes
    assert written.header.get_zooms() == original.header.get_zooms()
    assert written.header.get_xyzt_units() == original.header.get_xyzt_units()
    assert np.array_equal(written.affine, original.affine)
    assert written.get_data_dtype() == np.uint8
    assert written.header.get_slope_inter() == (None, None)


@pytest.mark.parametrize(
    ("unit", "mm"), [("meter", 1000.0), ("mm", 1.0), ("unknown", 1.0), ("micron", 0.001)]
)
def test_lengths_become_mm_and_masks_keep_the_unit_of_the_image(
    tmp_path: Path, unit: str, mm: float
) -> None:
    affine = affine_of(STRAIGHT)
    affine[:3] /= mm
    image = nib.Nifti1Image(phantom(), affine)
    image.header.set_xyzt_units(unit)
    source, mask = tmp_path / "a.nii.gz", tmp_path / "m.nii.gz"
    nib.save(image, source)
    volume = read_volume(source)
    assert np.allclose(volume.geometry.spacing, (0.5, 0.75, 3.0))
    assert np.allclose(volume.geometry.matrix, affine_of(STRAIGHT))
    write_labels(mask, (volume.data % 3).astype(np.uint8), describe(source), source)
    written, original = nib.load(mask), nib.load(source)
    assert np.array_equal(written.affine, original.affine)
    assert written.header.get_zooms() == original.header.get_zooms()
    assert written.header.get_xyzt_units()[0] == unit
    labels = read_labels(mask, volume.geometry, volume.reorientation)
    assert np.array_equal(labels, volume.data % 3)


def test_a_mask_is_the_same_file_every_time(tmp_path: Path) -> None:
    source = write_nifti(tmp_path / "a.nii.gz")
    record, labels = describe(source), np.ones((4, 5, 6), np.uint8)
    write_labels(tmp_path / "1.nii.gz", labels, record, source)
    write_labels(tmp_path / "2.nii.gz", labels, record, source)
    assert (tmp_path / "1.nii.gz").read_bytes() == (tmp_path / "2.nii.gz").read_bytes()


def test_a_detached_image_is_two_files(tmp_path: Path) -> None:
    for header, data in (("a.mhd", "a.raw"), ("b.nhdr", "b.raw")):
        sitk.WriteImage(sitk.GetImageFromArray(phantom().T), str(tmp_path / header))
        assert np.array_equal(np.sort(read_volume(tmp_path / header).data, None), range(120))
        both = (tmp_path / header).read_bytes() + (tmp_path / data).read_bytes()
        assert fingerprint(tmp_path / header) == hashlib.sha256(both).hexdigest()
        (tmp_path / data).unlink()
        with pytest.raises(SslsegError, match="without its data file"):
            read_header(tmp_path / header)


def test_an_nrrd_in_ras_lies_in_ras(tmp_path: Path) -> None:
    header = (
        "NRRD0004\ntype: uint8\ndimension: 3\nspace: right-anterior-superior\nsizes: 2 3 4\n"
        "space directions: (2,0,0) (0,2,0) (0,0,2)\nkinds: domain domain domain\n"
        "encoding: raw\nspace origin: (5,6,7)\n\n"
    )
    (tmp_path / "a.nrrd").write_bytes(header.encode() + bytes(range(24)))
    volume = read_volume(tmp_path / "a.nrrd")
    assert volume.geometry.matrix.tolist() == [
        [2, 0, 0, 5],
        [0, 2, 0, 6],
        [0, 0, 2, 7],
        [0, 0, 0, 1],
    ]
    assert np.array_equal(volume.data.ravel(order="F"), range(24))


def test_4d_itk_files_with_a_last_axis_of_one(tmp_path: Path) -> None:
    for name, frames in (("one.mha", 1), ("two.mha", 2)):
        image = sitk.JoinSeries([sitk.GetImageFromArray(phantom().T)] * frames)
        sitk.WriteImage(image, str(tmp_path / name))
    assert read_volume(tmp_path / "one.mha").data.shape == (4, 5, 6)
    with pytest.raises(SslsegError, match=r"4-D data .*two\.mha"):
        read_volume(tmp_path / "two.mha")


def test_64_bit_integers_of_an_nrrd_can_be_written_as_nifti(tmp_path: Path) -> None:
    source, out = tmp_path / "a.nrrd", tmp_path / "b.nii.gz"
    sitk.WriteImage(sitk.GetImageFromArray(phantom().astype(np.int64).T), str(source))
    write_volume(out, read_volume(source).data, describe(source), source)
    written = nib.load(out)
    assert written.get_data_dtype() == np.int64
    assert np.array_equal(np.asarray(written.dataobj), phantom())


@pytest.mark.parametrize("ending", [".nrrd", ".mha"])
def test_a_mask_is_durable_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    source, done = tmp_path / f"a{ending}", list[str]()
    sitk.WriteImage(sitk.GetImageFromArray(phantom().T), str(source))
    record, sync, replace = describe(source), os.fsync, os.replace

    def synced(descriptor: int) -> None:
        done.append("file" if stat.S_ISREG(os.fstat(descriptor).st_mode) else "folder")
        sync(descriptor)

    def renamed(old: Path, new: Path) -> None:
        done.append("name")
        replace(old, new)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", renamed)
    write_labels(tmp_path / f"m{ending}", np.ones((4, 5, 6), np.uint8), record, source)
    assert done[:2] == ["file", "name"]


def test_a_folder_without_label_files_has_none_and_no_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no image")
    assert label_files(tmp_path) == {}
    with pytest.raises(SslsegError, match="no folder"):
        label_files(tmp_path / "gone")


# ---- bad files ----


def gz_claiming(path: Path, shape: tuple[int, ...]) -> None:
    image = nib.Nifti1Image(np.zeros((2, 2, 2), np.float64), np.eye(4))
    raw = bytearray(image.to_bytes())
    raw[40:56] = np.array([3, *shape, 1, 1, 1, 1][:8], "<i2").tobytes()
    path.write_bytes(gzip.compress(bytes(raw)))


def cut(path: Path, keep: float) -> None:
    data = write_nifti(path).read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])


def broken_trailer(path: Path) -> None:
    data = bytearray(write_nifti(path).read_bytes())
    data[-6] ^= 1
    path.write_bytes(data)


def nan_affine(path: Path) -> None:
    image = nib.Nifti1Image(phantom(), affine_of(STRAIGHT))
    image.header["srow_x"] = np.nan
    image.header["sform_code"] = 1
    path.write_bytes(gzip.compress(nib.Nifti1Image(phantom(), None, image.header).to_bytes()))


def flat_axes(path: Path) -> None:
    header = (
        "ObjectType = Image\nNDims = 3\nBinaryData = True\nTransformMatrix = 1 0 0 1 0 0 0 0 1\n"
        "Offset = 0 0 0\nElementSpacing = 1 1 1\nDimSize = 2 2 2\nElementType = MET_UCHAR\n"
        "ElementDataFile = LOCAL\n"
    )
    path.write_bytes(header.encode() + bytes(8))


def colour(path: Path) -> None:
    rgb = np.zeros((4, 5, 6), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    nib.save(nib.Nifti1Image(rgb, np.eye(4)), path)


def itk_colour(path: Path) -> None:
    sitk.WriteImage(sitk.Image([4, 5, 6], sitk.sitkVectorUInt8, 3), str(path))


def itk_cut(path: Path) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(phantom().T), str(path))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) - 40])


def itk_cut_packed(path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 1000, (9, 9, 9)).astype(np.int16)
    sitk.WriteImage(sitk.GetImageFromArray(noise), str(path), useCompression=True)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) - 40])


BAD: list[tuple[str, Callable[[Path], object], str]] = [
    ("huge.nii.gz", lambda p: gz_claiming(p, (32000, 32000, 32000)), "header claiming 2"),
    ("bomb.nii.gz", lambda p: gz_claiming(p, (400, 400, 100)), "bytes of voxels in a file of"),
    ("short.nii.gz", lambda p: gz_claiming(p, (5, 5, 5)), "unreadable file"),
    ("cut.nii.gz", lambda p: cut(p, 0.7), "unreadable file"),
    ("cut.nii", lambda p: cut(p, 0.7), "unreadable file"),
    ("header.nii", lambda p: cut(p, 0.1), "unreadable file"),
    ("crc.nii.gz", broken_trailer, "unreadable file"),
    ("empty.nii.gz", lambda p: p.write_bytes(b""), "unreadable file"),
    ("empty.nii", lambda p: p.write_bytes(b""), "unreadable file"),
    ("empty.nrrd", lambda p: p.write_bytes(b""), "unreadable file"),
    ("empty.mha", lambda p: p.write_bytes(b""), "unreadable file"),
    ("text.nii", lambda p: p.write_text("hello " * 200), "unreadable file"),
    ("text.nrrd", lambda p: p.write_text("hello " * 200), "unreadable file"),
    ("text.mha", lambda p: p.write_text("hello " * 200), "unreadable file"),
    ("cut.mha", itk_cut, "unreadable file"),
    ("cut.nrrd", itk_cut, "unreadable file"),
    ("packed.mha", itk_cut_packed, "unreadable file"),
    ("packed.nrrd", itk_cut_packed, "unreadable file"),
    ("nan.nii.gz", nan_affine, "undefined position"),
    ("rgb.nii.gz", colour, "colour or complex"),
    ("complex.nii", lambda p: save(p, phantom().astype(np.complex64)), "colour or complex"),
    ("time.nii.gz", lambda p: save(p, np.zeros((4, 5, 6, 2), np.int16)), "4-D data"),
    ("vector.nii.gz", lambda p: save(p, np.zeros((4, 5, 6, 1, 3), np.int16)), "5-D data"),
    ("flat.nii.gz", lambda p: save(p, np.zeros((4, 5), np.int16)), "2-D data"),
    ("flat.mha", flat_axes, "voxel axes that lie in one plane"),
    ("rgb.mha", itk_colour, "colour or vector"),
    ("image.png", lambda p: p.write_bytes(b"PNG"), "unknown type"),
    ("gone.nii.gz", lambda p: None, "no file"),
    ("folder.nii.gz", lambda p: p.mkdir(), "no DICOM images"),
]


@pytest.mark.parametrize(("name", "make", "message"), BAD, ids=[case[0] for case in BAD])
def test_bad_files_are_refused_by_name(
    tmp_path: Path, name: str, make: Callable[[Path], object], message: str
) -> None:
    path = tmp_path / name
    make(path)
    with pytest.raises(SslsegError, match=message) as caught:
        read_volume(path)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


# ---- labels ----


@pytest.mark.parametrize("bad", [0.5, -1, 255, np.nan, np.inf])
def test_labels_are_whole_numbers_below_255(tmp_path: Path, bad: float) -> None:
    data = np.zeros((4, 5, 6), np.float32)
    data[0, 0, 0] = 254
    path = save(tmp_path / "m.nii", data)
    geometry = read_header(path).geometry
    assert read_labels(path, geometry, Reorientation()).max() == 254
    data[1, 1, 1] = bad
    with pytest.raises(SslsegError, match=r"m\.nii that are no class numbers"):
        read_labels(save(tmp_path / "m.nii", data), geometry, Reorientation())


def test_labels_on_another_grid_are_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "m.nii", np.zeros((4, 5, 6), np.uint8))
    geometry = read_header(path).geometry
    moved = geometry.matrix.copy()
    moved[0, 3] += 0.5
    for wrong in (Geometry.of((4, 5, 7), geometry.matrix), Geometry.of((4, 5, 6), moved)):
        with pytest.raises(SslsegError, match="the grid of the image, 4 x 5 x"):
            read_labels(path, wrong, Reorientation())


def test_an_image_of_no_number_at_all_is_refused(tmp_path: Path) -> None:
    nothing = save(tmp_path / "nan.nii.gz", np.full((4, 5, 6), np.nan, np.float32))
    with pytest.raises(SslsegError, match=r"no finite voxel in .*nan\.nii\.gz"):
        describe(nothing)


def test_a_changed_source_is_not_written_upon(tmp_path: Path) -> None:
    source = write_nifti(tmp_path / "a.nii.gz")
    record = describe(source)
    save(source, np.zeros((4, 5, 7), np.int16))
    with pytest.raises(SslsegError, match="changed since it was added"):
        write_labels(tmp_path / "m.nii.gz", np.zeros((4, 5, 6), np.uint8), record, source)
    with pytest.raises(SslsegError, match="array of shape"):
        write_labels(tmp_path / "m.nii.gz", np.zeros((4, 5, 7), np.uint8), record, source)
    assert not (tmp_path / "m.nii.gz").exists()


def test_any_source_can_be_written_as_nifti(tmp_path: Path) -> None:
    image = sitk.GetImageFromArray(phantom().T)
    image.SetSpacing((1, 2, 3))
    image.SetOrigin((10, 20, 30))
    sitk.WriteImage(image, str(tmp_path / "a.nrrd"))
    volume = read_volume(tmp_path / "a.nrrd")
    record = describe(tmp_path / "a.nrrd")
    write_volume(tmp_path / "b.nii.gz", volume.data, record, tmp_path / "a.nrrd")
    again = sitk.ReadImage(str(tmp_path / "b.nii.gz"))
    assert again.GetOrigin() == (10, 20, 30)
    assert again.GetSpacing() == (1, 2, 3)
    assert np.array_equal(sitk.GetArrayFromImage(again), phantom().T)


def test_an_image_read_already_is_described_the_same(tmp_path: Path) -> None:
    source = write_nifti(tmp_path / "a.nii.gz")
    assert describe(source, read_volume(source)) == describe(source)
    assert describe(source).sha256 == hashlib.sha256(source.read_bytes()).hexdigest()


def test_names() -> None:
    assert case_name(Path("x/head.1.nii.gz")) == "head.1"
    assert case_name(Path("x/HEAD.NII.GZ")) == "HEAD"
    for ending in (".nii", ".nrrd", ".nhdr", ".mha", ".mhd"):
        assert case_name(Path(f"x/a{ending}")) == "a"


def test_a_dicom_folder_is_a_case_named_after_it(tmp_path: Path) -> None:
    (tmp_path / "study.1").mkdir()
    assert case_name(tmp_path / "study.1") == "study.1"
    endings = {"a.nii": ".nii.gz", "a.nhdr": ".nrrd", "a.mhd": ".mha", "study.1": ".nii.gz"}
    for name, ending in endings.items():
        assert label_ending(tmp_path / name) == ending
