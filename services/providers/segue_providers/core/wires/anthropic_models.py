"""Claude's models: what does a model take, as far as its name tells?"""

import re
from typing import Final

VENDOR: Final = "anthropic"
"""The vendor's name in opaque data, raw parts and provider options."""
DEFAULT_MAX_TOKENS: Final = 32_000
"""A limit of output that every current model takes, where its own is not known."""

_NAME: Final = re.compile(
    r"claude-(?P<family>[a-z]+)-(?P<major>\d{1,2})(?:-(?P<minor>\d{1,2}))?(?!\d)"
)
_OLDER: Final = re.compile(r"claude-[23]\b")
_ADAPTIVE: Final = (4, 6)
_NO_BUDGET: Final = (4, 7)
_ALWAYS: Final = frozenset({"fable", "mythos"})
_NO_SWITCH: Final = (4, 7)


def version(model: str) -> tuple[int, int] | None:
    """Return major and minor version; None where the name does not tell."""
    match = _NAME.search(model)
    if match is not None:
        return int(match["major"]), int(match["minor"] or 0)
    return (3, 0) if _OLDER.search(model) else None


def adaptive(model: str) -> bool:
    """Tell whether a model decides by itself how much it reasons; unknown ones are new."""
    known = version(model)
    return known is None or known >= _ADAPTIVE


def budgeted(model: str) -> bool:
    """Tell whether a model takes a budget of tokens for reasoning."""
    known = version(model)
    return known is not None and known < _NO_BUDGET


def takes_effort(model: str) -> bool:
    """Tell whether a model takes an effort."""
    return adaptive(model) or (version(model) == (4, 5) and "opus" in model)


def switches_off(model: str) -> bool:
    """Tell whether a model can be told not to reason."""
    match = _NAME.search(model)
    return not (match and match["family"] in _ALWAYS) and version(model) != _NO_SWITCH
