"""Declarations: how firmly is each dependency of a manifest bound?"""

import re
from collections.abc import Mapping, Sequence
from typing import Literal

from msgspec import Struct

from segue_agents.core.findings import Finding, Severity

TOOL = "list_dependencies"

Binding = Literal["exact", "tag", "range", "open", "moving"]
"""Exact version or commit · image tag · range · any version · a branch or URL that moves."""

_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")


_COMPLAINTS: Mapping[str, tuple[str, Severity, str]] = {
    "moving": ("moving-reference", "medium", "may mean something else tomorrow"),
    "open": ("unpinned", "medium", "accepts any version"),
    "range": ("unlocked-range", "low", "is a range that no lock file fixes"),
    "tag": ("image-tag", "low", "is a tag, which may move; a digest does not"),
}


class Declared(Struct, frozen=True, kw_only=True):
    """One dependency as a manifest declares it."""

    name: str
    """The package, module or image."""
    binding: Binding
    """How firmly it is bound."""
    line: int
    """Where it stands."""
    text: str
    """What stands there, without credentials."""


class Manifest(Struct, frozen=True, kw_only=True):
    """What one manifest declares."""

    ecosystem: str
    """Which packager reads it."""
    declared: tuple[Declared, ...] = ()
    """Its dependencies."""
    locks: tuple[str, ...] = ()
    """Names of the lock files that would pin them; empty where the manifest pins by itself."""


class MalformedError(Exception):
    """A manifest cannot be read."""

    def __init__(self, message: str, *, line: int = 1) -> None:
        super().__init__(message)
        self.message = message
        self.line = line


def judge_manifest(file: str, manifest: Manifest, *, locked: bool) -> list[Finding]:
    """Report dependencies that are not bound, and a missing lock file."""
    found = [_judged(file, item, locked=locked) for item in manifest.declared]
    missing = [] if locked else _no_lock(file, manifest)
    return missing + [finding for finding in found if finding]


def malformed(file: str, error: MalformedError) -> Finding:
    """Report a manifest that cannot be read."""
    return Finding(
        tool=TOOL,
        rule="syntax",
        severity="medium",
        message=error.message,
        file=file,
        line=error.line,
    )


def without_credentials(text: str) -> str:
    """Drop user and password from the URLs of a text."""
    return _CREDENTIALS.sub("", text)


def line_of(lines: Sequence[str], *needles: str) -> int:
    """Return the first line that is one of the needles or else holds one, 1 when none does."""
    places = (
        number
        for needle in needles
        for test in (str.__eq__, str.__contains__)
        for number, line in enumerate(lines, start=1)
        if test(line.strip(), needle)
    )
    return next(places, 1)


def _judged(file: str, item: Declared, *, locked: bool) -> Finding | None:
    if locked or item.binding == "exact":
        return None
    rule, severity, complaint = _COMPLAINTS[item.binding]
    return Finding(
        tool=TOOL,
        rule=rule,
        severity=severity,
        message=f"{without_credentials(item.text)} {complaint}",
        file=file,
        line=item.line,
        symbol=item.name,
    )


def _no_lock(file: str, manifest: Manifest) -> list[Finding]:
    if not manifest.locks or all(item.binding == "exact" for item in manifest.declared):
        return []
    return [
        Finding(
            tool=TOOL,
            rule="no-lock-file",
            severity="medium",
            message=f"no lock file beside or above it ({', '.join(manifest.locks)})",
            file=file,
            line=1,
        )
    ]
