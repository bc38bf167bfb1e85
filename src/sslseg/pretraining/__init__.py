"""Ways to learn from images alone: one small file for each, found by looking into this folder."""

from __future__ import annotations

from functools import cache

from sslseg.core.errors import SslsegError
from sslseg.methods import by_name, learners_in
from sslseg.pretraining.base import Pretext, PretextParams

NOT_PRETEXTS = {"base", "catalogue"}


@cache
def registry() -> dict[str, type[Pretext[PretextParams]]]:
    """Return every pre-training method by its name, in alphabetical order.

    Raises
    ------
    SslsegError
        When two have the same name.
    """
    found = learners_in(__path__, __name__, Pretext, NOT_PRETEXTS)
    return by_name(sorted(found, key=lambda each: str(each.name)))


def find(name: str) -> type[Pretext[PretextParams]]:
    """Return the pre-training method called `name`.

    Raises
    ------
    SslsegError
        When there is none.
    """
    known = registry()
    if name not in known:
        raise SslsegError(
            f"pre-training method {name!r}", "one of " + ", ".join(known), "Choose one of these."
        )
    return known[name]
