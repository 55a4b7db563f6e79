"""Outputs: how does the core get the values that its expressions read?"""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from segue_contracts.payload import Value
from segue_orchestrator.core.entries import read, value_of
from segue_orchestrator.core.state import Entry, OutputAt
from segue_shared.errors import PayloadMissingError
from segue_shared.journal import Journal
from segue_shared.payloads import Payloads

MAX_CACHED_BYTES: Final = 32 * 1024 * 1024
_AT_ONCE: Final = 64


class _Kept:
    """A value of the journal: its JSON, and what it says once somebody has asked."""

    __slots__ = ("data", "value")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.value: Any = msgspec.UNSET

    def decoded(self) -> Any:
        if self.value is msgspec.UNSET:
            self.value = msgspec.json.decode(self.data) if self.data else None
        return self.value


class Outputs:
    """Values that events carry, with recent ones kept in bounded memory.

    Values are shared between those who read them: nobody may change one.
    """

    def __init__(self, journal: Journal, payloads: Payloads) -> None:
        self._journal = journal
        self._payloads = payloads
        self._recent: OrderedDict[OutputAt, _Kept] = OrderedDict()
        self._bytes = 0
        self._fetching = asyncio.Semaphore(_AT_ONCE)

    def remember(self, entry: Entry) -> None:
        """Keep the value that an event carries inline, in case it is read soon."""
        if data := value_of(entry.body):
            self._keep(OutputAt(entry.sequence), data)

    async def fetch(self, places: Iterable[OutputAt]) -> dict[OutputAt, Any]:
        """Return the values at some places.

        Raises:
            PayloadMissingError: One is gone.
        """
        return {place: (await self._get(place)).decoded() for place in places}

    async def value(self, place: OutputAt) -> Value:
        """Return the value at a place as it travels on: its JSON, or its claim check."""
        if place.ref is not None:
            return Value(ref=place.ref)
        data = (await self._get(place)).data
        return Value(inline=msgspec.Raw(data)) if data else Value()

    async def joined(self, places: Iterable[OutputAt | None]) -> Value:
        """Return the list of the values at some places, null where there is none."""
        kept = await asyncio.gather(*(self._json(place) for place in places))
        return await self._payloads.wrap_json(b"[%s]" % b",".join(kept))

    async def _json(self, place: OutputAt | None) -> bytes:
        if place is None:
            return b"null"
        kept = self._recent.get(place)
        if kept is None:
            async with self._fetching:
                kept = await self._get(place)
        return kept.data or b"null"

    async def _get(self, place: OutputAt) -> _Kept:
        kept = self._recent.get(place)
        if kept is None:
            data = await (self._read(place.sequence) if place.ref is None else self._load(place))
            kept = self._keep(place, data)
        return kept

    def _keep(self, place: OutputAt, data: bytes) -> _Kept:
        kept = self._recent.get(place)
        if kept is None:
            kept = self._recent[place] = _Kept(data)
            self._bytes += len(data)
            while self._bytes > MAX_CACHED_BYTES and len(self._recent) > 1:
                self._bytes -= len(self._recent.popitem(last=False)[1].data)
        return kept

    async def _load(self, place: OutputAt) -> bytes:
        if place.ref is None:
            return b""
        return msgspec.json.encode(await self._payloads.unwrap(Value(ref=place.ref)))

    async def _read(self, sequence: int) -> bytes:
        stored = await self._journal.get(sequence)
        if stored is None:
            raise PayloadMissingError(f"the value at sequence {sequence} is no longer kept")
        event = read(stored.subject, stored.data, sequence=sequence, time_ms=stored.time_ms)
        return value_of(event.entry.body)
