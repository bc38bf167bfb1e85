"""What the benchmarks share: options, results kept line by line, processes of their own, tables."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import sslseg
from sslseg.core.config import Scalar, TrainRequest

RESULTS = Path(os.environ.get("SSLSEG_RESULTS") or Path(__file__).with_name("results"))
Json = dict[str, Any]
Key = TypeVar("Key", bound=Hashable)


def options(about: str | None, minutes: float, seeds: Sequence[int]) -> argparse.ArgumentParser:
    """Return a parser with what every benchmark that trains can be asked for."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=about, formatter_class=form)
    parser.add_argument("--data", help="folder of the data sets; else SSLSEG_DATA")
    parser.add_argument("--minutes", type=float, default=minutes, help="of each training")
    parser.add_argument("--steps", type=int, help="instead of minutes, to try a script out")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(seeds))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--table", action="store_true", help="print what is kept, run nothing")
    return parser


def request_of(
    args: argparse.Namespace, method: str | None, seed: int, settings: dict[str, Scalar]
) -> TrainRequest:
    """Return the training that `options` ask for."""
    minutes = None if args.steps else args.minutes
    return TrainRequest(
        method=method, minutes=minutes, steps=args.steps, seed=seed, settings=settings
    )


def settings_of(pairs: Iterable[str]) -> dict[str, Scalar]:
    """Return ``key=value`` texts as a mapping with typed values; "3d" is no number."""
    return {key: _typed(value) for key, value in (pair.split("=", 1) for pair in pairs)}


def _typed(value: str) -> Scalar:
    try:
        found: Scalar = json.loads(value)
    except json.JSONDecodeError:
        return value
    return found


def data_folder(
    parser: argparse.ArgumentParser, given: str | None, name: str, *, only_kept: bool = False
) -> Path:
    """Return the data set `name` under --data or SSLSEG_DATA, or end with a plain line.

    With `only_kept` nothing will run, so the folder need not be there.
    """
    root = given or os.environ.get("SSLSEG_DATA")
    if only_kept:
        return Path(root or ".").absolute() / name
    if not root or not (Path(root) / name).is_dir():
        parser.error(f"no folder {name} in --data or SSLSEG_DATA; see docs/benchmarks.md")
    return Path(root).absolute() / name


# ---- results ----


def kept(file: str, key: Json) -> Json | None:
    """Return the kept result of `key`, None where there is none."""
    path = RESULTS / file
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            entry = json.loads(line)
            if entry["key"] == key:
                return dict(entry["result"])
    return None


def kept_values(file: str, name: str) -> list[str]:
    """Return what the keys of kept results say of `name`, each once."""
    path = RESULTS / file
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    keys = [json.loads(line)["key"] for line in lines]
    return list(dict.fromkeys(key[name] for key in keys if name in key))


def once(file: str, key: Json, run: Callable[[], Json]) -> Json:
    """Return the kept result of `key`, telling how old it is, or run, keep and return it."""
    found = kept(file, key)
    if found is not None:
        print(f"kept since commit {found.get('commit', '?')}: {key}", file=sys.stderr, flush=True)
        return found
    return recorded(file, key, run)


def recorded(file: str, key: Json, run: Callable[[], Json]) -> Json:
    """Run, keep and return the result, whatever is kept already: a timing is of today's code."""
    result = {**run(), "machine": _machine(), **_commit()}
    RESULTS.mkdir(parents=True, exist_ok=True)
    with (RESULTS / file).open("a", encoding="utf-8") as stream:
        stream.write(json.dumps({"key": key, "result": result}) + "\n")
    return result


def attempt(file: str, key: Json, run: Callable[[], Json], *, only_kept: bool) -> Json | None:
    """Return `once`; a failing run is told and left out, so that the others are made."""
    if only_kept:
        return kept(file, key)
    try:
        return once(file, key, run)
    except (RuntimeError, ValueError, Refused) as error:
        print(f"FAILED {key}: {error}", file=sys.stderr, flush=True)
        return None


class Refused(Exception):
    """A run ended in words, not in a result."""


def alone(run: Callable[..., Json], *args: Any) -> Json:
    """Return the result of ``run(*args)`` in a process of its own, with its peak memory."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_measured, run, args).result()


def _measured(run: Callable[..., Json], args: tuple[Any, ...]) -> Json:
    import resource  # not on Windows

    from sslseg.core.errors import SslsegError

    try:
        result = run(*args)
    except SslsegError as error:
        raise Refused(str(error)) from error
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {**result, "peak_mb": round(peak / (2**20 if sys.platform == "darwin" else 2**10))}


def _machine() -> str:
    """Return the processor's name, where the system tells it, and the number of cores."""
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        lines = []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{(models or [name])[0]}, {os.cpu_count()} cores"


def _commit() -> Json:
    """Return the commit that was measured, where git knows it."""
    said = _git("describe", "--always", "--dirty")
    return {"commit": said} if said else {}


def _git(*words: str) -> str:
    """Return what git says of this folder, "" where it says nothing."""
    command = ["git", "-C", str(Path(__file__).parent), *words]
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return said.stdout.strip()


def code_at_hand() -> str:
    """Return the commit and a hash of the engine and the benchmarks as they are on the disk.

    The hash tells apart what is not committed yet; kept results do not change it.
    """
    engine, here = Path(sslseg.__file__).parent, Path(__file__).parent
    digest = hashlib.sha256()
    for file in [*sorted(engine.rglob("*.py")), *sorted(here.glob("*.py"))]:
        digest.update(file.read_bytes())
    return f"{_git('rev-parse', 'HEAD')}-{digest.hexdigest()}"


# ---- tables ----


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)


def mean(values: Sequence[float]) -> float:
    """Return the mean; NaN of nothing."""
    return statistics.fmean(values) if values else float("nan")


def spread(values: Sequence[float]) -> float:
    """Return the standard deviation over the seeds; NaN with fewer than two."""
    return statistics.stdev(values) if len(values) > 1 else float("nan")


def shown(value: float, digits: int = 3, sign: str = "") -> str:
    """Return a number for a table; "-" where it is not known."""
    return "-" if value != value else f"{value:{sign}.{digits}f}"


# ---- comparisons ----


@dataclass(frozen=True)
class Paired:
    """How much one arm is better than another where both have a value.

    Parameters
    ----------
    gain : float
        Mean difference; NaN where they have nothing in common.
    p : float
        Of a paired t-test, two-sided; NaN with fewer than two pairs, or where all differ alike.
    n : int
        Pairs.
    """

    gain: float
    p: float
    n: int

    @property
    def cells(self) -> list[str]:
        """Gain and p for a table."""
        return [shown(self.gain, 3, "+"), shown(self.p)]

    @property
    def words(self) -> str:
        """All three for a line of text."""
        return f"{self.cells[0]}, p {self.cells[1]}, n {self.n}"


def paired(ours: Mapping[Key, float], theirs: Mapping[Key, float]) -> Paired:
    """Compare two arms over what both have, which is mostly seeds."""
    both = [(ours[key], theirs[key]) for key in ours if key in theirs]
    gains = [ours - theirs for ours, theirs in both]
    if len(gains) < 2 or max(gains) == min(gains):
        return Paired(mean(gains), float("nan"), len(gains))
    from scipy import stats  # takes a while, and timings need none of it

    return Paired(mean(gains), float(stats.ttest_1samp(gains, 0.0).pvalue), len(gains))
