"""Write ``sslseg/core/catalogue.json``: ``python -m sslseg.methods.catalogue``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import sslseg.core
from sslseg.core.config import MethodInfo
from sslseg.methods import registry
from sslseg.methods.parameters import parameters_of
from sslseg.methods.shared import CriticParams, TrainingParams


def catalogue() -> list[MethodInfo]:
    """Return every method with all parameters that a training of it takes."""
    shared = (
        *parameters_of(TrainingParams, "training"),
        *parameters_of(CriticParams, "critic"),
    )
    infos = [method.info() for method in registry().values()]
    return [info.model_copy(update={"parameters": (*info.parameters, *shared)}) for info in infos]


def text(infos: Sequence[MethodInfo] | None = None) -> str:
    """Return the catalogue as the JSON that is committed; of other learners where given."""
    chosen = catalogue() if infos is None else infos
    return json.dumps([info.model_dump(mode="json") for info in chosen], indent=1) + "\n"


def write(name: str, content: str) -> None:
    """Write a file of the core."""
    Path(sslseg.core.__file__).with_name(name).write_text(content, encoding="utf-8")


def main() -> None:
    """Write the file."""
    write("catalogue.json", text())


if __name__ == "__main__":
    main()
