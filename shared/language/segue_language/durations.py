"""How long is `1h30m`, in milliseconds and back?"""

import math
import re
from decimal import Decimal
from typing import Final

MAX_MS: Final = 3_650 * 86_400_000
"""Ten years: longer is a mistake."""

_UNITS: Final = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1))
_NUMBER = r"(\d{1,15}(?:\.\d{1,6})?)"
_DURATION = re.compile(
    rf"(?:{_NUMBER}d)?(?:{_NUMBER}h)?(?:{_NUMBER}m(?!s))?(?:{_NUMBER}s)?(?:{_NUMBER}ms)?",
    re.ASCII,
)
_BY_UNIT: Final = dict(_UNITS)
_PLAIN = re.compile(r"(\d{1,9})(ms|[smhd])", re.ASCII)
_HINT = "write it like 250ms, 30s, 5m or 1h30m"


class DurationError(ValueError):
    """The value is no duration."""


def parse_duration(value: object) -> int:
    """Return the milliseconds of a duration; a bare number is milliseconds already.

    Raises:
        DurationError: It is none, is negative, is no whole millisecond or exceeds ten years.
    """
    milliseconds = _from_number(value) if isinstance(value, int | float) else _from_text(value)
    if milliseconds < 0:
        raise DurationError("a duration cannot be negative")
    if milliseconds > MAX_MS:
        raise DurationError("a duration cannot exceed ten years")
    return milliseconds


def _from_number(value: float) -> int:
    endless = isinstance(value, float) and not math.isfinite(value)
    if isinstance(value, bool) or endless:
        raise DurationError(f"{str(value).lower()!r} is no duration: {_HINT}")
    if value != int(value):
        raise DurationError(f"{value} is no whole number of milliseconds")
    return int(value)


def _from_text(value: object) -> int:
    if not isinstance(value, str):
        raise DurationError(f"this is no duration: {_HINT}")
    plain = _PLAIN.fullmatch(value)
    if plain is not None:
        return int(plain[1]) * _BY_UNIT[plain[2]]
    match = _DURATION.fullmatch(value)
    if match is None or not value:
        raise DurationError(f"{value[:40]!r} is no duration: {_HINT}")
    total = sum(
        (
            Decimal(number) * unit
            for number, (_, unit) in zip(match.groups(), _UNITS, strict=True)
            if number
        ),
        Decimal(0),
    )
    if total != int(total):
        raise DurationError(f"{value!r} is no whole number of milliseconds")
    return int(total)


def format_duration(milliseconds: int) -> str:
    """Write milliseconds as `parse_duration` reads them, `1h30m` for 5,400,000."""
    if milliseconds == 0:
        return "0s"
    parts = []
    for name, unit in _UNITS:
        count, milliseconds = divmod(milliseconds, unit)
        if count:
            parts.append(f"{count}{name}")
    return "".join(parts)
