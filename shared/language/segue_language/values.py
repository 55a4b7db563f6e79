"""Which values can an expression give, and how do they read as text?"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, MappingView
from itertools import islice
from typing import Final

MAX_ITEMS: Final = 10_000
MAX_OUTPUT: Final = 1_048_576
MAX_BITS: Final = 4_096


def plain(value: object) -> object:
    """Return a value as JSON has it: lists for tuples and iterators, nothing that is no JSON.

    Raises:
        TypeError: It is no JSON value.
        ValueError: It is a number JSON cannot carry, or endless.
    """
    if value is None or isinstance(value, bool | str):
        return str(value) if isinstance(value, str) else value
    if isinstance(value, int | float):
        return _number(value)
    if isinstance(value, Mapping):
        return {_name(name): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple | range | MappingView | Iterator):
        return [plain(item) for item in bounded(value)]
    _check_defined(value)
    raise TypeError(f"the result is a {type(value).__name__}, which is no JSON value")


def bounded(values: object) -> list[object]:
    """Return the items of a list or iterator, of which only an iterator can be too long.

    Raises:
        TypeError: It has no items.
        ValueError: An iterator gives too many.
    """
    if isinstance(values, Mapping | MappingView | str | list | tuple | range):
        return list(values) if isinstance(values, Iterable) else []
    if not isinstance(values, Iterator) or _is_loop(values):
        raise TypeError("a list was expected")
    items = list(islice(values, MAX_ITEMS + 1))
    if len(items) > MAX_ITEMS:
        raise ValueError(f"more than {MAX_ITEMS:,} items")
    return items


def _check_defined(value: object) -> None:
    """Raise what an undefined value of the sandbox raises once it is used."""
    from jinja2 import Undefined  # noqa: PLC0415 - few values get this far

    if isinstance(value, Undefined):
        str(value)


def _is_loop(values: object) -> bool:
    from jinja2.runtime import LoopContext  # noqa: PLC0415 - as above

    return isinstance(values, LoopContext)


def _number(value: float) -> float:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("the result is no finite number")
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        raise ValueError("the number is too large")
    return value


def _name(name: object) -> str:
    if not isinstance(name, str):
        raise TypeError("a mapping's names must be text")
    return str(name)


def to_text(value: object) -> str:
    """Write a value into a text: text as it is, anything else as JSON."""
    if type(value) is str:
        return value
    given = plain(value)
    return given if isinstance(given, str) else to_json(given)


def to_json(value: object, indent: int | None = None) -> str:
    """Write a value as JSON."""
    return json.dumps(plain(value), ensure_ascii=False, allow_nan=False, indent=indent)


def is_true(value: object) -> bool:
    """Tell whether a condition's value holds; the texts `false` and nothing do not."""
    if isinstance(value, str):
        return value.strip().lower() not in ("", "false")
    return bool(value)
