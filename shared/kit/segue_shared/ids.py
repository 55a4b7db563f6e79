"""Ids: how is something new named?"""

import secrets
from typing import Protocol

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_TIME_BITS, _RANDOM_BITS, _SHORT_BITS = 48, 80, 65


class Ids(Protocol):
    """Where new ids come from; tests hand in a fake."""

    def run_id(self, now_ms: int) -> str:
        """Return a run id: 26 of a-z and 0-9, ordered by time."""
        ...

    def unique(self) -> str:
        """Return a short random id."""
        ...


class SystemIds:
    """Ids of 48 bits of time and 80 random bits in Crockford's base 32, as in the ULID spec."""

    def run_id(self, now_ms: int) -> str:
        """Return a run id: 26 of a-z and 0-9, ordered by time."""
        number = (now_ms % (1 << _TIME_BITS)) << _RANDOM_BITS | secrets.randbits(_RANDOM_BITS)
        return _text(number, _TIME_BITS + _RANDOM_BITS)

    def unique(self) -> str:
        """Return a short random id."""
        return _text(secrets.randbits(_SHORT_BITS), _SHORT_BITS)


def _text(number: int, bits: int) -> str:
    """Write a number of so many bits in base 32, leading zeros included."""
    return "".join(
        _ALPHABET[(number >> shift) & 31] for shift in range(-(-bits // 5) * 5 - 5, -1, -5)
    )
