"""What every message of the worker's pipe is."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

# A loss may be NaN: it must survive the pipe rather than arrive as null.
JSON = ConfigDict(ser_json_inf_nan="constants")


class Message(BaseModel):
    """One line of JSON; `kind` tells which."""

    model_config = ConfigDict(frozen=True) | JSON
