"""The key-value store: how is small shared state read and changed?

The wire form is the clients' own (ADR-8), so `nats kv` and every client library see the same
buckets; reads are direct gets and writes carry their guard, with no look-up in between.
"""

import re
from typing import Final

import msgspec

from segue_shared.bus import Bus
from segue_shared.errors import InvalidMessageError
from segue_shared.journal import Journal
from segue_shared.replies import status_of

_KEY: Final = re.compile(r"[-/_=a-zA-Z0-9]+(\.[-/_=a-zA-Z0-9]+)*")
_OPERATION: Final = "KV-Operation"
_EXPECTED: Final = "Nats-Expected-Last-Subject-Sequence"


class Entry(msgspec.Struct, frozen=True):
    """A key's value at a revision."""

    value: bytes
    """The content."""
    revision: int
    """Changes with every write."""


class _Slot(msgspec.Struct, frozen=True):
    """What a subject holds: a value, or the marker of a deletion."""

    entry: Entry
    deleted: bool


class KeyValue:
    """One bucket."""

    def __init__(self, bus: Bus, bucket: str) -> None:
        self._bus = bus
        self._bucket = bucket
        self._journal = Journal(bus, f"KV_{bucket}")

    async def get(self, key: str) -> Entry | None:
        """Return a key's value; None when it has none."""
        slot = await self._slot(key)
        return None if slot is None or slot.deleted else slot.entry

    async def create(self, key: str, value: bytes) -> int | None:
        """Set a key that has no value and return its revision; None when it has one."""
        if revision := await self.update(key, value, 0):
            return revision
        slot = await self._slot(key)
        if slot is None or not slot.deleted:
            return None
        return await self.update(key, value, slot.entry.revision)

    async def put(self, key: str, value: bytes) -> int:
        """Set a key whatever it holds, and return its revision."""
        return await self._bus.append(self._subject(key), value)

    async def update(self, key: str, value: bytes, revision: int) -> int | None:
        """Set a key that is at `revision` and return the new one; None when it has moved on."""
        headers = {_EXPECTED: str(revision)}
        stored = await self._bus.store(self._subject(key), value, headers=headers)
        return stored.sequence if stored.created else None

    async def delete(self, key: str) -> None:
        """Take a key's value away."""
        await self._bus.append(self._subject(key), b"", headers={_OPERATION: "DEL"})

    async def keys(self, prefix: str = "") -> list[str]:
        """Return the keys below a prefix of whole tokens, deleted ones included until purged."""
        root = f"$KV.{self._bucket}."
        pattern = f"{root}{prefix}.>" if prefix else f"{root}>"
        return [subject.removeprefix(root) for subject in await self._journal.subjects(pattern)]

    async def _slot(self, key: str) -> _Slot | None:
        subject = f"$JS.API.DIRECT.GET.KV_{self._bucket}.{self._subject(key)}"
        [answer] = await self._bus.exchange(subject, b"")
        if status_of(answer):
            return None
        headers = answer.headers or {}
        entry = Entry(answer.data, int(headers["Nats-Sequence"]))
        return _Slot(entry, deleted=_OPERATION in headers or "Nats-Marker-Reason" in headers)

    def _subject(self, key: str) -> str:
        if _KEY.fullmatch(key) is None:
            raise InvalidMessageError(f"{key!r} is no key: use letters, digits and - / _ = .")
        return f"$KV.{self._bucket}.{key}"
