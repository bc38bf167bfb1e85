"""The methods: one small file for each published system, found by looking into this folder.

Methods of other packages are found by name: see docs/contributing.md.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Collection, Iterable
from functools import cache
from importlib.metadata import entry_points
from typing import Any

from sslseg.core.catalogue import pretraining_methods
from sslseg.core.errors import SslsegError, UnknownMethod
from sslseg.methods.base import Method, MethodParams

GROUP = "sslseg.methods"
"""Entry points of this group are methods of other packages, each under the method's name."""

NOT_METHODS = {"adversary", "base", "catalogue", "ensemble", "parameters", "shared"}


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


def by_name(learners: Iterable[type[Any]]) -> dict[str, type[Any]]:
    """Return these classes by their name, in the same order.

    Raises
    ------
    SslsegError
        When two have the same name, as of a copied file: one would silently replace the other.
    """
    found: dict[str, type[Any]] = {}
    for learner in learners:
        other = found.setdefault(learner.name, learner)
        if other is not learner:
            raise SslsegError(
                f"the name {learner.name!r} in both {_file(other)} and {_file(learner)}",
                "a name of its own for each",
                "Change the name in one of them.",
            )
    return found


def _file(learner: type[Any]) -> str:
    return learner.__module__.replace(".", "/") + ".py"


@cache
def registry() -> dict[str, type[Method[MethodParams]]]:
    """Return every method by its name, supervised first, then by family and name.

    Raises
    ------
    SslsegError
        When two have the same name.
    """
    found = learners_in(__path__, __name__, Method, NOT_METHODS)
    found.sort(key=lambda m: (m.name != "supervised", m.family, m.name))
    return by_name(found)


def find(name: str) -> type[Method[MethodParams]]:
    """Return the method called `name`.

    First one of this folder, which nothing outside can replace; then a class that this process
    has defined or imported (of a notebook's cell run twice, the newer); then what an installed
    package names as an entry point of the group ``sslseg.methods``.

    Raises
    ------
    UnknownMethod
        When there is none.
    SslsegError
        When the entry point is no method of that name.
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
    raise UnknownMethod(
        f"method {name!r}", "one of " + ", ".join([*methods, *outside]), _advice(name)
    )


def _advice(name: str) -> str:
    if any(way.name == name for way in pretraining_methods()):
        return f"{name} learns from images alone: see `sslseg pretrain --help`."
    return "Choose one of these."


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
