"""Workspaces: which files of a repository may tools read?"""

import asyncio
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from segue_agents.shell.git import tracked_files
from segue_shared.errors import PermanentError

MAX_FILES = 20_000
"""Files of a repository that are looked at."""

MAX_BYTES = 1024 * 1024
"""Larger files are data, not source."""

TOOL_TIMEOUT_S = 60.0
"""Seconds that one tool may take unless told otherwise."""

_LISTING_TIMEOUT_S = 30.0
_SNIFFED = 8192

_SKIPPED_FOLDERS = frozenset(
    {
        ".bzr", ".cache", ".eggs", ".git", ".hg", ".hypothesis", ".idea", ".ipynb_checkpoints",
        ".mypy_cache", ".next", ".nox", ".nuxt", ".pytest_cache", ".ruff_cache", ".segue", ".svn",
        ".terraform", ".tox", ".venv", ".yarn", "__pycache__", "__pypackages__",
        "bower_components", "build", "dist", "node_modules", "site-packages", "target", "venv",
    }
)  # fmt: skip
"""Folders that hold what tools made or fetched, not what the repository's people wrote."""

_BUILD_FOLDERS = frozenset({"build", "dist", "target"})
"""Folders that are skipped in a plain folder only: where git is asked, it knows."""


class WorkspaceError(PermanentError):
    """A repository or one of its files cannot be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """A repository on disk and the files in it that tools read."""

    root: Path
    """Its folder, resolved."""
    files: tuple[str, ...]
    """Its text files of at most 1 MiB, relative and sorted."""
    names: frozenset[str]
    """All its files, those too large or binary included."""
    git: bool
    """Whether git listed them."""
    notes: tuple[str, ...] = ()
    """What was left out."""
    timeout_s: float = TOOL_TIMEOUT_S
    """Seconds that one tool may take."""

    @classmethod
    async def open(cls, repository: str, *, timeout_s: float = TOOL_TIMEOUT_S) -> "Workspace":
        """List a repository's files.

        Args:
            repository: Path of its folder.
            timeout_s: Seconds that one tool may take on it.

        Raises:
            WorkspaceError: The path does not exist, is no folder or cannot be read.
        """
        root = await asyncio.to_thread(_resolved, repository)
        listed = await tracked_files(root, timeout_s=_LISTING_TIMEOUT_S)
        surveyed = await asyncio.to_thread(_survey, root, listed or None)
        return cls(
            root=root,
            files=surveyed.files,
            names=surveyed.names,
            git=bool(listed),
            notes=surveyed.notes,
            timeout_s=timeout_s,
        )

    @property
    def python_files(self) -> tuple[str, ...]:
        """The Python files."""
        return tuple(file for file in self.files if file.endswith((".py", ".pyw")))

    def read(self, file: str) -> bytes:
        """Read a file, never through a symbolic link.

        Raises:
            WorkspaceError: It lies outside the root, is no plain file or cannot be read.
        """
        return read_inside(self.root, file)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Survey:
    files: tuple[str, ...]
    names: frozenset[str]
    notes: tuple[str, ...]


def read_inside(root: Path, file: str) -> bytes:
    """Read a plain file below a resolved root, at most 1 MiB of it.

    Raises:
        WorkspaceError: It lies outside the root, is no plain file or cannot be read.
    """
    path = root / file
    if not _stays_inside(root, path):
        raise WorkspaceError(f"{file}: lies outside the repository or behind a symbolic link")
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as stream:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise WorkspaceError(f"{file}: is no plain file")
            return stream.read(MAX_BYTES)
    except OSError as error:
        raise WorkspaceError(f"{file}: cannot be read ({error.strerror})") from error


def _resolved(repository: str) -> Path:
    try:
        root = Path(repository).expanduser().resolve(strict=True)
    except (OSError, RuntimeError, ValueError):
        raise WorkspaceError(
            f"the repository {repository!r} does not exist; name a folder this service can read"
        ) from None
    if not root.is_dir():
        raise WorkspaceError(f"the repository {repository!r} is a file; name its folder")
    if not os.access(root, os.R_OK | os.X_OK):
        raise WorkspaceError(f"the repository {repository!r} cannot be read by this service")
    return root


def _survey(root: Path, listed: list[str] | None) -> _Survey:
    """Sort the files of a repository into those that tools read and the rest."""
    paths = _walked(root) if listed is None else _plain(root, listed)
    names: list[str] = []
    files: list[str] = []
    large = 0
    notes: list[str] = []
    for name, size in paths:
        if not _is_utf8(name):
            notes = notes or ["files whose names are not UTF-8 were left out"]
            continue
        if len(names) == MAX_FILES:
            notes.append(f"only the first {MAX_FILES} files of the repository were looked at")
            break
        names.append(name)
        if size > MAX_BYTES:
            large += 1
        elif not _is_binary(root / name):
            files.append(name)
    if large:
        notes.append(f"{large} files of more than 1 MiB were left out")
    return _Survey(files=tuple(sorted(files)), names=frozenset(names), notes=tuple(notes))


def _plain(root: Path, listed: Iterable[str]) -> Iterator[tuple[str, int]]:
    """Yield the plain files of a listing; symbolic links and what lies behind them are skipped."""
    skipped = _SKIPPED_FOLDERS - _BUILD_FOLDERS
    inside: dict[str, bool] = {}
    for name in listed:
        folder = name.rpartition("/")[0]
        if folder not in inside:
            hidden = not skipped.isdisjoint(folder.split("/"))
            inside[folder] = not hidden and _stays_inside(root, root / folder)
        if inside[folder] and (size := _plain_size(root / name)) is not None:
            yield name, size


def _walked(root: Path) -> Iterator[tuple[str, int]]:
    """Yield the plain files below a folder, without following symbolic links."""
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not _is_skipped(Path(folder, name)))
        for name in sorted(files):
            path = Path(folder, name)
            if (size := _plain_size(path)) is not None:
                yield path.relative_to(root).as_posix(), size


def _is_skipped(folder: Path) -> bool:
    is_environment = (folder / "pyvenv.cfg").exists()
    return folder.name in _SKIPPED_FOLDERS or folder.name.endswith(".egg-info") or is_environment


def _stays_inside(root: Path, path: Path) -> bool:
    """Tell whether a path below the root leads where it says, through no symbolic link."""
    resolved = os.path.realpath(path)
    return resolved == os.fspath(path) and Path(resolved).is_relative_to(root)


def _plain_size(path: Path) -> int | None:
    try:
        status = path.lstat()
    except (OSError, ValueError):
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def _is_utf8(name: str) -> bool:
    """Tell whether a name can travel in JSON; others come with lone surrogates."""
    return not any("\ud800" <= character <= "\udfff" for character in name)


def _is_binary(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            return b"\0" in stream.read(_SNIFFED)
    except OSError:
        return True
