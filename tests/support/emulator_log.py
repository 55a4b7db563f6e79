"""The emulator's log: what was asked, what was written, and when did the client go away?"""

import time
from dataclasses import asdict, dataclass, field
from typing import Any

from support.emulator_wire import Asked, Operation


@dataclass(slots=True, kw_only=True)
class Entry:
    """One request and what became of it; times are seconds since the request was read."""

    wire: str
    operation: Operation
    scenario: str
    """As the path names it, also where `switch` stood for another."""
    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: Any
    number: int = 0
    """Counted from 1, over all requests."""
    status: int = 0
    """Of the reply; 0 while there is none."""
    frames: int = 0
    """Frames of a stream that were written."""
    waiting: bool = False
    """Whether writing waits for the client to read."""
    done_s: float | None = None
    """When the reply was complete; None when it never was."""
    gone_s: float | None = None
    """When the client went away before that; None when it did not."""
    _began: float = field(default_factory=time.monotonic)

    def done(self) -> None:
        """Note that all was written that was to be."""
        self.done_s = time.monotonic() - self._began

    def gone(self) -> None:
        """Note that the client did not wait for the end."""
        self.gone_s = time.monotonic() - self._began


class Log:
    """All requests since the last reset."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self._tries: dict[tuple[str, str], int] = {}

    def enter(self, wire: str, operation: Operation, scenario: str, asked: Asked) -> Entry:
        """Note a request."""
        entry = Entry(
            wire=wire,
            operation=operation,
            scenario=scenario,
            method=asked.method,
            path=asked.path,
            query=asked.query,
            headers=asked.headers,
            body=asked.body,
            number=len(self._entries) + 1,
        )
        self._entries.append(entry)
        return entry

    def tries(self, wire: str, scenario: str) -> int:
        """Count one more request of a scenario, and return how many there were before it."""
        before = self._tries.get((wire, scenario), 0)
        self._tries[wire, scenario] = before + 1
        return before

    def told(self) -> list[dict[str, Any]]:
        """Return all entries as JSON values."""
        return [
            {name: value for name, value in asdict(entry).items() if not name.startswith("_")}
            for entry in self._entries
        ]

    def reset(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self._tries.clear()
