from __future__ import annotations

import shlex

from napari_sslseg.widgets.parameters import field
from sslseg.core.catalogue import methods
from sslseg.options import settings_of


def test_a_tip_can_be_pasted_into_a_shell(qtbot):
    """A value of several words is quoted, a number is not."""
    cross = next(method for method in methods() if method.name == "cross-teaching")
    parameters = {each.name: each for each in cross.parameters}
    tip = field(parameters["planes"]).tooltip
    assert tip.endswith("--set 'planes=axial and coronal'")
    _, pair = shlex.split(tip.splitlines()[-1])[-2:]
    assert settings_of([pair]) == {"planes": "axial and coronal"}
    assert field(parameters["nearness"]).tooltip.endswith("--set nearness=1.0")
