"""The methods: one small file for each published system, found by looking into this folder."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from sslseg.core.errors import SslsegError
from sslseg.methods.base import Method, MethodParams

NOT_METHODS = {"adversary", "base", "catalogue", "ensemble", "parameters", "shared"}


@cache
def registry() -> dict[str, type[Method[MethodParams]]]:
    """Return every method by its name, supervised first, then by family and name."""
    found: list[type[Method[MethodParams]]] = []
    for module in pkgutil.iter_modules(__path__):
        if module.name in NOT_METHODS:
            continue
        loaded = importlib.import_module(f"{__name__}.{module.name}")
        found += [
            value
            for value in vars(loaded).values()
            if isinstance(value, type)
            and issubclass(value, Method)
            and value is not Method
            and value.__module__ == loaded.__name__
        ]
    found.sort(key=lambda m: (m.name != "supervised", m.family, m.name))
    return {method.name: method for method in found}


def find(name: str) -> type[Method[MethodParams]]:
    """Return the method called `name`.

    Raises
    ------
    SslsegError
        When there is none.
    """
    methods = registry()
    if name not in methods:
        raise SslsegError(
            f"method {name!r}", "one of " + ", ".join(methods), "Choose one of these."
        )
    return methods[name]
