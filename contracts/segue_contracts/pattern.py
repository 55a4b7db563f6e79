"""Patterns: can one message match both of two subject patterns?"""

from itertools import zip_longest
from typing import Final

ANY: Final = "*"
"""Stands for one token."""
REST: Final = ">"
"""Stands for one token or more, at the end."""


def overlap(one: str, other: str) -> bool:
    """Return whether some subject matches both patterns; a `<name>` counts as any one token."""
    for left, right in zip_longest(one.split("."), other.split("."), fillvalue=""):
        if not left or not right:
            return False
        if REST in (left, right):
            return True
        if left != right and not (_wild(left) or _wild(right)):
            return False
    return True


def _wild(token: str) -> bool:
    return token == ANY or token.startswith("<")
