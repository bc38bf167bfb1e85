"""What must not happen: torch in the window's process, lost strokes, windows that stay."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from sslseg.storage.store import ProjectStore

HERE = Path(__file__).parent


def python(code: str, *arguments: str) -> subprocess.Popen[str]:
    """Run a script in a process of its own, with this folder importable."""
    path = os.pathsep.join([str(HERE), str(HERE.parents[1]), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        env=os.environ | {"PYTHONPATH": path},
        stdout=subprocess.PIPE,
        text=True,
    )


TOUR = """
    import sys
    from pathlib import Path
    import napari
    from fake_engine import FakeRunner
    from napari_sslseg._dock import SegmentationDock
    from qtpy.QtTest import QTest

    viewer = napari.Viewer(show=False)
    dock = SegmentationDock(viewer, FakeRunner)
    viewer.window.add_dock_widget(dock)
    dock.open_project(sys.argv[1])
    dock.train.train_button.click()
    while dock.controller.view.prediction is None:
        QTest.qWait(50)
    dock.annotate.accept()
    dock.suggestions.go_next()
    dock.shut()
    heavy = {"torch", "monai", "sslseg.session", "sslseg.training"} & set(sys.modules)
    print("heavy:", sorted(heavy))
    viewer.close()
"""


def test_a_tour_of_the_dock_loads_neither_torch_nor_monai(project):
    with python(TOUR, str(project)) as process:
        said, _ = process.communicate(timeout=120)
    assert "heavy: []" in said
    assert process.returncode == 0


def test_importing_the_plugin_is_quick():
    code = """
        import time
        import napari, napari.viewer, napari.layers, napari._qt.qt_main_window
        import magicgui.widgets, superqt
        start = time.perf_counter()
        import napari_sslseg._dock
        print(time.perf_counter() - start)
    """
    seconds = []
    for _ in range(3):
        with python(code) as process:
            seconds.append(float(process.communicate(timeout=60)[0]))
    assert min(seconds) < 0.3


PAINTER = """
    import sys
    import json
    import napari
    from fake_engine import FakeRunner
    from napari_sslseg._dock import SegmentationDock
    from qtpy.QtTest import QTest
    from strokes import drag
    from sslseg.core.geometry import Plane

    viewer = napari.Viewer(show=True)
    dock = SegmentationDock(viewer, FakeRunner)
    viewer.window.add_dock_widget(dock)
    dock.open_project(sys.argv[1])
    layer = dock.controller.view.layers.annotation
    layer.brush_size = 2
    for number in range(100):
        x, y, z = 3 + number % 18, 3 + number % 13, number % 16
        dock.controller.view.slices.go_to(Plane.AXIAL, z)
        layer.selected_label = 1 + number % 2
        drag(viewer, layer, [(x, y, z), (x + 1, y, z)])
        if number % 7 == 6:
            layer.undo()
        QTest.qWait(240)
        print(json.dumps({"stroke": number, "sum": int(layer.data.sum(dtype=int))}), flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="kills by signal")
def test_a_killed_window_loses_no_stroke(project):
    process = python(PAINTER, str(project))
    assert process.stdout is not None
    told = {}
    for line in process.stdout:
        if line.startswith("{"):
            told = json.loads(line)
            if told["stroke"] == 12:
                break
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=10)
    process.stdout.close()
    with ProjectStore.open(project) as store:
        assert not store.read_only
        labels = store.annotation("anna").labels
    # The stroke after the last one told may have reached the disk as well, never less.
    assert int(labels.sum(dtype=int)) >= told["sum"] > 0
    assert np.isin(labels, (0, 1, 2)).all()


def test_closing_the_window_ends_the_engine_and_keeps_the_last_stroke(
    dock, runner, project, on_disk, qtbot
):
    dock.open_project(project)
    dock.controller.view.layers.annotation.data[4, 4, 4] = 1
    dock._viewer.close()
    assert on_disk()[4, 4, 4] == 1
    qtbot.waitUntil(lambda: runner.closed, timeout=2000)
    assert dock.controller.store is None


def test_the_dock_and_its_controller_are_collected(make_napari_viewer, project, runner, qtbot):
    import gc
    import weakref

    from napari_sslseg._dock import SegmentationDock

    viewer = make_napari_viewer(show=True)
    dock = SegmentationDock(viewer, lambda: runner)
    docked = viewer.window.add_dock_widget(dock)
    dock.open_project(project)
    left = weakref.ref(dock.controller)
    dock.shut()
    viewer.window.remove_dock_widget(docked)
    docked.deleteLater()
    del dock, docked
    qtbot.wait(50)
    gc.collect()
    assert left() is None


def test_a_removed_dock_ends_the_engine(dock, runner, project, qtbot):
    dock.open_project(project)
    dock.controller.view.layers.annotation.data[4, 4, 4] = 1
    viewer = dock._viewer
    viewer.window.remove_dock_widget(dock)
    dock.deleteLater()
    qtbot.waitUntil(lambda: runner.closed, timeout=2000)
    with ProjectStore.open(project, read_only=True) as store:
        assert store.annotation("anna").labels[4, 4, 4] == 1
