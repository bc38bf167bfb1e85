"""From a pydantic model to the form that people fill in."""

from __future__ import annotations

from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError

from sslseg.core.config import Parameter, Scalar
from sslseg.core.errors import SslsegError

TYPES: dict[Any, Literal["bool", "int", "float", "str"]] = {
    bool: "bool",
    int: "int",
    float: "float",
    str: "str",
}


def parameters_of(
    model: type[BaseModel], group: Literal["method", "training", "critic"]
) -> tuple[Parameter, ...]:
    """Return one `Parameter` for each field; bounds, choices and help come from the field."""
    return tuple(_parameter(model, name, group) for name in model.model_fields)


def _parameter(
    model: type[BaseModel], name: str, group: Literal["method", "training", "critic"]
) -> Parameter:
    field = model.model_fields[name]
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    bounds = {
        key: getattr(m, key)
        for m in field.metadata
        for key in ("ge", "gt", "le", "lt")
        if hasattr(m, key)
    }
    choices = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
    return Parameter(
        name=name,
        type="str" if choices else TYPES[field.annotation],
        default=field.default,
        help=field.description or "",
        group=group,
        minimum=bounds.get("ge", bounds.get("gt")),
        maximum=bounds.get("le", bounds.get("lt")),
        choices=choices,
        advanced=bool(extra.get("advanced", False)),
    )


def fill(model: type[BaseModel], settings: dict[str, Scalar]) -> BaseModel:
    """Return `model` filled with those of `settings` that it has.

    Raises
    ------
    SslsegError
        When a value has the wrong type or lies outside its bounds.
    """
    chosen = {key: value for key, value in settings.items() if key in model.model_fields}
    try:
        return model.model_validate(chosen)
    except ValidationError as error:
        problem = error.errors()[0]
        name = str(problem["loc"][0]) if problem["loc"] else "parameters"
        raise SslsegError(
            f"{name}={problem['input']!r}",
            _expected(problem["msg"]),
            "Change the value and train again.",
        ) from error


def _expected(message: str) -> str:
    """Return what pydantic says of a value in words that follow "expected"."""
    words = message.removeprefix("Input should be ")
    if words.startswith(("greater", "less")):
        return f"a value {words}"
    return words[0].lower() + words[1:]
