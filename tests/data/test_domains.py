"""Who teaches and who is to be learnt about, by hand."""

from __future__ import annotations

import pytest

from sslseg.core.errors import SslsegError
from sslseg.data.domains import BLIND, sides, target_cases

CASES = {"a": "A", "b": "A", "c": "B", "d": "B", "e": "C"}


def test_the_target_is_every_domain_without_an_annotation():
    assert target_cases(CASES, ["a"], "m") == {"c", "d", "e"}
    assert target_cases(CASES, ["a", "e"], "m") == {"c", "d"}


def test_cases_of_which_nobody_said_anything_are_a_domain():
    assert target_cases({"a": "", "b": "new scanner"}, ["a"], "m") == {"b"}
    assert target_cases({"a": "", "b": "new scanner"}, ["b"], "m") == {"a"}


def test_where_all_are_annotated_the_one_with_most_cases_is_the_source():
    assert target_cases(CASES, ["a", "b", "c", "e"], "m") == {"c", "d", "e"}
    assert target_cases(CASES, ["a", "c", "d", "e"], "m") == {"a", "b", "e"}


@pytest.mark.parametrize(
    ("domains", "words"),
    [
        ({"a": "", "b": ""}, "a project with no domains for method m"),
        ({"a": "A", "b": "A"}, "a project with one domain ('A') for method m"),
        ({}, "a project with no domains for method m"),
    ],
)
def test_one_domain_is_refused_in_words_that_say_what_to_do(domains, words):
    with pytest.raises(SslsegError, match="at least two domains") as caught:
        target_cases(domains, [], "m")
    assert words in str(caught.value)
    assert "in the worklist or with `sslseg domain`" in str(caught.value)


def test_source_and_target_are_named_and_what_no_dice_tells():
    domains = {"a": "", "b": "", "c": "site B"}
    words = "Source: no domain set (2 cases, 1 labelled); target: site B (1 case, none labelled)."
    assert sides(domains, {"a"}, {"c"}) == (words, BLIND)


def test_a_labelled_target_has_a_dice_of_its_own():
    (words,) = sides({"a": "A", "b": "B", "c": "B"}, {"a", "b"}, {"b", "c"})
    assert words == "Source: A (1 case, 1 labelled); target: B (2 cases, 1 labelled)."
