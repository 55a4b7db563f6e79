"""The object store: where do large values lie in a simulation?"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import nats.js.errors

RoundTrip = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class SimObject:
    """A stored object, with what the services read of it."""

    name: str
    data: bytes
    mtime: str
    """When it was stored."""

    @property
    def size(self) -> int:
        """Return how many bytes it has."""
        return len(self.data)


class SimObjectStore:
    """One object bucket, reached over a connection."""

    def __init__(
        self, round_trip: RoundTrip, objects: dict[str, SimObject], now: Callable[[], str]
    ) -> None:
        self._round_trip = round_trip
        self._objects = objects
        self._now = now

    async def put(self, name: str, data: bytes) -> None:
        """Store an object."""
        await self._round_trip()
        self._objects[name] = SimObject(name, data, self._now())
        await self._round_trip()

    async def get(self, name: str) -> SimObject:
        """Return an object.

        Raises:
            ObjectNotFoundError: It is not stored.
        """
        await self._round_trip()
        if name not in self._objects:
            raise nats.js.errors.ObjectNotFoundError
        return self._objects[name]

    async def get_info(self, name: str) -> SimObject:
        """Return what is known of an object; raises as `get` does."""
        return await self.get(name)

    async def list(self, *, ignore_deletes: bool = False) -> list[SimObject]:
        """Return all objects; deleted ones leave no mark here.

        Raises:
            NotFoundError: There is none.
        """
        del ignore_deletes
        await self._round_trip()
        if not self._objects:
            raise nats.js.errors.NotFoundError
        return [*self._objects.values()]

    async def delete(self, name: str) -> None:
        """Remove an object; raises as `get` does."""
        await self.get(name)
        self._objects.pop(name, None)


class SimObjects:
    """The entrance to the object buckets of a server.

    Args:
        round_trip: Takes as long as a question to the server.
        buckets: The objects of each bucket by name.
        now: Returns the server's time.
    """

    def __init__(
        self,
        round_trip: RoundTrip,
        buckets: dict[str, dict[str, SimObject]],
        now: Callable[[], str],
    ) -> None:
        self._round_trip = round_trip
        self._buckets = buckets
        self._now = now

    async def object_store(self, bucket: str) -> SimObjectStore:
        """Return a bucket.

        Raises:
            BucketNotFoundError: There is none of this name.
        """
        await self._round_trip()
        if bucket not in self._buckets:
            raise nats.js.errors.BucketNotFoundError
        return SimObjectStore(self._round_trip, self._buckets[bucket], self._now)
