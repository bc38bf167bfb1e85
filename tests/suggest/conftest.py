from __future__ import annotations

import pytest
from suggest_worlds import HEALTHY, flat_scores, grid

from sslseg.suggest.views import CaseView


@pytest.fixture
def make_case():
    def make(name="a", geometry=None, scored=True, seed=0, annotated=None, features=None):
        where = geometry or grid()
        scores = flat_scores(where, seed) if scored else None
        return CaseView(name, where, annotated or {}, scores, features, HEALTHY)

    return make
