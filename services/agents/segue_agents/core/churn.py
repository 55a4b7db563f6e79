"""Churn: how often and how much did each file change?"""

from collections.abc import Mapping

from msgspec import Struct

COMMIT_MARK = "\x01"
"""What stands before each commit in the history that `read_churn` reads."""


class Churn(Struct, frozen=True, kw_only=True):
    """The changes of one file over the commits looked at."""

    commits: int = 0
    """Commits that touched it."""
    added: int = 0
    """Lines added."""
    removed: int = 0
    """Lines removed."""


class History(Struct, frozen=True, kw_only=True):
    """The recent past of a repository."""

    commits: int = 0
    """Commits looked at."""
    files: Mapping[str, Churn] = {}
    """What happened to each file, by its path."""


def read_churn(numstat: str) -> History:
    r"""Read `git log -z --numstat --format=%x01`: fields divided by NUL."""
    commits = 0
    files: dict[str, Churn] = {}
    for entry in numstat.split("\0"):
        commits += entry.count(COMMIT_MARK)
        fields = entry.strip(COMMIT_MARK + "\n").split("\t", 2)
        if len(fields) == 3:  # noqa: PLR2004 - added, removed, path
            added, removed, path = fields
            files[path] = _grown(files.get(path, Churn()), _count(added), _count(removed))
    return History(commits=commits, files=files)


def _grown(churn: Churn, added: int, removed: int) -> Churn:
    return Churn(
        commits=churn.commits + 1,
        added=churn.added + added,
        removed=churn.removed + removed,
    )


def _count(field: str) -> int:
    """Read a number of lines; git writes a dash for binary files."""
    return int(field) if field.isdecimal() else 0
