"""The methods and their parameters, known without loading torch.

`catalogue.json` is written by ``python -m sslseg.methods.catalogue`` from the method files
themselves, `pretraining.json` by ``python -m sslseg.pretraining.catalogue``; a test fails when
they differ.
"""

from __future__ import annotations

from functools import cache
from importlib import resources

from pydantic import TypeAdapter

from sslseg.core.config import MethodInfo

DEFAULT_METHOD = "bcp"
"""What the Train button runs with nothing chosen."""

DEFAULT_PRETRAINING = "masked"
"""How images alone are learnt from with nothing chosen."""

_LIST = TypeAdapter(tuple[MethodInfo, ...])


@cache
def methods() -> tuple[MethodInfo, ...]:
    """Return all methods that ship with the engine, supervised first."""
    return _read("catalogue.json")


@cache
def pretraining_methods() -> tuple[MethodInfo, ...]:
    """Return all ways to learn from images alone that ship with the engine."""
    return _read("pretraining.json")


def _read(name: str) -> tuple[MethodInfo, ...]:
    text = resources.files("sslseg.core").joinpath(name).read_text(encoding="utf-8")
    return _LIST.validate_json(text)
