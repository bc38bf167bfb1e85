"""``python -m napari_sslseg [PROJECT]``: napari with the plugin docked and a project open.

Without PROJECT it opens a project of the sample volumes, which is kept between calls.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import napari
from platformdirs import user_data_path

from napari_sslseg._dock import SegmentationDock
from napari_sslseg._reader import PLUGIN, WIDGET
from sslseg.core.errors import SslsegError
from sslseg.storage.samples import make_sample_project
from sslseg.storage.schema import DATABASE, require


def sample_project(home: Path) -> Path:
    """Return the sample project under `home`, made if it is not there yet."""
    project = home / "sample project"
    return project if (project / DATABASE).exists() else make_sample_project(project)


def start(project: Path) -> tuple[napari.Viewer, SegmentationDock]:
    """Open a viewer with the plugin docked and `project` loaded."""
    viewer = napari.Viewer()
    _, dock = viewer.window.add_plugin_dock_widget(PLUGIN, WIDGET)
    dock.open_project(project)
    return viewer, dock


def main(arguments: Sequence[str]) -> None:
    """Run until the window is closed; a project that cannot be opened ends it with one line."""
    try:
        home = user_data_path(PLUGIN, appauthor=False)
        project = Path(arguments[0]) if arguments else sample_project(home)
        require(project)  # before there is a window
        start(project)
    except SslsegError as error:
        sys.exit(str(error))
    napari.run()


if __name__ == "__main__":
    main(sys.argv[1:])
