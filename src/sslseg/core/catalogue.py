"""The methods and their parameters, known without loading torch.

`catalogue.json` is written by ``python -m sslseg.methods.catalogue`` from the method files
themselves; a test fails when the two differ.
"""

from __future__ import annotations

from functools import cache
from importlib import resources

from pydantic import TypeAdapter

from sslseg.core.config import MethodInfo

DEFAULT_METHOD = "mean-teacher"
"""What the Train button runs with nothing chosen."""

_LIST = TypeAdapter(tuple[MethodInfo, ...])


@cache
def methods() -> tuple[MethodInfo, ...]:
    """Return all methods that ship with the engine, supervised first."""
    text = resources.files("sslseg.core").joinpath("catalogue.json").read_text(encoding="utf-8")
    return _LIST.validate_json(text)
