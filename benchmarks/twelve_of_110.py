"""Protocol "12 of 110" on MSD hippocampus: 3 coronal slices in each of 4 of 110 volumes.

    python benchmarks/twelve_of_110.py --method mean-teacher --minutes 4 --seeds 0 1 2

The annotator's slices lie at 1/6, 3/6 and 5/6 of the organ's coronal extent; a seed draws other
volumes. The 41 test volumes join the project after training, are never seen before, and are scored
once, by the last step. ``--labels dense`` labels all 110 volumes instead (full supervision),
``--labels volumes`` the 4 volumes whole, ``--labels orthogonal`` the middle slice of each of the
three planes.
"""

from __future__ import annotations

from functools import partial

import hippocampus
from common import (
    alone,
    attempt,
    data_folder,
    mean,
    options,
    request_of,
    settings_of,
    shown,
    spread,
)


def main() -> None:
    """Run what is missing and print mean and spread."""
    parser = options(__doc__, minutes=4.0, seeds=[0, 1, 2])
    parser.add_argument("--method")
    parser.add_argument("--labels", choices=hippocampus.LABELS, default="coronal")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--score", choices=["test", "train"], default="test")
    args = parser.parse_args()
    data = data_folder(parser, args.data, "hippocampus")
    settings = settings_of(args.set)
    found = []
    for seed in args.seeds:
        request = request_of(args, args.method, seed, settings)
        key = {**request.model_dump(mode="json"), "labels": args.labels, "threads": args.threads}
        key |= {"score": args.score}
        one = partial(alone, hippocampus.run, data, request, args.labels, args.threads, args.score)
        result = attempt("twelve_of_110.jsonl", key, one, only_kept=args.table)
        if result is not None:
            found.append(result["dice"])
            end = f"{result['steps']} steps, {result['train_seconds']} s"
            print(f"seed {seed}: Dice {result['dice']:.4f}, {end}", flush=True)
    name = f"{args.method or 'default'} {settings or ''} {args.labels}"
    print(f"{name}: mean {shown(mean(found), 4)}, sd {shown(spread(found), 4)}, n {len(found)}")


if __name__ == "__main__":
    main()
