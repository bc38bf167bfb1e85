"""Write a data set of made-up volumes of any size: the sample's, with finer voxels.

    python benchmarks/made_up.py data/large --finer 2 2 2 --cases 20
    python benchmarks/twelve_of_110.py --data data --dataset large --labels orthogonal

For what the planner does where no real volumes of that size with labels are at hand. Contents are
those of sample_data/make_sample_data.py, in as many mm; noise is drawn voxel by voxel, so finer
voxels are no blurred copies.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

SAMPLE = Path(__file__).parents[1] / "sample_data" / "make_sample_data.py"
TEST_SHARE = 4
"""One volume in so many is for the test."""


def generator(finer: tuple[int, ...]) -> ModuleType:
    """Return the sample's generator, for voxels that are so many times finer along each axis."""
    spec = importlib.util.spec_from_file_location("made_up_volumes", SAMPLE)
    if spec is None or spec.loader is None:
        sys.exit(f"{SAMPLE}: cannot be read")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    pairs = list(zip(module.SHAPE, module.SPACING, finer, strict=True))
    found = {
        "SHAPE": tuple(side * times for side, _, times in pairs),
        "SPACING": tuple(size / times for _, size, times in pairs),
        "STORED": {},
        "_FINE": 1,
    }
    vars(module).update(found)
    return module


def main() -> None:
    """Write images, labels and split."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--finer", type=int, nargs=3, default=(1, 1, 1), metavar="TIMES")
    parser.add_argument("--cases", type=int, default=20)
    args = parser.parse_args()
    made = generator(tuple(args.finer))
    names = [f"made_up_{index:03d}" for index in range(1, args.cases + 1)]
    for index, name in enumerate(names, start=1):
        image, labels, affine = made.make_case(index)
        for kind, array in (("images", image), ("labels", labels)):
            made.write(args.folder / kind / f"{name}.nii.gz", array, affine)
        print(f"{index} of {args.cases}", flush=True)
    at = len(names) - max(1, len(names) // TEST_SHARE)
    split = {"train": names[:at], "test": names[at:]}
    (args.folder / "split.json").write_text(json.dumps(split), encoding="utf-8")


if __name__ == "__main__":
    main()
