"""What is wrong with a definition, where, and what was probably meant?"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

import msgspec

Path = tuple[str | int, ...]
"""Keys and indices that lead to a value."""

MAX_CANDIDATES: Final = 500
MAX_SHOWN: Final = 80


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong, where it stands in the text, and what was probably meant."""

    file: str
    """The file, as the caller named it."""
    line: int
    """Counted from 1; 0 when the definition has no text."""
    column: int
    """Counted from 1; 0 when the definition has no text."""
    pointer: str
    """JSON Pointer into the document as it was written."""
    code: str
    """Stable reason, such as `unknown_field`."""
    message: str
    """One sentence."""
    suggestion: str = ""
    """The name that was probably meant."""

    def render(self) -> str:
        """Write the problem on one line, the way compilers do."""
        where = f"{self.file}:{self.line}:{self.column}"
        if not self.line:
            where = f"{self.file}: {self.pointer}" if self.pointer else self.file
        hint = f" (did you mean '{self.suggestion}'?)" if self.suggestion else ""
        return f"{where}: {self.message}{hint}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A problem that knows its path, and no position yet."""

    path: Path
    code: str
    message: str
    wrong: str = ""
    """The name for which a suggestion is wanted."""
    candidates: Collection[str] = ()
    """What it could have been."""
    at_key: bool = False
    """Whether the field's name is wrong rather than its value."""
    written: bool = False
    """Whether the path is the author's rather than that of the canonical form."""


def pointer(path: Iterable[str | int]) -> str:
    """Write a path as a JSON Pointer (RFC 6901)."""
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in path)


def closest(wrong: str, candidates: Collection[str]) -> str:
    """Return the candidate that was probably meant, or nothing.

    A long list is narrowed to names that begin alike, since comparing with each would take long.
    """
    if not wrong or len(wrong) > MAX_SHOWN:
        return ""
    names = list(candidates)
    if len(names) > MAX_CANDIDATES:
        names = [name for name in names if name[:1] == wrong[:1]][:MAX_CANDIDATES]
    by_folded = {_folded(name): name for name in reversed(names)}
    matches = get_close_matches(_folded(wrong), by_folded, n=1, cutoff=0.6)
    return by_folded[matches[0]] if matches else ""


def _folded(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()


def shown(text: str) -> str:
    """Quote a name for a message and shorten it."""
    return f"'{text}'" if len(text) <= MAX_SHOWN else f"'{text[: MAX_SHOWN - 1]}…'"
