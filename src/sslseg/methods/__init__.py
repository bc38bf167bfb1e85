"""The methods: one small file for each published system, found by looking into this folder.

Methods of other packages are found by name: see docs/contributing.md.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from importlib.metadata import entry_points

from sslseg.core.errors import SslsegError
from sslseg.methods.base import Method, MethodParams

GROUP = "sslseg.methods"
"""Entry points of this group are methods of other packages, each under the method's name."""

NOT_METHODS = {"base", "catalogue", "parameters", "shared"}


@cache
def registry() -> dict[str, type[Method[MethodParams]]]:
    """Return every method of this folder by name, supervised first, then by family and name."""
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

    First one of this folder, which nothing outside can replace; then a class that this process
    has defined or imported (of a notebook's cell run twice, the newer); then what an installed
    package names as an entry point of the group ``sslseg.methods``.

    Raises
    ------
    SslsegError
        When there is none, or the entry point is no method of that name.
    """
    methods = registry()
    if name in methods:
        return methods[name]
    defined = [method for method in _defined() if method.__dict__.get("name") == name]
    if defined:
        return defined[-1]
    for entry in entry_points(group=GROUP, name=name):
        return _checked(entry.load(), name, entry.value)
    outside = sorted(entry_points(group=GROUP).names)
    raise SslsegError(
        f"method {name!r}", "one of " + ", ".join([*methods, *outside]), "Choose one of these."
    )


def _defined() -> list[type[Method[MethodParams]]]:
    """Return every subclass of `Method` that this process knows, older siblings first."""
    found: list[type[Method[MethodParams]]] = [*Method.__subclasses__()]
    for method in found:
        found.extend(method.__subclasses__())
    return found


def _checked(loaded: object, name: str, value: str) -> type[Method[MethodParams]]:
    if isinstance(loaded, type) and issubclass(loaded, Method) and loaded.name == name:
        return loaded
    raise SslsegError(
        f"the entry point {name} = {value} of group {GROUP}",
        f"a subclass of sslseg.methods.base.Method with name = {name!r}",
        "Mend the package that declares it.",
    )
