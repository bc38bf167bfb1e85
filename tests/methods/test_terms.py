"""The terms of the methods against numbers computed by hand, on networks that say what we want."""

from __future__ import annotations

import math

import pytest
import torch
from engine_worlds import make_method, tiny_views
from torch import Tensor, nn

from sslseg.core.annotation import IGNORE
from sslseg.core.errors import SslsegError
from sslseg.data.batch import Batch
from sslseg.methods import find, registry
from sslseg.methods.parameters import fill, parameters_of
from sslseg.methods.shared import TrainingParams


class Says(nn.Module):
    """Gives the same probabilities whatever it sees; its columns are voxels along the width."""

    def __init__(self, *columns: tuple[float, ...]) -> None:
        super().__init__()
        p = torch.tensor(columns).T[None, :, None, :]
        self.logits = nn.Parameter(p.clamp(min=1e-9).log())

    def forward(self, x: Tensor) -> Tensor:
        return self.logits.expand(x.shape[0], -1, -1, -1)


SURE, UNSURE = (0.05, 0.9, 0.05), (0.5, 0.3, 0.2)
STUDENT = (0.2, 0.4, 0.4)
HIDDEN = Batch(torch.zeros((1, 1, 1, 2)), torch.full((1, 1, 2), IGNORE), 0)


def terms(name: str, nets: dict[str, nn.Module], batch: Batch = HIDDEN, fraction=1.0, **params):
    method = make_method(name, start=0.3, consistency=1.0, **params)
    return method.step(batch, tiny_views(), nets, fraction).terms


def test_mean_teacher_believes_sure_voxels_alone():
    """One sure voxel of two: CE to its label, over both voxels."""
    nets = {"student": Says(STUDENT, STUDENT), "teacher": Says(SURE, UNSURE)}
    found = terms("mean-teacher", nets, target="pseudo-labels", threshold=0.8)["consistency"]
    assert found.item() == pytest.approx(-math.log(0.4) / 2, rel=1e-5)
    found.backward()
    assert torch.count_nonzero(nets["student"].logits.grad[..., 1]) == 0


def test_mean_teacher_with_nobody_sure_teaches_nothing():
    nets = {"student": Says(STUDENT, STUDENT), "teacher": Says(UNSURE, UNSURE)}
    found = terms("mean-teacher", nets, target="pseudo-labels", threshold=0.8)
    assert found["consistency"] == 0
    assert "supervised" in found


def test_mean_teacher_with_probabilities():
    nets = {"student": Says(STUDENT, STUDENT), "teacher": Says(SURE, STUDENT)}
    found = terms("mean-teacher", nets, target="probabilities")["consistency"]
    by_hand = (0.15**2 + 0.5**2 + 0.35**2) / 6
    assert found.item() == pytest.approx(by_hand, rel=1e-4)


@pytest.mark.parametrize("target", ["pseudo-labels", "probabilities"])
def test_a_teacher_never_overrules_an_annotated_voxel(target):
    nets = {"student": Says(STUDENT, STUDENT), "teacher": Says(SURE, SURE)}
    said = Batch(HIDDEN.x, torch.tensor([[[0, IGNORE]]]), 0)
    found = terms("mean-teacher", nets, said, target=target)["consistency"]
    found.backward()
    assert torch.count_nonzero(nets["student"].logits.grad[..., 0]) == 0
    assert torch.count_nonzero(nets["student"].logits.grad[..., 1]) == 3


def test_ua_mt_copies_where_the_passes_agree():
    """The sure voxel has entropy 0.36, below any threshold; that of thirds is 1, above it."""
    nets = {"student": Says(STUDENT, STUDENT), "teacher": Says(SURE, (1 / 3,) * 3)}
    found = terms("ua-mt", nets, fraction=0.5)["consistency"]
    by_hand = (0.15**2 + 0.5**2 + 0.35**2) / 2
    assert found.item() == pytest.approx(by_hand, rel=1e-4)


def test_ua_mt_with_nothing_sure_is_zero_not_nan():
    nets = {"student": Says(STUDENT, STUDENT), "teacher": Says((1 / 3,) * 3, (1 / 3,) * 3)}
    assert terms("ua-mt", nets, fraction=0.5)["consistency"] == 0


def test_ua_mt_leaves_batch_norm_of_the_teacher_alone():
    layers = nn.Sequential(nn.BatchNorm2d(1), nn.Dropout(0.5), nn.Conv2d(1, 3, 1)).eval()
    before = {key: value.clone() for key, value in layers.state_dict().items()}
    batch = Batch(torch.randn((2, 1, 4, 4)), torch.full((2, 4, 4), IGNORE), 1)
    nets = {"student": nn.Conv2d(1, 3, 1), "teacher": layers}
    terms("ua-mt", nets, batch)
    assert all(torch.equal(before[key], value) for key, value in layers.state_dict().items())
    assert not any(module.training for module in layers.modules())


def together(*says: nn.Module) -> dict[str, nn.Module]:
    """Networks of co-training whose EMAs say the same as they."""
    nets: dict[str, nn.Module] = {}
    for number, net in enumerate(says):
        nets |= {f"student_{number}": net, f"teacher_{number}": net}
    return nets


def test_co_training_swaps_hard_labels():
    """Each learns the other's argmax: -ln of what it gave that class, both summed."""
    nets = together(Says(SURE, SURE), Says(UNSURE, UNSURE))
    found = terms("co-training", nets, networks=2, threshold=0.0)["consistency"]
    assert found.item() == pytest.approx(-math.log(0.05) - math.log(0.3), rel=1e-4)


def test_co_training_believes_only_a_sure_fellow():
    nets = together(Says(SURE, SURE), Says(UNSURE, UNSURE))
    found = terms("co-training", nets, networks=2, threshold=0.8)["consistency"]
    assert found.item() == pytest.approx(-math.log(0.3), rel=1e-4)


def test_of_three_networks_each_learns_the_mean_of_the_others():
    """The mean of (.9, .1, 0) and (.2, .8, 0) is (.55, .45, 0): class 0, though one says 1."""
    first, second, third = (0.9, 0.1, 0.0), (0.2, 0.8, 0.0), (0.25, 0.25, 0.5)
    nets = together(Says(first, first), Says(second, second), Says(third, third))
    found = terms("co-training", nets, networks=3, threshold=0.0)["consistency"]
    taught = (0.1, 0.2, 0.25)  # what each gave the class: 1 to the first, 0 to the others
    assert found.item() == pytest.approx(-sum(math.log(p) for p in taught), rel=1e-4)


def test_co_training_supervises_both():
    said = Batch(HIDDEN.x, torch.tensor([[[1, IGNORE]]]), 1)
    nets = together(Says(SURE, SURE), Says(UNSURE, UNSURE))
    terms("co-training", nets, said, networks=2)["supervised"].backward()
    for name in ("student_0", "student_1"):
        assert torch.count_nonzero(nets[name].logits.grad[..., 0]) == 3
        assert torch.count_nonzero(nets[name].logits.grad[..., 1]) == 0


def test_unknown_method_is_named_with_the_known_ones():
    with pytest.raises(SslsegError, match=r"'men-teacher'.*supervised"):
        find("men-teacher")


def test_supervised_comes_first():
    assert next(iter(registry())) == "supervised"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"width": "wide"}, "width='wide'"),
        ({"dropout": 2.0}, "less than or equal to 0.9"),
        ({"plane": "diagonal"}, "plane='diagonal'"),
    ],
)
def test_a_wrong_value_is_told_plainly(settings, words):
    with pytest.raises(SslsegError, match=words) as caught:
        fill(TrainingParams, settings)
    assert "pydantic" not in str(caught.value)


def test_fill_takes_what_is_its_own():
    filled = fill(TrainingParams, {"width": 7, "ema_decay": 0.5})
    assert filled.width == 7


def test_parameters_carry_bounds_and_choices():
    found = {p.name: p for p in parameters_of(TrainingParams, "training")}
    assert (found["context"].minimum, found["context"].maximum) == (1, 31)
    assert found["plane"].choices == ("auto", "sagittal", "coronal", "axial")
    assert found["mirror"].type == "bool"
    assert found["plane"].type == "str"
