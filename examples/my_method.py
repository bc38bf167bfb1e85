"""A method of your own, outside the package, trained on the sample volumes.

``python examples/my_method.py PROJECT [MINUTES]``. The class below is all that a method is. It
teaches unannotated voxels to be decided (entropy minimisation, Grandvalet & Bengio, NeurIPS 2004).
To use it in every program of yours, see "A method outside the package" in docs/contributing.md.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from loop import follow

from sslseg.core.config import TrainRequest
from sslseg.core.control import Control
from sslseg.core.geometry import Plane
from sslseg.data.batch import Batch
from sslseg.data.views import Views
from sslseg.losses.consistency import entropy, weighted_mean
from sslseg.losses.masked import supervised
from sslseg.losses.ramps import Ramp
from sslseg.methods.base import Method, Networks, SemiSupervisedParams, StepOutput, supervised_step
from sslseg.session import Session
from sslseg.storage.samples import sample_images, sample_labels


class Decided(Method[SemiSupervisedParams]):
    """L = L_sup + w(t) mean of H(p) over voxels that nobody annotated."""

    name, family, source = "my-decided", "Mine", "Grandvalet & Bengio, NeurIPS 2004"
    summary = "Doubt costs, wherever nobody said anything."
    Params = SemiSupervisedParams

    def ramps(self) -> dict[str, Ramp]:
        """Doubt costs nothing in the first share of the run."""
        return {"doubt": self.params.rise()}

    def step(self, batch: Batch, views: Views, nets: Networks, fraction: float) -> StepOutput:
        """Return both terms; the loop weighs and descends, and averages the teacher."""
        if self.params.idle(fraction):
            return supervised_step(batch, nets["student"])
        logits = nets["student"](batch.x)
        doubt = entropy(torch.softmax(logits.float(), dim=1))
        hidden = (batch.y < 0).unsqueeze(1)
        terms = {"supervised": supervised(logits, batch.y), "doubt": weighted_mean(doubt, hidden)}
        return StepOutput(terms, logits, batch.y)


def main() -> None:
    """Label three slices, train with the method above, predict all."""
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
