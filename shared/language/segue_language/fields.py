"""Which types do the fields of a definition have?"""

import re
from datetime import datetime
from typing import Annotated, Final

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StrictInt,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from segue_language.durations import format_duration, parse_duration
from segue_language.versions import is_semantic

MAX_KEY: Final = 128
MIN_HEARTBEAT: Final = 1_000

DURATION_SCHEMA: Final = {
    "anyOf": [
        {"type": "string", "pattern": r"^(\d+(\.\d+)?(ms|s|m|h|d))+$"},
        {"type": "number", "minimum": 0},
    ],
    "description": "Such as 250ms, 30s, 5m or 1h30m; a bare number is milliseconds.",
}
_NAME: Final = re.compile(rf"[^\x00-\x1f\x7f]{{1,{MAX_KEY}}}")
_ALIAS: Final = re.compile(r"[a-z][a-z0-9-]*")
_MOMENT: Final = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)

Duration = Annotated[
    StrictInt,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema(DURATION_SCHEMA),
]
"""Milliseconds in memory, `1h30m` in files."""

Timeout = Annotated[Duration, Field(gt=0)]
Text = Annotated[str, Field(min_length=1)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Name = Annotated[str, Field(min_length=1, max_length=MAX_KEY, pattern=r"^[^\x00-\x1f\x7f]+$")]
PoolName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
Action = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+\.[A-Za-z0-9_.-]+$")]
Topic = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]+(\.[a-zA-Z0-9_-]+)*$", max_length=200)]
CodePattern = Annotated[str, Field(pattern=r"^([^*]+\*?|\*)$")]


def _checked_heartbeat(milliseconds: int) -> int:
    if milliseconds < MIN_HEARTBEAT:
        raise PydanticCustomError("heartbeat", "must be at least 1s")
    return milliseconds


Heartbeat = Annotated[Duration, AfterValidator(_checked_heartbeat)]


def _as_condition(value: object) -> object:
    return str(value).lower() if isinstance(value, bool) else value


Condition = Annotated[
    str,
    Field(min_length=1),
    BeforeValidator(_as_condition),
    WithJsonSchema({"type": ["string", "boolean"]}),
]
"""An expression with or without braces."""


def _checked_moment(text: str) -> str:
    if "{{" in text or (_MOMENT.fullmatch(text) and _is_moment(text)):
        return text
    message = "write a moment like 2030-01-31T09:00:00Z, or a template that gives one"
    raise PydanticCustomError("moment", message)


def _is_moment(text: str) -> bool:
    try:
        datetime.fromisoformat(text.upper())
    except ValueError:
        return False
    return True


Moment = Annotated[str, Field(min_length=1), AfterValidator(_checked_moment)]
"""A moment in RFC 3339, or a template that gives one."""


def workflow_reference(text: str) -> tuple[str, str]:
    """Return the name and the selector of `name`, `name@version` or `name@alias`.

    The selector is empty where the text names none.

    Raises:
        ValueError: It is none of these.
    """
    name, at, selector = text.rpartition("@")
    name, selector = (name, selector) if at else (text, "")
    fits = is_semantic(selector) or _ALIAS.fullmatch(selector) if at else True
    if not _NAME.fullmatch(name) or not fits:
        message = "write it like name, name@1.4.0 or name@alias (of a-z, 0-9 and '-')"
        raise ValueError(message)
    return name, selector


def _checked_reference(text: str) -> str:
    workflow_reference(text)
    return text


WorkflowReference = Annotated[str, Field(min_length=1), AfterValidator(_checked_reference)]
"""`name`, `name@version` or `name@alias`."""


class Model(BaseModel):
    """Frozen, refuses unknown fields, camelCase in files."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        protected_namespaces=(),
        use_attribute_docstrings=True,
    )
