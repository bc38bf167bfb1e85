"""A saved slice survives kill -9 at any moment."""

import random
import subprocess
import sys
from pathlib import Path

import numpy as np

from sslseg.core.annotation import SliceKey
from sslseg.core.geometry import Plane
from sslseg.storage.store import ProjectStore

KILLS = 30
WRITE = """
import sys
from pathlib import Path
import numpy as np
from sslseg.core.annotation import SliceState
from sslseg.core.geometry import Plane
from sslseg.storage.store import ProjectStore

with ProjectStore.open(Path(sys.argv[1])) as store:
    assert not store.read_only
    while True:
        revision = store.revision() + 2
        labels = np.full((4, 5), revision // 2 % 250 + 1, np.uint8)
        pair = {index: (labels, SliceState.PARTIAL) for index in (0, 1)}
        print(store.save_slices("head", Plane.AXIAL, pair), flush=True)
"""


def write_and_kill(project: Path, acknowledged: int, delay: float) -> int:
    """Let another process write; kill it after some revisions and a moment; return the last one."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITE, str(project)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for _ in range(acknowledged):
        process.stdout.readline()
    try:
        process.wait(delay)
    except subprocess.TimeoutExpired:
        process.kill()
    rest = process.stdout.read().splitlines(keepends=True)
    process.stdout.close()
    process.wait()
    whole = [line for line in rest if line.endswith("\n")]
    return int(whole[-1]) if whole else 0


def test_everything_acknowledged_is_there_after_kill(project: ProjectStore) -> None:
    project.close()
    dice = random.Random(0)
    for _ in range(KILLS):
        last = write_and_kill(project.path, dice.randrange(1, 4), dice.uniform(0, 0.02))
        with ProjectStore.open(project.path) as store:
            assert not store.read_only
            revision = store.revision()
            assert revision >= last
            assert revision % 2 == 0  # both slices of a save, or neither
            expected = revision // 2 % 250 + 1
            assert (store.annotation("head").labels[:, :, :2] == expected).all()
    with ProjectStore.open(project.path) as store:
        key = SliceKey(case="head", plane=Plane.AXIAL, index=0)
        for record in store.history(key):
            labels = store.labels_at(record.revision)
            assert np.all(labels == (record.revision + 1) // 2 % 250 + 1)
