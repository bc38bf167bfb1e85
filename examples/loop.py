"""The loop in Python: a project from images, some labelled slices, a model, masks.

``python examples/loop.py PROJECT [MINUTES]`` makes PROJECT from the sample volumes. For data of
your own, change the paths and classes; the rest stays.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from sslseg.core.config import TrainRequest
from sslseg.core.control import Control
from sslseg.core.events import Event, StepReported, Validated
from sslseg.core.geometry import Plane
from sslseg.session import Session
from sslseg.storage.samples import sample_images, sample_labels


def follow(events: Iterator[Event]) -> None:
    """Long work is a generator of events: it goes on as far as you ask for more."""
    for event in events:
        if isinstance(event, StepReported) and event.step % 20 == 0:
            print(f"step {event.step}, {event.seconds_left:.0f} s left, {event.terms}")
        elif isinstance(event, Validated) and event.mean is not None:
            print(f"step {event.step}: Dice {event.mean:.2f} on held-out slices")


def main() -> None:
    """Label, train, ask where to look next, export."""
    project = Path(sys.argv[1])
    minutes = float(sys.argv[2]) if len(sys.argv) > 2 else 1.0
    control = Control()  # control.stop() from another thread ends what is running
    with Session.create(project, ["nucleus", "capsule"]) as session:
        follow(session.add(sample_images(), control))
        first, second = sample_labels()
        session.import_labels("sample_01", first, Plane.AXIAL, [18, 24, 30])
        session.import_labels("sample_02", second, Plane.AXIAL, [18, 24, 30])
        follow(session.train(TrainRequest(minutes=minutes), control))
        follow(session.predict([], control))
        for suggestion in session.suggest(3):
            print(f"{suggestion.case}, {suggestion.plane} {suggestion.slice}: {suggestion.reason}")
        follow(session.export(project / "masks", "nifti", "predictions", control))
    print(f"Masks: {project / 'masks'}")


if __name__ == "__main__":
    main()
