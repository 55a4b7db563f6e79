"""Is this text a semantic version, and which of two is the later one?"""

import re
from typing import Final

_SEMANTIC: Final = re.compile(
    r"(0|[1-9]\d{0,9})\.(0|[1-9]\d{0,9})\.(0|[1-9]\d{0,9})"
    r"(?:-((?:0|[1-9]\d{0,9}|\d*[a-zA-Z-][0-9a-zA-Z-]*)"
    r"(?:\.(?:0|[1-9]\d{0,9}|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?",
    re.ASCII,
)
_MAX_LENGTH: Final = 128

Identifier = tuple[int, int, str]
"""A part of a pre-release: numbers come before texts."""

VersionKey = tuple[int, int, int, bool, tuple[Identifier, ...]]
"""Keys compare the way semantic versions do."""


def is_semantic(version: str) -> bool:
    """Tell whether a text is `MAJOR.MINOR.PATCH`, with `-pre` or without."""
    return len(version) <= _MAX_LENGTH and _SEMANTIC.fullmatch(version) is not None


def version_key(version: str) -> VersionKey:
    """Return what orders a version among others: a pre-release comes before its release.

    Raises:
        ValueError: It is no semantic version.
    """
    match = _SEMANTIC.fullmatch(version) if len(version) <= _MAX_LENGTH else None
    if match is None:
        raise ValueError(
            f"{version[:40]!r} is no semantic version: write it like 1.4.0 or 2.0.0-rc.1"
        )
    major, minor, patch, pre = match.groups()
    identifiers = tuple(map(_identifier, pre.split("."))) if pre else ()
    return int(major), int(minor), int(patch), pre is None, identifiers


def _identifier(text: str) -> Identifier:
    return (0, int(text), "") if text.isdecimal() else (1, 0, text)
