"""The claim check: how does a large value travel?

Values over 64 KiB of JSON are stored in the object bucket under their SHA-256 and referenced, so
equal values are stored once (Hohpe and Woolf, Enterprise Integration Patterns, "Claim Check").
"""

import hashlib
from typing import Final

import msgspec
import nats.errors
import nats.js.errors
from msgspec import Raw, UnsetType
from nats.js.object_store import ObjectStore

from segue_contracts.envelope import encode
from segue_contracts.payload import INLINE_LIMIT, PayloadRef, Value
from segue_shared.bus import Bus
from segue_shared.errors import BusUnavailableError, PayloadMissingError

MAX_BYTES: Final = 256 * 1024 * 1024
"""The largest value that is stored."""


class Payloads:
    """Values of any size."""

    def __init__(self, bus: Bus, bucket: str) -> None:
        self._bus = bus
        self._bucket = bucket
        self._store: ObjectStore | None = None

    async def wrap(self, value: object) -> Value:
        """Return a value to put into a message: inline when small, stored when large."""
        return await self.wrap_json(encode(value))

    async def wrap_json(self, data: bytes) -> Value:
        """Return a value from its JSON; see `wrap`.

        Raises:
            BusUnavailableError: The object store does not answer.
        """
        if len(data) <= INLINE_LIMIT:
            return Value(inline=Raw(data))
        digest = hashlib.sha256(data).hexdigest()
        await self._put(digest, data)
        return Value(ref=PayloadRef(sha256=digest, size=len(data)))

    async def unwrap(self, value: Value) -> object:
        """Return the value itself; an absent value is None.

        Raises:
            PayloadMissingError: The reference points at nothing, or at something else.
            BusUnavailableError: The object store does not answer.
        """
        if not isinstance(value.ref, UnsetType):
            return msgspec.json.decode(await self._get(value.ref))
        if isinstance(value.inline, Raw):
            return msgspec.json.decode(value.inline)
        return None if isinstance(value.inline, UnsetType) else value.inline

    async def _put(self, digest: str, data: bytes) -> None:
        try:
            store = await self._open()
            if not await self._holds(store, digest, len(data)):
                await store.put(digest, data)
        except (nats.errors.Error, TimeoutError) as error:
            raise BusUnavailableError(f"object bucket {self._bucket}: {error}") from error

    async def _get(self, ref: PayloadRef) -> bytes:
        if ref.size > MAX_BYTES:
            raise PayloadMissingError(f"payload {ref.sha256} claims {ref.size} bytes")
        try:
            data = (await (await self._open()).get(ref.sha256)).data or b""
        except nats.js.errors.NotFoundError as error:
            raise PayloadMissingError(f"payload {ref.sha256} is not stored") from error
        except (nats.errors.Error, TimeoutError) as error:
            raise BusUnavailableError(f"object bucket {self._bucket}: {error}") from error
        if hashlib.sha256(data).hexdigest() != ref.sha256:
            raise PayloadMissingError(f"payload {ref.sha256} holds something else")
        return data

    async def _holds(self, store: ObjectStore, digest: str, size: int) -> bool:
        try:
            return (await store.get_info(digest)).size == size
        except nats.js.errors.NotFoundError:
            return False

    async def _open(self) -> ObjectStore:
        if self._store is None:
            self._store = await self._bus.client.jetstream().object_store(self._bucket)
        return self._store
