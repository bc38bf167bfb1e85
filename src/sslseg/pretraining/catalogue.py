"""Write ``sslseg/core/pretraining.json``: ``python -m sslseg.pretraining.catalogue``."""

from __future__ import annotations

from sslseg.core.config import MethodInfo
from sslseg.methods import catalogue
from sslseg.pretraining import registry


def pretexts() -> list[MethodInfo]:
    """Return every pre-training method with its own parameters."""
    return [pretext.info() for pretext in registry().values()]


def main() -> None:
    """Write the file."""
    catalogue.write("pretraining.json", catalogue.text(pretexts()))


if __name__ == "__main__":
    main()
