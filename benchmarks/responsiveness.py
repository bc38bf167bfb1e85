"""Does the window stay quick, and are strokes safe at once, while a worker trains?

    xvfb-run -a -s "-screen 0 1920x1080x24" python benchmarks/responsiveness.py

A script paints about one stroke a second through the annotation layer's own mouse callbacks, in a
real window, first with an idle worker, then while it trains on all the cores that it takes. A Qt
timer of 10 ms tells by how much it came too late. A second, read-only connection to the project's
database tells when a stroke was committed: the first revision that it sees after the press whose
labels are those on the screen at the release of the mouse.

Without a graphics card OpenGL is drawn by the processor, and each repaint of anything costs time
in proportion to the window's size: hence --size, by default as napari opens its window.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import napari
import numpy as np
import numpy.typing as npt
import window
from common import Json, data_folder, recorded
from napari.utils.interactions import (
    mouse_move_callbacks,
    mouse_press_callbacks,
    mouse_release_callbacks,
)
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QDoubleSpinBox

sys.path.append(str(Path(__file__).parents[1] / "tests" / "plugin"))

from strokes import Mouse

from napari_sslseg._dock import SegmentationDock
from sslseg.core.geometry import Plane, take_slice
from sslseg.runner import RunnerState
from sslseg.runner.launch import thread_count
from sslseg.storage.store import ProjectStore

TICK_MS = 10
MOVE_MS, MOVES, PAUSE_MS = 16, 25, 600
POLL_S = 0.003
SETTLE_S = 2.0
LIMITS = {"slip_ms": 50.0, "saved_ms": 250.0}


@dataclass(frozen=True)
class Stroke:
    """When a stroke was made, by `time.perf_counter`, and the slice ``(H, W)`` it left."""

    pressed: float
    released: float
    labels: npt.NDArray[np.uint8]


@dataclass
class Hand:
    """Paints strokes across coronal slices, one after the other, until told to stop."""

    viewer: napari.Viewer
    dock: SegmentationDock
    strokes: list[Stroke] = field(default_factory=list)
    _timer: QTimer = field(default_factory=QTimer)
    _made: int = 0
    _motion: Iterator[int] = field(default_factory=lambda: iter(()))

    def __post_init__(self) -> None:
        self._timer.setSingleShot(True)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._act)

    def start(self) -> None:
        """Begin with a new slice."""
        self.strokes = []
        self._motion = self._drag()
        self._timer.start(PAUSE_MS)

    def stop(self) -> None:
        """Lay the brush down, be it in the middle of a stroke."""
        self._timer.stop()

    def _act(self) -> None:
        pause = next(self._motion, None)
        if pause is None:
            self._motion, pause = self._drag(), PAUSE_MS
        self._timer.start(pause)

    def _drag(self) -> Iterator[int]:
        """Press, move and release; yield the milliseconds to wait between."""
        view, self._made = self.dock.controller.view, self._made + 1
        layer = view.layers.annotation
        shape = layer.data.shape
        index = shape[1] // 4 + self._made // 3 % (shape[1] // 2)
        view.slices.go_to(Plane.CORONAL, index)
        layer.mode, layer.selected_label = "paint", 1 + self._made % 2
        way = [np.multiply(voxel, layer.scale) for voxel in self._line(shape, index)]
        mouse = Mouse("mouse_press", way[0], None, list(self.viewer.dims.displayed))
        pressed = time.perf_counter()
        before = np.array(take_slice(layer.data, Plane.CORONAL, index))
        mouse_press_callbacks(layer, mouse)
        mouse.type, mouse.is_dragging = "mouse_move", True
        for point in way[1:]:
            yield MOVE_MS
            mouse.position = point
            mouse_move_callbacks(layer, mouse)
        yield MOVE_MS
        mouse.type, mouse.is_dragging = "mouse_release", False
        released = time.perf_counter()
        mouse_release_callbacks(layer, mouse)
        labels = np.array(take_slice(layer.data, Plane.CORONAL, index), np.uint8)
        if not np.array_equal(labels, before):
            self.strokes.append(Stroke(pressed, released, labels))

    def _line(self, shape: tuple[int, ...], index: int) -> Iterator[tuple[float, int, float]]:
        """Yield voxels of a line from left to right, each stroke at another height."""
        height = (0.2 + 0.6 * (self._made * 0.37 % 1)) * (shape[2] - 1)
        for part in np.linspace(0.2, 0.8, MOVES):
            yield (part * (shape[0] - 1), index, height)


class Slips:
    """Records by how many ms a Qt timer of 10 ms came too late."""

    def __init__(self) -> None:
        self.milliseconds: list[float] = []
        self._last: float | None = None
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._tick)
        self._timer.start(TICK_MS)

    def _tick(self) -> None:
        now = time.perf_counter()
        if self._last is not None:
            self.milliseconds.append(max(0.0, 1000 * (now - self._last) - TICK_MS))
        self._last = now

    def stop(self) -> list[float]:
        """End; return what was recorded."""
        self._timer.stop()
        return self.milliseconds


class Witness(threading.Thread):
    """Notes when a connection of its own first sees each revision."""

    def __init__(self, project: Path) -> None:
        super().__init__(daemon=True)
        self._project = project
        self._enough = threading.Event()
        self.seen: list[tuple[float, int]] = []

    def run(self) -> None:
        last = -1
        with ProjectStore.open(self._project, read_only=True) as store:
            while not self._enough.wait(POLL_S):
                revision = store.revision()
                if revision != last:
                    self.seen.append((time.perf_counter(), revision))
                    last = revision

    def stop(self) -> None:
        """End and wait for it."""
        self._enough.set()
        self.join()

    def delays(self, strokes: list[Stroke]) -> list[float]:
        """Return ms from each release to the commit, 0 where it came during the stroke.

        A stroke that never reached the disk counts as infinite.
        """
        with ProjectStore.open(self._project, read_only=True) as store:
            return [1000 * self._delay(store, stroke) for stroke in strokes]

    def _delay(self, store: ProjectStore, stroke: Stroke) -> float:
        for (_, before), (when, revision) in zip(self.seen, self.seen[1:], strict=False):
            if when < stroke.pressed:
                continue
            for one in range(before + 1, revision + 1):
                if np.array_equal(store.labels_at(one), stroke.labels):
                    return max(0.0, when - stroke.released)
        return float("inf")


@contextmanager
def witness(project: Path) -> Iterator[Witness]:
    """Watch the project's database during the block."""
    made = Witness(project)
    made.start()
    try:
        yield made
    finally:
        made.stop()


def spread(values: list[float]) -> Json:
    """Return count, p50, p99 and maximum; raises ValueError where there is nothing."""
    if not values:
        raise ValueError("nothing was recorded; paint for longer")
    p50, p99 = np.percentile(values, (50, 99), method="higher").tolist()
    found = {"p50": p50, "p99": p99, "max": max(values)}
    return {"n": len(values), **{part: round(value, 2) for part, value in found.items()}}


def painted(hand: Hand, project: Path, seconds: float) -> Json:
    """Paint for a while; return the spread of slips and of delays, in ms."""
    with witness(project) as watch:
        slips = Slips()
        hand.start()
        window.run_for(seconds)
        hand.stop()
        late = slips.stop()
        window.run_for(SETTLE_S)
    return {"slip_ms": spread(late), "saved_ms": spread(watch.delays(hand.strokes))}


def run(data: Path, seconds: float, size: tuple[int, int] | None) -> Json:
    """Paint beside an idle worker, then beside a training one."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        project = Path(folder) / "project"
        window.make_project(project, data)
        with window.opened(project, size) as (viewer, dock):
            shown = viewer.window.geometry()[2:]
            dock.controller.view.slices.set_plane(Plane.CORONAL)
            hand = Hand(viewer, dock)
            window.run_for(SETTLE_S)
            idle = painted(hand, project, seconds)
            dock.findChild(QDoubleSpinBox, "minutes").setValue(2 * seconds / 60 + 1)
            window.press(dock, "train")
            window.wait_for(dock, lambda event: event.kind == "step")
            training = painted(hand, project, seconds)
            if dock.controller.status.state is not RunnerState.RUNNING:
                raise RuntimeError("the training ended before the painting")
            window.press(dock, "stop")
            window.wait_for(dock, lambda event: event.kind == "run_finished")
    ratios = {
        what: {
            part: round(training[what][part] / max(idle[what][part], 0.01), 2)
            for part in ("p50", "p99")
        }
        for what in LIMITS
    }
    return {"window": shown, "idle": idle, "training": training, "training / idle": ratios}


def sides(text: str) -> tuple[int, int]:
    """Read width and height, such as "1600x1000"."""
    width, height = map(int, text.split("x"))
    return width, height


def main() -> None:
    """Run and print against the limits; end with 1 where one is broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data")
    parser.add_argument("--seconds", type=float, default=60.0, help="of painting, each time")
    parser.add_argument("--size", type=sides, help="of the window, such as 1600x1000")
    args = parser.parse_args()
    data = data_folder(parser, args.data, "hippocampus")
    key = {
        "seconds": args.seconds,
        "size": args.size and list(args.size),
        "worker_threads": thread_count(),
    }
    result = recorded("responsiveness.jsonl", key, partial(run, data, args.seconds, args.size))
    print(f"window {result['window'][0]} x {result['window'][1]}")
    for what, limit in LIMITS.items():
        for state in ("idle", "training"):
            p50, p99, worst = (result[state][what][part] for part in ("p50", "p99", "max"))
            print(
                f"{what} while {state}: p50 {p50:.1f}, p99 {p99:.1f}, max {worst:.1f}, "
                f"n {result[state][what]['n']} (limit {limit:g})"
            )
        ratios = result["training / idle"][what]
        print(f"{what} training / idle: p50 {ratios['p50']:.2f}, p99 {ratios['p99']:.2f}")
    kept = (
        result["training"]["slip_ms"]["p99"] < LIMITS["slip_ms"]
        and result["training"]["saved_ms"]["max"] < LIMITS["saved_ms"]
    )
    sys.exit(0 if kept else 1)


if __name__ == "__main__":
    main()
