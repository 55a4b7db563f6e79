"""Reading: what is in a body, and which of its fields is wrong?

Programs write these bodies, and long ones, so they are decoded by the library of the bus; its
errors become the paths that OpenAI's interfaces use.
"""

import re
from typing import Any, Final, TypeVar

import msgspec

from segue_gateway.core.openai.faults import FaultError, invalid, unsupported

T = TypeVar("T")

_AT: Final = re.compile(r"(?P<what>.*) - at `\$\.?(?P<path>[^`]*)`", re.DOTALL)
_UNKNOWN: Final = re.compile(r"Object contains unknown field `(?P<name>[^`]*)`")
_MISSING: Final = re.compile(r"Object missing required field `(?P<name>[^`]*)`")


class Strict(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """Base of bodies: a field that is not known is an error."""


class Loose(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of what clients send back as they got it: further fields mean nothing."""


def read(data: bytes, kind: type[T]) -> T:
    """Decode a body.

    Raises:
        FaultError: It is not JSON, or has another form; the fault names the field.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.ValidationError as error:
        raise _misformed(str(error), "") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise invalid(f"the body is not JSON: {error}", code="invalid_json") from error


def converted(value: Any, kind: type[T], *, at: str) -> T:
    """Read a part of a body whose form its own content decides.

    Raises:
        FaultError: It has another form; the fault names the field.
    """
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise _misformed(str(error), at) from error


def only(body: object, neutral: dict[str, tuple[object, str]]) -> None:
    """Check that the options which have no meaning here are not asked for.

    Args:
        body: The body.
        neutral: By field, the one value beside null that asks for nothing, and the way out.

    Raises:
        FaultError: One of them is asked for.
    """
    for name, (harmless, way_out) in neutral.items():
        value = getattr(body, name)
        if value is not None and value != harmless:
            raise unsupported(name, way_out)


def _misformed(message: str, at: str) -> FaultError:
    found = _AT.fullmatch(message)
    what, path = (found["what"], found["path"]) if found else (message, "")
    where = f"{at}.{path}" if at and path and path[0] != "[" else f"{at}{path}"
    if unknown := _UNKNOWN.fullmatch(what):
        param = _within(where, unknown["name"])
        return invalid(f"Unknown parameter: '{param}'.", param=param, code="unknown_parameter")
    if missing := _MISSING.fullmatch(what):
        param = _within(where, missing["name"])
        return invalid(
            f"Missing required parameter: '{param}'.",
            param=param,
            code="missing_required_parameter",
        )
    return invalid(
        f"Invalid value for '{where or 'body'}': {what}.", param=where or None, code="invalid_value"
    )


def _within(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name
