"""Moments: which time does a text name?"""

from datetime import UTC, datetime
from typing import Final

LATEST_MS: Final = 253_402_300_799_999
"""The end of the year 9999."""


class MomentError(ValueError):
    """A value names no moment."""


def moment_ms(value: object) -> int:
    """Return the Unix milliseconds of an RFC 3339 text, or of a number that is just that.

    A text with no offset is taken for UTC. What is before the epoch is its first millisecond: it
    has passed, and 0 stands for no moment elsewhere.

    Raises:
        MomentError: It is neither, or after the year 9999.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        if not value <= LATEST_MS:
            raise MomentError(f"{value!r} is after the year 9999; give milliseconds since 1970")
        return max(1, int(value)) if value > 0 else 1
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError as error:
        message = f"{value!r} is no moment such as 2026-11-21T18:00:00Z"
        raise MomentError(message) from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(1, int(moment.timestamp() * 1000))
