"""What a pre-training method is: a learner that never looks at a target.

It is trained by the same loop on the same patches as a method; what remains of it is an encoder,
and perhaps some levels of a decoder, from which every method can start.
"""

from __future__ import annotations

from typing import ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from sslseg.methods.base import Learner, Networks
from sslseg.networks.factory import Maker
from sslseg.networks.unet import Encoder


class PretextParams(BaseModel):
    """Each pre-training method adds its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")


P_co = TypeVar("P_co", bound=PretextParams, covariant=True)


class Pretext(Learner[P_co]):
    """One published way to learn from images alone. A subclass is one small file.

    Its networks are "encoder", the segmentor's, and whatever it throws away in the end.
    """

    family = "Pre-training"
    words: ClassVar[str]
    """After "pre-trained by": for the screen."""
    Params: ClassVar[type[PretextParams]] = PretextParams

    def learnt(self, nets: Networks) -> dict[str, Tensor]:
        """Return the tensors that trainings start from, as `Trainer.load_pretrained` reads them."""
        return prefixed("encoder.", nets["encoder"])


def encoder_of(make: Maker) -> Encoder:
    """Return a new encoder of the plan's shape."""
    return make().encoder


def prefixed(prefix: str, part: nn.Module) -> dict[str, Tensor]:
    """Return the tensors of `part`, each name with `prefix` before it."""
    return {prefix + name: tensor for name, tensor in part.state_dict().items()}
