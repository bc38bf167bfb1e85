"""One-key shortcuts, on the viewer and on the layers of the case.

napari asks the active layer first, and its layer types take letters and digits of their own (P
and 2 choose the brush, C the contrast). So the same keys are bound on each of our layers too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol
from weakref import WeakMethod


class Bindable(Protocol):
    """A viewer or a layer."""

    @property
    def bind_key(self) -> Callable[..., Any]:
        """Bind a key, or with None unbind it."""
        ...


def weak(method: Callable[..., object], *arguments: Any) -> Callable[..., None]:
    """Return a key handler that does not keep the widget behind `method` alive."""
    reference = WeakMethod(method)

    def handler(_target: Any = None) -> None:
        alive = reference()
        if alive is not None:
            alive(*arguments)

    return handler


def bind(targets: Iterable[Bindable], handlers: Mapping[str, Callable[..., None]]) -> None:
    """Bind each key on each target, in place of what was there."""
    for target in targets:
        for key, handler in handlers.items():
            target.bind_key(key, handler, overwrite=True)


def unbind(targets: Iterable[Bindable], keys: Iterable[str]) -> None:
    """Give the keys back to napari."""
    for target in targets:
        for key in keys:
            target.bind_key(key, None)
