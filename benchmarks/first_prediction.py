"""From the click on Train to the first prediction layer, in a real window.

    xvfb-run -a -s "-screen 0 1920x1080x24" python benchmarks/first_prediction.py --cold

A project of 20 hippocampus volumes with 12 labelled coronal slices; nothing is prepared or learnt
before the click. ``--warm``: the worker that opening the project has started waits. ``--cold``: it
was killed just before, so that starting another one counts too.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import napari
import psutil
import window
from common import Json, data_folder, recorded

from napari_sslseg._dock import SegmentationDock
from sslseg.core.events import Event
from sslseg.runner import RunnerState, RunnerStatus
from sslseg.runner.launch import thread_count

KINDS = ("worker_ready", "run_started", "step", "prediction")
"""Events whose first occurrence is kept, in the order in which they come."""


def kill_worker(dock: SegmentationDock) -> None:
    """Kill the worker and wait until the dock knows."""

    def begin(happened: Callable[[], None]) -> None:
        def hear(status: RunnerStatus) -> None:
            if status.state is RunnerState.FAILED:
                dock.controller.status_changed.disconnect(hear)
                happened()

        dock.controller.status_changed.connect(hear)
        for child in psutil.Process().children():
            if "sslseg.worker" in child.cmdline():
                child.kill()

    window.wait(begin, "the worker's end")


def measure(viewer: napari.Viewer, dock: SegmentationDock) -> Json:
    """Click Train; return the seconds to the prediction layer and to what comes before it."""
    first: dict[str, float] = {}

    def hear(event: Event) -> None:
        if event.kind in KINDS:
            first.setdefault(event.kind, round(time.perf_counter() - clicked, 3))

    def begin(happened: Callable[[], None]) -> None:
        viewer.layers.events.inserted.connect(
            lambda event: happened() if event.value.name == "prediction" else None
        )
        window.press(dock, "train")

    dock.controller.told.connect(hear)
    clicked = time.perf_counter()
    window.wait(begin, "the prediction layer")
    return {"seconds": round(time.perf_counter() - clicked, 3), "events": first}


def run(template: Path, name: str, cold: bool) -> Json:
    """Measure once, in a window and on a copy of the project of its own."""
    with window.opened(window.copied(template, name)) as (viewer, dock):
        if cold:
            kill_worker(dock)
        return {**measure(viewer, dock), "worker_threads": thread_count()}


def main() -> None:
    """Run and print the median."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data")
    variant = parser.add_mutually_exclusive_group()
    variant.add_argument("--cold", action="store_true", help="the worker's start counts (default)")
    variant.add_argument("--warm", action="store_true", help="the worker waits for the click")
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    data = data_folder(parser, args.data, "hippocampus")
    name = "warm" if args.warm else "cold"
    seconds = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        template = Path(folder) / "project"
        window.make_project(template, data)
        for repeat in range(args.repeats):
            key = {"variant": name, "repeat": repeat, "worker_threads": thread_count()}
            one = partial(run, template, f"{name}-{repeat}", not args.warm)
            result = recorded("first_prediction.jsonl", key, one)
            seconds.append(result["seconds"])
            print(f"{name} {repeat}: {result['seconds']:.1f} s, events at {result['events']}")
    print(
        f"{name}: median {median(seconds):.1f} s, {min(seconds):.1f} to {max(seconds):.1f} s, "
        f"n {len(seconds)}"
    )


if __name__ == "__main__":
    main()
