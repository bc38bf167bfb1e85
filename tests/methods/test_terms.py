"""The terms of the methods against numbers computed by hand, on networks that say what we want."""

from __future__ import annotations

import math
from bisect import bisect
from itertools import combinations

import pytest
import torch
from engine_worlds import make_method, tiny_batch, tiny_plan, tiny_views
from torch import Tensor, nn

from sslseg.core.annotation import IGNORE
from sslseg.core.errors import SslsegError
from sslseg.data.batch import Batch
from sslseg.data.views import Views
from sslseg.methods import find, registry
from sslseg.methods.parameters import fill, parameters_of
from sslseg.methods.shared import TrainingParams
from sslseg.networks.factory import Maker


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


def hidden(voxels: int) -> Batch:
    """One unlabelled item of so many voxels side by side."""
    return Batch(torch.zeros((1, 1, 1, voxels)), torch.full((1, 1, voxels), IGNORE), 0)


HIDDEN = hidden(2)


def terms(name: str, nets: dict[str, nn.Module], batch: Batch = HIDDEN, fraction=1.0, **params):
    method = make_method(name, **{"start": 0.3, "consistency": 1.0, **params})
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


def entropy_of(a: float) -> float:
    """Entropy of (1 - 2a, a, a) over ln 3."""
    return -((1 - 2 * a) * math.log(1 - 2 * a) + 2 * a * math.log(a)) / math.log(3)


def column(doubt: float) -> tuple[float, float, float]:
    """Three probabilities of this entropy over ln 3."""
    finely = [step / 30000 for step in range(1, 10000)]
    a = finely[bisect(finely, doubt, key=entropy_of)]
    return 1 - 2 * a, a, a


def test_ua_mt_copies_where_the_passes_agree():
    """Mean over classes and sure voxels of (p - p')^2.

    Entropies over ln 3: 0.36; 0.73, which in nats, 0.80, is above the threshold times ln 2, 0.57;
    and 1, above the threshold of 0.82.
    """
    hesitant = (0.7, 0.2, 0.1)
    nets = {
        "student": Says(STUDENT, STUDENT, STUDENT),
        "teacher": Says(SURE, hesitant, (1 / 3,) * 3),
    }
    found = terms("ua-mt", nets, hidden(3), fraction=0.5)["consistency"]
    by_hand = (0.15**2 + 0.5**2 + 0.35**2 + 0.5**2 + 0.2**2 + 0.3**2) / (3 * 2)
    assert found.item() == pytest.approx(by_hand, rel=1e-4)
    found.backward()
    taught = nets["student"].logits.grad[0, :, 0].count_nonzero(0)
    assert taught.tolist() == [3, 3, 0]


def test_ua_mt_of_two_classes_is_the_published_term():
    """Half the squared distance: (0.3^2 + 0.3^2) / 2."""
    nets = {"student": Says((0.6, 0.4)), "teacher": Says((0.9, 0.1))}
    found = terms("ua-mt", nets, hidden(1), fraction=0.5)["consistency"]
    assert found.item() == pytest.approx(0.3**2, rel=1e-4)


@pytest.mark.parametrize(
    ("fraction", "threshold"), [(0.0, 0.7517), (0.5, 0.8216), (0.8, 0.9547), (0.999, 1.0)]
)
def test_ua_mt_believes_more_and_more(fraction, threshold):
    """0.75 + 0.25 exp(-5 (1 - t)^2), which is 1 at the end: then all but the clueless teach."""
    columns = [column(threshold - 0.001), column(min(threshold + 0.001, 0.999))]
    nets = {"student": Says(STUDENT, STUDENT), "teacher": Says(*columns)}
    terms("ua-mt", nets, fraction=fraction, start=0.0)["consistency"].backward()
    taught = nets["student"].logits.grad[0, :, 0].count_nonzero(0)
    assert taught.tolist() == [3, 3 if threshold == 1 else 0]


def test_ua_mt_with_nothing_sure_is_zero_not_nan():
    nets = {"student": Says(STUDENT, STUDENT), "teacher": Says((1 / 3,) * 3, (1 / 3,) * 3)}
    assert terms("ua-mt", nets, fraction=0.5)["consistency"] == 0


def test_ua_mt_leaves_annotated_voxels_to_their_annotation():
    nets = {"student": Says(STUDENT, STUDENT), "teacher": Says(SURE, SURE)}
    said = Batch(HIDDEN.x, torch.tensor([[[0, IGNORE]]]), 0)
    found = terms("ua-mt", nets, said)["consistency"]
    assert found.item() == pytest.approx((0.15**2 + 0.5**2 + 0.35**2) / 3, rel=1e-4)
    found.backward()
    assert nets["student"].logits.grad[0, :, 0].count_nonzero(0).tolist() == [0, 3]


def test_ua_mt_takes_unlabelled_items_alone():
    """Hidden voxels of labelled items teach nothing, as published."""
    x = torch.randn((2, 1, 4, 4)).requires_grad_()
    batch = Batch(x, torch.full((2, 4, 4), IGNORE), 1)
    nets = {"student": nn.Conv2d(1, 3, 1), "teacher": nn.Conv2d(1, 3, 1)}
    terms("ua-mt", nets, batch)["consistency"].backward()
    assert x.grad[0].count_nonzero() == 0
    assert x.grad[1].count_nonzero() > 0


class Remembers(nn.Module):
    """A network, and all that it said."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net, self.said = net, []

    def forward(self, x: Tensor) -> Tensor:
        self.said.append(self.net(x))
        return self.said[-1]


def test_passes_of_ua_mt_differ_by_what_is_dropped(monkeypatch):
    """Eight passes and the one that is copied, though they see the same image."""
    monkeypatch.setattr(Views, "noisy", lambda self, x: x)
    torch.manual_seed(0)
    nets = make_method("ua-mt").build(Maker(tiny_plan(2).network))
    nets["teacher"] = Remembers(nets["teacher"])
    terms("ua-mt", nets, tiny_batch(2))
    said = nets["teacher"].said
    assert len(said) == 9
    assert all(len(answer) == 2 for answer in said), "unlabelled items alone"
    assert not any(torch.equal(a, b) for a, b in combinations(said, 2))
    calm = nets["teacher"].net
    assert torch.equal(calm(tiny_batch(2).x), calm(tiny_batch(2).x)), "the prediction drops nothing"


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
        ({"dropout": 2.0}, "expected a value less than or equal to 0.9"),
        ({"plane": "diagonal"}, "plane='diagonal'; expected '"),
        ({"width": 1.5}, "expected a valid integer"),
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
