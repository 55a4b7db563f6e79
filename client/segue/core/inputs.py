"""The context of a run: which inputs did the command line give?"""

import json
import posixpath
import re
from typing import Final, NoReturn

REPOSITORY: Final = "repository"
"""The input whose relative path is meant from where the command runs."""

_REMOTE: Final = re.compile(r"[a-z][a-z0-9+.-]*://|[^/]+@[^/]+:", re.IGNORECASE)

_KINDS: Final[dict[type, str]] = {
    list: "a list",
    str: "a string",
    bool: "true or false",
    type(None): "null",
}


class ContextError(ValueError):
    """The context is no JSON object; the text names the place."""


def parse_context(text: str, *, source: str = "--context") -> dict[str, object]:
    """Read the JSON object of `--context`.

    Args:
        text: The JSON.
        source: Where it came from, for the message.

    Raises:
        ContextError: It is no JSON, or no object; the message begins `source:line:column`.
    """
    value = parse_json(text, source=source)
    if not isinstance(value, dict):
        kind = _KINDS.get(type(value), "a number")
        raise ContextError(f"{source}:1:1: must be a JSON object such as {{}}, not {kind}")
    return value


def parse_json(text: str, *, source: str) -> object:
    """Read a JSON value of the command line.

    Args:
        text: The JSON.
        source: Where it came from, for the message.

    Raises:
        ContextError: It is no JSON; the message begins `source:line:column`.
    """
    try:
        value: object = json.loads(text, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        place = f"{source}:{error.lineno}:{error.colno}"
        raise ContextError(f"{place}: {error.msg[0].lower()}{error.msg[1:]}") from error
    except RecursionError as error:
        raise ContextError(f"{source}:1:1: nested too deeply") from error
    except _ConstantError as error:
        raise ContextError(_constant_place(text, str(error), source)) from error
    return value


def absolute_repository(context: dict[str, object], *, folder: str) -> dict[str, object]:
    """Return the context with a relative `repository` made absolute; addresses stay.

    Args:
        context: The inputs.
        folder: The absolute folder that relative paths are meant from.
    """
    path = context.get(REPOSITORY)
    if not isinstance(path, str) or not path or _REMOTE.match(path):
        return context
    return context | {REPOSITORY: posixpath.normpath(posixpath.join(folder, path))}


class _ConstantError(Exception):
    """JSON has no such number."""


def _no_constant(name: str) -> NoReturn:
    raise _ConstantError(name)


def _constant_place(text: str, name: str, source: str) -> str:
    before = text[: text.index(name)]
    line = before.count("\n") + 1
    column = len(before) - (before.rfind("\n") + 1) + 1
    return f"{source}:{line}:{column}: {name} is no JSON number"
