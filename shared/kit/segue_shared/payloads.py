"""The claim check: how does a large value travel?

Values over 64 KiB of JSON are stored in the object bucket under their SHA-256 and referenced, so
equal values are stored once (Hohpe and Woolf, Enterprise Integration Patterns, "Claim Check").
"""

import hashlib
import sys
from typing import Final

import msgspec
import nats.errors
import nats.js.errors
from msgspec import Raw, UnsetType
from nats.js.object_store import ObjectStore

from segue_contracts.envelope import encode
from segue_contracts.payload import INLINE_LIMIT, PayloadRef, Value
from segue_shared.bus import Bus
from segue_shared.errors import BusUnavailableError, PayloadMissingError, TooLargeError
from segue_shared.journal import parse_time_ms

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
            TooLargeError: It is larger than any value that is stored.
            BusUnavailableError: The object store does not answer.
        """
        if len(data) <= INLINE_LIMIT:
            return Value(inline=Raw(data))
        return Value(ref=await self._stored(data))

    async def keep(self, value: Value) -> PayloadRef:
        """Store a value whatever its size, and return where it is.

        Raises:
            BusUnavailableError: The object store does not answer.
        """
        if not isinstance(value.ref, UnsetType):
            return value.ref
        return await self._stored(
            encode(None if isinstance(value.inline, UnsetType) else value.inline)
        )

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

    async def older_than(self, time_ms: int) -> list[str]:
        """Return the hashes of the values that were stored before a time, Unix milliseconds.

        Raises:
            BusUnavailableError: The object store does not answer.
        """
        try:
            infos = await (await self._open()).list(ignore_deletes=True)
        except nats.js.errors.NotFoundError:
            return []
        except (nats.errors.Error, TimeoutError) as error:
            raise BusUnavailableError(f"object bucket {self._bucket}: {error}") from error
        return [info.name for info in infos if _stored_ms(info.mtime) < time_ms]

    async def remove(self, digest: str) -> None:
        """Remove a value; who still refers to it finds nothing.

        Raises:
            BusUnavailableError: The object store does not answer.
        """
        try:
            await (await self._open()).delete(digest)
        except nats.js.errors.NotFoundError:
            return
        except (nats.errors.Error, TimeoutError) as error:
            raise BusUnavailableError(f"object bucket {self._bucket}: {error}") from error

    async def _stored(self, data: bytes) -> PayloadRef:
        if len(data) > MAX_BYTES:
            raise TooLargeError(f"a value of {len(data)} bytes; {MAX_BYTES} at most are stored")
        digest = hashlib.sha256(data).hexdigest()
        await self._put(digest, data)
        return PayloadRef(sha256=digest, size=len(data))

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


def _stored_ms(text: str | None) -> int:
    """Return when an object was stored; one that does not say is taken for new."""
    return parse_time_ms(text) if text else sys.maxsize
