"""Opens projects and samples in the dock, by File > Open, drag and drop, or Open Sample.

A sample function of napari must give a layer. A sample with an address of our own and a reader
need not: the reader opens the dock, which makes the layers of a case itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

PLUGIN, WIDGET = "napari-sslseg", "SSL Segmentation"
SAMPLE = "sslseg://sample/"

NO_LAYERS: list[tuple[None]] = [(None,)]
"""What tells napari that all is done and nothing is to be added."""

Reader = Callable[[str | Sequence[str]], list[tuple[None]]]


def get_reader(path: str | Sequence[str]) -> Reader | None:
    """Return a reader for a ``project.sqlite`` or the address of a sample, or None."""
    if not isinstance(path, str):
        return None
    if path.startswith(SAMPLE) or Path(path).name == "project.sqlite":
        return read
    return None


def read(path: str | Sequence[str]) -> list[tuple[None]]:
    """Open a project or sample in the dock; raises SslsegError where that fails."""
    import napari

    from napari_sslseg import _samples
    from napari_sslseg._dock import SegmentationDock

    viewer = napari.current_viewer()
    if viewer is not None and isinstance(path, str):
        _, dock = viewer.window.add_plugin_dock_widget(PLUGIN, WIDGET)
        assert isinstance(dock, SegmentationDock)
        if path.startswith(SAMPLE):
            _samples.open_sample(dock, path.removeprefix(SAMPLE))
        else:
            dock.open_project(Path(path).parent)
    return NO_LAYERS
