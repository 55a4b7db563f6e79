"""Logs of services: how is what a process prints kept without filling the disk?"""

from pathlib import Path
from typing import Final

_TAIL_BYTES: Final = 16 * 1024


class RotatingLog:
    """A file that is renamed to `<name>.1` (then `.2`, …) when full; the oldest is dropped."""

    def __init__(self, path: Path, *, max_bytes: int = 5_000_000, kept: int = 3) -> None:
        self.path: Final = path
        self._max_bytes = max_bytes
        self._kept = kept
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab", buffering=0)
        self._size = path.stat().st_size

    def write(self, data: bytes) -> None:
        """Append what a process printed."""
        if self._size and self._size + len(data) > self._max_bytes:
            self._rotate()
        self._file.write(data)
        self._size += len(data)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def tail(self, lines: int) -> list[str]:
        """Return the last lines."""
        with self.path.open("rb") as file:
            file.seek(max(0, self.path.stat().st_size - _TAIL_BYTES))
            return file.read().decode(errors="replace").splitlines()[-lines:]

    def _rotate(self) -> None:
        self._file.close()
        names = [self.path, *(self._numbered(number) for number in range(1, self._kept + 1))]
        for older, newer in zip(reversed(names), reversed(names[:-1]), strict=False):
            if newer.exists():
                newer.replace(older)
        self._file = self.path.open("ab", buffering=0)
        self._size = 0

    def _numbered(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")
