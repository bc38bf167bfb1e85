"""Why a slice was suggested, in words for the clinician."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from sslseg.core.geometry import Plane
from sslseg.suggest.greedy import Pick
from sslseg.suggest.strategies import AUTO, CORE_SET, EQUAL
from sslseg.suggest.views import CaseView, Table

DISAGREEMENT_SHARE = 0.2
"""Share of mutual information in the entropy from which members are said to disagree."""

PAST_THE_END = "past the end of what is predicted: see whether the structure ends there"
IN_A_GAP = "a gap in what is predicted: see whether the structure goes on there"
NEXT_PLACE = "next place along the structure"
SURE = "the model is sure here"
HELD_OUT = "it would be for validation first"


def why_scored(
    table: Table, pick: Pick, strategy: str, classes: Sequence[str], parties: str
) -> str:
    """Return what decided for the slice, e.g. "the model is unsure about anterior"."""
    row = pick.row
    about = _about(table, row, classes)
    if strategy == "doubt":
        return f"the discriminator doubts the prediction of {about}"
    if strategy == CORE_SET:
        return "unlike the slices labelled or listed so far"
    if strategy == "random":
        return "drawn at random"
    if strategy == "random-foreground":
        return "drawn at random from the predicted foreground"
    if pick.about is not None:
        mass = table.values["classes"][row, pick.about]
        words = "the model is unsure about it" if mass > 0 else SURE
        return f"the turn of {classes[pick.about]}: {words}"
    unsure = _who_is_unsure(table, row, strategy, about, parties)
    if strategy == AUTO:
        return _off_the_object(table, row) or f"{NEXT_PLACE}: {unsure or SURE}"
    return unsure or f"{SURE}; little else is left to ask"


def _who_is_unsure(table: Table, row: int, strategy: str, about: str, parties: str) -> str:
    """Return in words who is unsure or at odds about a slice, "" where nobody is."""
    mass = table.values["uncertainty"][row]
    if mass <= 0:
        return ""
    share = table.values["mutual"][row] / mass
    if share >= DISAGREEMENT_SHARE or strategy == "disagreement":
        return f"{parties} disagree about {about}"
    return f"the model is unsure about {about}"


def why_spread(case: CaseView, strategy: str, first: bool, undrawn: Sequence[str] = ()) -> str:
    """Return why a slice was chosen without a model.

    `first` tells that nothing is labelled or listed, `undrawn` the classes that are looked for.
    """
    if strategy == EQUAL:
        return "equally spaced"
    if undrawn:
        names = " or ".join(undrawn)
        return f"nothing is drawn as {names} yet: see whether it is here"
    if case.labelled:
        return "a further view of this case"
    if case.features is None:
        return "a new case"
    return "a typical case to begin with" if first else "unlike the cases labelled or listed so far"


def how_long(seconds: float, score: float) -> str:
    """Return the expected time of drawing, and the score before that was counted."""
    return f"about {seconds:.0f} s to draw, score {score * seconds:.3g} without that"


def how_far(case: CaseView, plane: Plane, index: int, taken: Iterable[int]) -> str:
    """Return the distance to the nearest labelled or suggested parallel slice, in words."""
    step = case.geometry.spacing[plane.axis]
    labelled = {abs(index - other) * step for other in case.annotated.get(plane, ())}
    suggested = {abs(index - other) * step for other in taken}
    if labelled and min(labelled) <= min(suggested, default=np.inf):
        return f"{min(labelled):.0f} mm from the nearest labelled slice"
    if suggested:
        return f"{min(suggested):.0f} mm from a slice suggested above"
    if case.labelled:
        return f"no {plane} slice of this case is labelled yet"
    return "nothing is labelled in this case yet"


def _off_the_object(table: Table, row: int) -> str:
    """Return where a slice lies on which nothing is predicted, though on others of its stack.

    "" where something is predicted on it, or on none.
    """
    stack = (table.case == table.case[row]) & (table.axis == table.axis[row])
    foreground = table.values["foreground"]
    inside = table.index[stack & (foreground > 0)]
    if foreground[row] > 0 or not inside.size:
        return ""
    return IN_A_GAP if inside.min() < table.index[row] < inside.max() else PAST_THE_END


def _about(table: Table, row: int, classes: Sequence[str]) -> str:
    masses = table.values["classes"][row]
    return classes[int(masses.argmax())] if masses.any() else "this slice"
