"""The two samples of File > Open Sample, each as a fresh project in the user's data folder."""

from __future__ import annotations

import hashlib
import shutil
import tarfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs
from napari.utils import progress
from napari.utils.notifications import show_info

from sslseg.core.errors import SslsegError

if TYPE_CHECKING:
    from napari_sslseg._dock import SegmentationDock

HIPPOCAMPUS = "https://msd-for-monai.s3-us-west-2.amazonaws.com/Task04_Hippocampus.tar"
MD5 = "9d24dba78a72977dbd1d2e110310f31b"
"""Of the archive, as MONAI's DecathlonDataset lists it."""

HIPPOCAMPUS_CLASSES = ("anterior", "posterior")
HIPPOCAMPUS_CASES = 60
_TIMEOUT_S = 20.0
_CHUNK = 1 << 16


def open_sample(dock: SegmentationDock, key: str) -> None:
    """Open the sample "generated" or "hippocampus" in the dock.

    Raises
    ------
    SslsegError
        If there is no such sample, or its project cannot be made.
    """
    if key == "generated":
        from sslseg.storage.samples import make_sample_project

        dock.open_project(make_sample_project(new_folder("sample")))
    elif key == "hippocampus":
        _open_hippocampus(dock)
    else:
        raise SslsegError(f"the sample {key!r}", "generated or hippocampus", "Choose one of them.")


def new_folder(name: str) -> Path:
    """Return a folder in the user's data folder that does not exist yet."""
    base = Path(platformdirs.user_data_dir("napari-sslseg", appauthor=False)) / "samples"
    stamp = time.strftime("%Y%m%d-%H%M%S")
    tried = (base / f"{name}-{stamp}{'' if n == 0 else f'-{n}'}" for n in range(1000))
    return next(path for path in tried if not path.exists())


def _open_hippocampus(dock: SegmentationDock) -> None:
    """Download beside the window; the archive is kept for the next time."""
    cache = Path(platformdirs.user_cache_dir("napari-sslseg", appauthor=False))
    bar = progress(total=0, desc="Fetching MSD hippocampus")

    def finish(images: tuple[Path, ...]) -> None:
        bar.close()
        dock.controller.new_project(new_folder("hippocampus"), HIPPOCAMPUS_CLASSES)
        dock.controller.add_images(images[:HIPPOCAMPUS_CASES])

    def fail(error: Exception) -> None:
        bar.close()
        dock.controller.report(error)

    show_info("Fetching the MSD hippocampus volumes (27 MB); the project opens by itself.")
    dock.controller.threads.downloads.submit(lambda: fetch_hippocampus(cache), finish, fail)


def fetch_hippocampus(cache: Path, url: str = HIPPOCAMPUS, md5: str = MD5) -> tuple[Path, ...]:
    """Return the training volumes of MSD hippocampus, downloaded and checked if need be.

    Raises
    ------
    SslsegError
        If the archive cannot be had or its checksum is wrong; nothing is kept then.
    """
    images = cache / "Task04_Hippocampus" / "imagesTr"
    if not images.is_dir():
        archive = cache / "Task04_Hippocampus.tar"
        _download(url, md5, archive)
        _unpack(archive, cache)
        archive.unlink()
    return tuple(sorted(images.glob("hippocampus_*.nii.gz")))


def _download(url: str, md5: str, archive: Path) -> None:
    archive.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.md5(usedforsecurity=False)
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer, archive.open("wb") as file:
            while chunk := answer.read(_CHUNK):
                digest.update(chunk)
                file.write(chunk)
    except (urllib.error.URLError, OSError) as error:
        archive.unlink(missing_ok=True)
        raise SslsegError(
            f"no answer from {url} ({getattr(error, 'reason', error)})",
            "a connection to the internet for this sample",
            "Go online, or open the other sample: it needs no download.",
        ) from error
    if digest.hexdigest() != md5:
        archive.unlink()
        raise SslsegError(
            f"a download with checksum {digest.hexdigest()}",
            md5,
            "The file was damaged on its way or has changed; try again later.",
        )


def _unpack(archive: Path, folder: Path) -> None:
    """Unpack under another name first, so that half a folder is never taken for a whole one."""
    half = folder / ".unpacking"
    shutil.rmtree(half, ignore_errors=True)
    with tarfile.open(archive) as tar:
        # Debian 12's Python has no filters yet; the checksum has vouched for the archive
        tar.extraction_filter = getattr(tarfile, "data_filter", lambda member, _: member)
        tar.extractall(half)
    (half / "Task04_Hippocampus").replace(folder / "Task04_Hippocampus")
    shutil.rmtree(half, ignore_errors=True)
