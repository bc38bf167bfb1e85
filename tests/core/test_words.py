"""Numbers of things in words."""

import pytest

from sslseg.core.words import counted


@pytest.mark.parametrize(
    ("number", "words"),
    [(0, "0 slices"), (1, "1 slice"), (2, "2 slices"), (1200, "1,200 slices")],
)
def test_one_thing_is_no_plural(number: int, words: str) -> None:
    assert counted(number, "slice") == words
