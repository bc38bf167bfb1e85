"""What the benchmarks share: where the data lies, and results that are kept line by line."""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).with_name("results")
Json = dict[str, Any]


def data_folder(parser: argparse.ArgumentParser, given: str | None, name: str) -> Path:
    """Return the data set `name` under --data or SSLSEG_DATA, or end with a plain line."""
    root = given or os.environ.get("SSLSEG_DATA")
    if not root or not (Path(root) / name).is_dir():
        parser.error(f"no folder {name} in --data or SSLSEG_DATA; see docs/benchmarks.md")
    return Path(root) / name


def once(file: str, key: Json, run: Callable[[], Json]) -> Json:
    """Return the kept result of `key`, or run, keep and return it."""
    path = RESULTS / file
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            entry = json.loads(line)
            if entry["key"] == key:
                return dict(entry["result"])
    result = {**run(), "machine": f"{platform.machine()}, {os.cpu_count()} cores"}
    RESULTS.mkdir(exist_ok=True)
    with path.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps({"key": key, "result": result}) + "\n")
    return result
