"""Outputs: how does the core get the values that its expressions read?"""

from collections import OrderedDict
from collections.abc import Iterable
from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from segue_contracts.payload import Value
from segue_orchestrator.core.entries import Completed, read
from segue_orchestrator.core.state import Entry, OutputAt
from segue_shared.errors import PayloadMissingError
from segue_shared.journal import Journal
from segue_shared.payloads import Payloads

MAX_CACHED_BYTES: Final = 32 * 1024 * 1024


class Outputs:
    """Values of steps' outputs, with recent ones kept as JSON in bounded memory."""

    def __init__(self, journal: Journal, payloads: Payloads) -> None:
        self._journal = journal
        self._payloads = payloads
        self._recent: OrderedDict[int, bytes] = OrderedDict()
        self._bytes = 0

    def remember(self, entry: Entry) -> None:
        """Keep an outcome's inline output, in case it is read soon."""
        if not isinstance(entry.body, Completed) or isinstance(entry.body.output.inline, UnsetType):
            return
        if entry.sequence in self._recent:
            return
        data = bytes(entry.body.output.inline)
        self._recent[entry.sequence] = data
        self._bytes += len(data)
        while self._bytes > MAX_CACHED_BYTES:
            self._bytes -= len(self._recent.popitem(last=False)[1])

    async def fetch(self, places: Iterable[OutputAt]) -> dict[OutputAt, Any]:
        """Return the values at some places.

        Raises:
            PayloadMissingError: One is gone.
        """
        return {place: await self._fetch(place) for place in places}

    async def _fetch(self, place: OutputAt) -> object:
        if place.ref is not None:
            return await self._payloads.unwrap(Value(ref=place.ref))
        data = self._recent.get(place.sequence)
        if data is None:
            data = await self._read(place.sequence)
        return msgspec.json.decode(data) if data else None

    async def _read(self, sequence: int) -> bytes:
        stored = await self._journal.get(sequence)
        if stored is None:
            raise PayloadMissingError(f"the output at sequence {sequence} is no longer kept")
        event = read(stored.subject, stored.data, sequence=sequence, time_ms=stored.time_ms)
        body = event.entry.body
        inline = body.output.inline if isinstance(body, Completed) else UNSET
        return b"" if isinstance(inline, UnsetType) else bytes(inline)
