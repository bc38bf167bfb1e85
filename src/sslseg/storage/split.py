"""Which slices are held out for validation: decided once, at first sight, and never moved."""

from __future__ import annotations

from collections.abc import Callable, Mapping

_TRAINING_PER_VALIDATION = 5
_FIRST_HELD_OUT = 4
_PERIOD = 7


def hold_out(
    case: str,
    cases: Mapping[str, bool],
    slices: int,
    held_slices: int,
    only_one: Callable[[], bool],
) -> tuple[bool, bool]:
    """Decide about a slice that is annotated for the first time.

    Every sixth annotated case is a validation case. Until there is one, the 4th, 11th, 18th, ...
    annotated slice is held out: three slices train undisturbed, and seven falls on other places of
    the object in turn when each case has two to six slices.

    A slice with a class that no slice to learn from shows is not held out, not even of a validation
    case: the model would be asked for what nobody taught it. Then the next slice or case takes its
    turn.

    Parameters
    ----------
    case : str
        The case of the slice.
    cases : mapping of str to bool
        Annotated cases so far; True for validation cases.
    slices : int
        How many slices were annotated before this one.
    held_slices : int
        How many of these are held out.
    only_one : callable
        Tells whether no slice to learn from shows some class of this one; asked only where it
        would be held out.

    Returns
    -------
    case_held, slice_held : bool
        Whether the case is a validation case, and whether the slice is held out.
    """
    held = sum(cases.values())
    enough = len(cases) - held >= _TRAINING_PER_VALIDATION * (held + 1)
    case_held = cases.get(case, enough)
    turns = (slices + 1 - _FIRST_HELD_OUT) // _PERIOD + 1
    slice_held = case_held or (held == 0 and held_slices < turns)
    if slice_held and only_one():
        return cases.get(case, False), False
    return case_held, slice_held
