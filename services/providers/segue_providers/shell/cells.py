"""Cells: how do several replicas change one small value together?

A cell is a key whose value changes by compare-and-set, over and over until the change is stored.
What is known of a cell is kept, so that one write is enough as long as nobody else changes it, and
the changes that wait in one process are stored together.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Generic, TypeVar

import msgspec

from segue_contracts.envelope import encode
from segue_shared.bus import Bus
from segue_shared.journal import Journal

T = TypeVar("T")
R = TypeVar("R")

Step = Callable[[T], tuple[T, R]]
"""Returns the changed value and what became of it, and raises nothing. It may be asked again after
it was stored, so it recognises its own work; the same object says that nothing changes."""

_EXPECTED: Final = "Nats-Expected-Last-Subject-Sequence"
_TTL: Final = "Nats-TTL"


class _Change(Generic[T]):
    """A change that waits to be stored."""

    __slots__ = ("apply", "done", "ttl_s")

    def __init__(self, apply: Callable[[T], T], ttl_s: int) -> None:
        self.apply = apply
        self.ttl_s = ttl_s
        self.done = False


class _Line(Generic[T]):
    """The changes that wait for one cell."""

    __slots__ = ("changes", "lock")

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.changes: list[_Change[T]] = []


class Cells(Generic[T]):
    """The cells of one kind in one bucket.

    Args:
        bus: The connection.
        bucket: The bucket, which allows keys to lapse.
        empty: The value of a cell that has none.
        ttl_s: Seconds after its last change until a cell is gone.
        remembered: How many cells are known without being read.
    """

    def __init__(
        self, bus: Bus, bucket: str, *, empty: T, ttl_s: int, remembered: int = 1_024
    ) -> None:
        self._bus = bus
        self._root = f"$KV.{bucket}."
        self._journal = Journal(bus, f"KV_{bucket}")
        self._empty = empty
        self._decoder = msgspec.json.Decoder(type(empty))
        self._ttl_s = ttl_s
        self._remembered = remembered
        self._known: OrderedDict[str, tuple[T, int]] = OrderedDict()
        self._lines: dict[str, _Line[T]] = {}

    async def read(self, key: str) -> T:
        """Return a cell's value as the bucket's leader knows it.

        Raises:
            TransientError: The broker does not answer.
        """
        return (await self._load(key))[0]

    def forget(self, key: str) -> None:
        """Keep nothing of a cell in this process."""
        self._known.pop(key, None)

    async def change(self, key: str, step: Step[T, R], *, ttl_s: int = 0, new: bool = False) -> R:
        """Change a cell, and return what became of it once that is certain.

        Args:
            key: Which one.
            step: What changes.
            ttl_s: Seconds until it is gone after this change; 0 for what cells have by default.
            new: Whether the cell most likely has no value yet.

        Raises:
            TransientError: The broker does not answer; whether it is stored is unknown.
        """
        results: list[R] = []

        def apply(value: T) -> T:
            changed, result = step(value)
            results[:] = [result]
            return changed

        change, line = _Change(apply, ttl_s or self._ttl_s), self._lines.setdefault(key, _Line())
        line.changes.append(change)
        try:
            async with line.lock:
                if new and key not in self._known:
                    self._known[key] = (self._empty, 0)
                while not change.done:
                    await self._try(key, line)
        finally:
            if not change.done:
                line.changes.remove(change)
            if not line.changes and not line.lock.locked():
                self._lines.pop(key, None)
        return results[0]

    async def _try(self, key: str, line: _Line[T]) -> None:
        """Store all changes that wait, unless the cell is another than was known."""
        known = self._known.get(key)
        before, revision = known or await self._load(key)
        changes, value = tuple(line.changes), before
        for change in changes:
            value = change.apply(value)
        if value is before and known is not None:
            # What was known may be old, and nothing is written that would prove it.
            del self._known[key]
            return
        if value is not before:
            ttl_s = max(change.ttl_s for change in changes)
            revision = await self._store(key, value, revision, ttl_s=ttl_s)
        if revision or value is before:
            self._remember(key, value, revision)
            for change in changes:
                change.done = True
            line.changes = [change for change in line.changes if not change.done]

    async def _load(self, key: str) -> tuple[T, int]:
        found = await self._journal.newest(f"{self._root}{key}")
        if found is None:
            return self._empty, 0
        # What marks a key that was deleted or has lapsed carries nothing.
        value = self._decoder.decode(found.data) if found.data else self._empty
        return value, found.sequence

    async def _store(self, key: str, value: T, revision: int, *, ttl_s: int) -> int:
        """Store a value and return its revision; 0 when the cell has moved on."""
        self._known.pop(key, None)
        headers = {_EXPECTED: str(revision), _TTL: f"{ttl_s}s"}
        stored = await self._bus.store(f"{self._root}{key}", encode(value), headers=headers)
        return stored.sequence if stored.created else 0

    def _remember(self, key: str, value: T, revision: int) -> None:
        self._known[key] = (value, revision)
        self._known.move_to_end(key)
        while len(self._known) > self._remembered:
            self._known.popitem(last=False)
