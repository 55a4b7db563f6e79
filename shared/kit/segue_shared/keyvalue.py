"""The key-value store: how is small shared state read and changed?

The wire form is the clients' own (ADR-8), so `nats kv` and every client library see the same
buckets; reads are direct gets and writes carry their guard, with no look-up in between.
"""

import re
from typing import Final

import msgspec
from nats.aio.msg import Msg

from segue_shared.bus import Bus
from segue_shared.errors import BusUnavailableError, InvalidMessageError
from segue_shared.journal import Journal
from segue_shared.replies import status_of

_KEY: Final = re.compile(r"[-/_=a-zA-Z0-9]+(\.[-/_=a-zA-Z0-9]+)*")
_OPERATION: Final = "KV-Operation"
_EXPECTED: Final = "Nats-Expected-Last-Subject-Sequence"
_TTL: Final = "Nats-TTL"
_END_OF_BATCH: Final = frozenset({"204", "404"})
_MOST_ENTRIES: Final = 1_024


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

    async def newest(self, key: str) -> Entry | None:
        """Return a key's value as the bucket's leader knows it; None for none, or an empty one.

        `get` may lag behind what has just been stored; this takes longer.
        """
        found = await self._journal.newest(self._subject(key))
        # What deletes a key carries nothing.
        return None if found is None or not found.data else Entry(found.data, found.sequence)

    async def create(self, key: str, value: bytes) -> int | None:
        """Set a key that has no value and return its revision; None when it has one."""
        if revision := await self.update(key, value, 0):
            return revision
        slot = await self._slot(key)
        if slot is None or not slot.deleted:
            return None
        return await self.update(key, value, slot.entry.revision)

    async def put(self, key: str, value: bytes, *, ttl_s: int = 0) -> int:
        """Set a key whatever it holds, and return its revision.

        Args:
            key: Which one.
            value: The content.
            ttl_s: Seconds until it is gone by itself, in a bucket that allows it; 0 is never.
        """
        return await self._bus.append(self._subject(key), value, headers=_lifetime(ttl_s))

    async def update(self, key: str, value: bytes, revision: int) -> int | None:
        """Set a key that is at `revision` and return the new one; None when it has moved on."""
        headers = {_EXPECTED: str(revision)}
        stored = await self._bus.store(self._subject(key), value, headers=headers)
        return stored.sequence if stored.created else None

    async def delete(self, key: str, *, ttl_s: int = 0) -> None:
        """Take a key's value away.

        Args:
            key: Which one.
            ttl_s: Seconds until the mark of its deletion goes too; 0 is never.
        """
        # The broker would put another mark in the place of a `DEL` that has gone.
        last = {_OPERATION: "PURGE", "Nats-Rollup": "sub", **_lifetime(ttl_s)}
        headers = last if ttl_s else {_OPERATION: "DEL"}
        await self._bus.append(self._subject(key), b"", headers=headers)

    async def entries(self, prefix: str, *, timeout_s: float = 5) -> dict[str, Entry]:
        """Return the values below a prefix of whole tokens by key, at most 1,024.

        Raises:
            BusUnavailableError: The broker does not answer, or there are more.
            TimedOutError: No answer in `timeout_s` seconds.
        """
        request = {"multi_last": [f"$KV.{self._bucket}.{prefix}.>"], "batch": _MOST_ENTRIES}
        *slots, end = await self._bus.exchange(
            f"$JS.API.DIRECT.GET.KV_{self._bucket}",
            msgspec.json.encode(request),
            timeout_s=timeout_s,
            done=lambda answer: bool(status_of(answer)),
        )
        if (status := status_of(end)) not in _END_OF_BATCH:
            raise BusUnavailableError(f"bucket {self._bucket} refused to be read: {status}")
        keys = [_key_of(answer, self._bucket) for answer in slots]
        found = zip(keys, map(_slot_of, slots), strict=True)
        return {key: slot.entry for key, slot in found if not slot.deleted}

    async def keys(self, prefix: str = "") -> list[str]:
        """Return the keys below a prefix of whole tokens, deleted ones included until purged."""
        root = f"$KV.{self._bucket}."
        pattern = f"{root}{prefix}.>" if prefix else f"{root}>"
        return [subject.removeprefix(root) for subject in await self._journal.subjects(pattern)]

    async def _slot(self, key: str) -> _Slot | None:
        subject = f"$JS.API.DIRECT.GET.KV_{self._bucket}.{self._subject(key)}"
        [answer] = await self._bus.exchange(subject, b"")
        return None if status_of(answer) else _slot_of(answer)

    def _subject(self, key: str) -> str:
        if _KEY.fullmatch(key) is None:
            raise InvalidMessageError(f"{key!r} is no key: use letters, digits and - / _ = .")
        return f"$KV.{self._bucket}.{key}"


def _lifetime(ttl_s: int) -> dict[str, str]:
    return {_TTL: f"{ttl_s}s"} if ttl_s else {}


def _key_of(answer: Msg, bucket: str) -> str:
    return (answer.headers or {})["Nats-Subject"].removeprefix(f"$KV.{bucket}.")


def _slot_of(answer: Msg) -> _Slot:
    headers = answer.headers or {}
    entry = Entry(answer.data, int(headers["Nats-Sequence"]))
    return _Slot(entry, deleted=_OPERATION in headers or "Nats-Marker-Reason" in headers)
