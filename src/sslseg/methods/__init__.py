"""The methods: one small file for each published system, found by looking into this folder."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Collection, Iterable
from functools import cache
from typing import Any

from sslseg.core.errors import SslsegError
from sslseg.methods.base import Method, MethodParams

NOT_METHODS = {"base", "catalogue", "parameters", "shared"}


def learners_in(
    folder: Iterable[str], package: str, kind: type[Any], leave_out: Collection[str]
) -> list[type[Any]]:
    """Return every subclass of `kind` that a module of `package` defines.

    Parameters
    ----------
    folder, package
        ``__path__`` and ``__name__`` of the package.
    kind : type
        Its base class.
    leave_out : collection of str
        Modules that hold none.
    """
    found: list[type[Any]] = []
    for module in pkgutil.iter_modules(folder):
        if module.name in leave_out:
            continue
        loaded = importlib.import_module(f"{package}.{module.name}")
        found += [
            value
            for value in vars(loaded).values()
            if isinstance(value, type)
            and issubclass(value, kind)
            and value is not kind
            and value.__module__ == loaded.__name__
        ]
    return found


@cache
def registry() -> dict[str, type[Method[MethodParams]]]:
    """Return every method by its name, supervised first, then by family and name."""
    found = learners_in(__path__, __name__, Method, NOT_METHODS)
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
