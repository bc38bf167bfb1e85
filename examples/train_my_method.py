"""Train the method of my_method.py on the sample volumes and export what it predicts.

``python examples/train_my_method.py PROJECT [MINUTES]``. To use a method in every program of yours,
see "A method outside the package" in docs/contributing.md.
"""

from __future__ import annotations

import sys
from pathlib import Path

from loop import follow
from my_method import Decided

from sslseg.core.config import TrainRequest
from sslseg.core.control import Control
from sslseg.core.geometry import Plane
from sslseg.session import Session
from sslseg.storage.samples import sample_images, sample_labels


def main() -> None:
    """Label three slices, train, predict all."""
    project, control = Path(sys.argv[1]), Control()
    minutes = float(sys.argv[2]) if len(sys.argv) > 2 else 1.0
    with Session.create(project, ["nucleus", "capsule"]) as session:
        follow(session.add(sample_images(), control))
        session.import_labels("sample_01", sample_labels()[0], Plane.AXIAL, [18, 24, 30])
        settings = {"consistency": 0.2}
        request = TrainRequest(method=Decided.name, minutes=minutes, settings=settings)
        follow(session.train(request, control))
        follow(session.predict([], control))
        follow(session.export(project / "masks", "nifti", "predictions", control))
    print(f"Masks by {Decided.name}: {project / 'masks'}")


if __name__ == "__main__":
    main()
