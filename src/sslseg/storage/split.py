"""Which slices are held out for validation: decided once, at first sight, and never moved."""

from __future__ import annotations

from collections.abc import Mapping

_TRAINING_PER_VALIDATION = 5
_FIRST_HELD_OUT = 4
_PERIOD = 7


def hold_out(case: str, cases: Mapping[str, bool], slices: int) -> tuple[bool, bool]:
    """Decide about a slice that is annotated for the first time.

    Every sixth annotated case is a validation case with all its slices. Until there is one, the
    4th, 11th, 18th, ... annotated slice is held out: three slices train undisturbed, and seven
    falls on other places of the object in turn when each case has two to six slices.

    Parameters
    ----------
    case : str
        The case of the slice.
    cases : mapping of str to bool
        Annotated cases so far; True for validation cases.
    slices : int
        How many slices were annotated before this one.

    Returns
    -------
    case_held, slice_held : bool
        Whether the case is a validation case, and whether the slice is held out.
    """
    held = sum(cases.values())
    enough = len(cases) - held >= _TRAINING_PER_VALIDATION * (held + 1)
    case_held = cases.get(case, enough)
    position = slices + 1
    turn = position >= _FIRST_HELD_OUT and (position - _FIRST_HELD_OUT) % _PERIOD == 0
    return case_held, case_held or (held == 0 and turn)
