"""Names of cases, domains and classes: what is allowed, and the colours that classes get."""

from __future__ import annotations

import colorsys

from sslseg.core.annotation import BACKGROUND
from sslseg.core.errors import SslsegError
from sslseg.core.volume import ClassLabel

_PALETTE = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7")
"""Okabe and Ito: told apart by colour-blind people too."""

_GOLDEN = 0.618034
_FORBIDDEN = frozenset('/\\:*?"<>|')
_RESERVED = frozenset(
    ["con", "prn", "aux", "nul"] + [f"{p}{n}" for p in ("com", "lpt") for n in range(1, 10)]
)


def check_case_name(name: str) -> None:
    """Refuse names that cannot name a folder on every system, or lead out of the project."""
    bad = (
        not name
        or name != name.strip(" .")
        or any(letter in _FORBIDDEN or not letter.isprintable() for letter in name)
        or name.split(".")[0].lower() in _RESERVED
        or len(name) > 200
    )
    if bad:
        raise SslsegError(
            f"a case named '{name}'",
            "a name that can be a folder's on every system",
            "Rename the image file, then add it again.",
        )


def domain_name(name: str) -> str:
    """Return a domain's name without surplus blanks; "" takes a domain back.

    Raises
    ------
    SslsegError
        If it holds what no line of text can, such as a control character.
    """
    name = " ".join(name.split())
    if not name.isprintable():
        raise SslsegError(
            f"a domain named {name!r}", "a short name of letters and digits", "Type it again."
        )
    return name


def new_class(name: str, existing: tuple[ClassLabel, ...]) -> ClassLabel:
    """Return the next class; raises SslsegError for an empty, taken or superfluous name."""
    name = name.strip()
    taken = {label.name.lower() for label in existing} | {"background", "ignore", "all", "mean"}
    if not name or name.lower() in taken:
        raise SslsegError(
            f"a class named '{name}'",
            "a name that is neither empty, taken nor background, ignore, all or mean",
            "Choose another name.",
        )
    value = len(existing) + 1
    if value >= BACKGROUND:
        raise SslsegError(f"{value} classes", f"at most {BACKGROUND - 1}", "Use fewer classes.")
    return ClassLabel(value=value, name=name, color=_color(value - 1))


def _color(index: int) -> str:
    if index < len(_PALETTE):
        return _PALETTE[index]
    red, green, blue = colorsys.hls_to_rgb(index * _GOLDEN % 1.0, 0.55, 0.65)
    return f"#{round(red * 255):02x}{round(green * 255):02x}{round(blue * 255):02x}"
