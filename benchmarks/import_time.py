"""What importing the plugin and the core costs.

    python benchmarks/import_time.py

New processes import napari with its window, then all modules of the plugin, and time both parts;
others import napari alone. The kinds alternate. "Plugin" is the second part; the difference between
the two kinds of process says the same with more noise.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
from functools import partial
from statistics import median

from common import Json, recorded

CLOCK = "import sys, time, json; began = middle = time.perf_counter(); "
MIDDLE = "middle = time.perf_counter(); "
NAPARI = (
    "import napari, napari.layers, napari.utils.notifications, napari.viewer, napari.window; "
    "from qtpy import QtCore, QtGui, QtWidgets; "
)
TOLD = (
    "end = time.perf_counter(); "
    "print(json.dumps({'seconds': end - began, 'second_part': end - middle, 'loaded': [name for "
    "name in ('torch', 'monai', 'napari', 'qtpy', 'scipy', 'pyqtgraph') if name in sys.modules]}))"
)
NEVER = {"torch", "monai"}
LIMITS = {"plugin": 0.3, "core": 0.15}


def everything_in(package: str) -> str:
    """Return the code that imports a package and all its modules; its own listing costs nothing."""
    lister = (
        "import importlib, pkgutil, sys; package = importlib.import_module(sys.argv[1]); "
        "print(*[m.name for m in pkgutil.walk_packages(package.__path__, package.__name__ + '.')])"
    )
    found = subprocess.run(
        [sys.executable, "-c", lister, package], capture_output=True, text=True, check=True
    ).stdout.split()
    names = [package, *(name for name in found if not name.endswith("__main__"))]
    return f"import {', '.join(names)}; "


def timed(code: str) -> Json:
    """Import in a new process; return seconds, interpreter start left out, and what it loaded."""
    argv = [sys.executable, "-c", CLOCK + code + TOLD]
    out = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    return dict(json.loads(out.splitlines()[-1]))


def run(repeats: int) -> Json:
    """Alternate the processes; return medians in seconds and what was loaded."""
    plugin, core = everything_in("napari_sslseg"), everything_in("sslseg.core")
    codes = {"napari": NAPARI, "both": NAPARI + MIDDLE + plugin, "core": core}
    for code in codes.values():  # once for the disk's cache and for the .pyc files
        timed(code)
    found: dict[str, list[Json]] = {name: [] for name in codes}
    for _ in range(repeats):
        for name, code in codes.items():
            found[name].append(timed(code))

    def middle(name: str, what: str = "seconds") -> float:
        return round(median(one[what] for one in found[name]), 4)

    alone, both = middle("napari"), middle("both")
    return {
        "napari": alone,
        "napari_and_plugin": both,
        "difference": round(both - alone, 4),
        "plugin": middle("both", "second_part"),
        "core": middle("core"),
        "plugin_loads": found["both"][0]["loaded"],
        "core_loads": found["core"][0]["loaded"],
    }


def main() -> None:
    """Run and print against the limits; end with 1 where one is broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=11)
    args = parser.parse_args()
    key = {"repeats": args.repeats, "python": platform.python_version()}
    result = recorded("import_time.jsonl", key, partial(run, args.repeats))
    print(f"napari alone {result['napari']:.3f} s, with plugin {result['napari_and_plugin']:.3f} s")
    kept = True
    for what, limit in LIMITS.items():
        unwanted = sorted(NEVER & set(result[f"{what}_loads"]))
        kept = kept and result[what] < limit and not unwanted
        loads = ", ".join(unwanted) or "neither torch nor monai"
        print(f"{what}: {result[what]:.3f} s (limit {limit} s), loads {loads}")
    sys.exit(0 if kept else 1)


if __name__ == "__main__":
    main()
