"""Members: which instances of a service are alive, as all of them see it?

Each instance keeps a key in a bucket alive that is gone by itself seconds after the last renewal,
and reads the keys of all others. It is a hint for dividing work, never a lock: two instances may
see different lists for a while.
"""

import asyncio
import re
from collections.abc import Callable, Iterable
from functools import reduce
from typing import Final

import msgspec
import structlog

from segue_shared.clock import Clock
from segue_shared.errors import TransientError
from segue_shared.keyvalue import Entry, KeyValue

_log = structlog.get_logger()

TTL_S: Final = 3
"""How long an instance is believed to live after its last sign."""
RENEW_S: Final = 1.0
POLL_S: Final = 0.5
_PATIENCE_S: Final = 1.0
"""How long one renewal or one look may take, so that neither holds up the other for long."""
_MARK_S: Final = 60
"""How long the mark of a member that left is kept, for those who watch the bucket."""
_FOREIGN: Final = re.compile(r"[^A-Za-z0-9_-]")


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A live instance of a service, as it tells of itself."""

    service: str
    """What it is an instance of."""
    instance: str
    """Which one it is."""
    version: str = ""
    """The release that it runs."""
    features: tuple[str, ...] = ()
    """What it understands that others may not, sorted."""
    started_at: str = ""
    """Since when, RFC 3339."""


class Members:
    """The live instances of one's own service; oneself is always among them."""

    def __init__(self, keys: KeyValue, *, me: Member, clock: Clock) -> None:
        self.me: Final = me
        """The instance that this process is."""
        self._keys = keys
        self._clock = clock
        self._key = f"{me.service}.{_token(me.instance)}"
        self._value = msgspec.json.encode(me)
        self._live: tuple[Member, ...] = (me,)
        self._callbacks: list[Callable[[], None]] = []
        self._renewed = float("-inf")

    @property
    def live(self) -> tuple[Member, ...]:
        """All of them in the order of their names, as last seen; the broker may be away."""
        return self._live

    def on_change(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back whenever another list was seen; returns a function that ends it."""
        self._callbacks.append(callback)
        return lambda: self._callbacks.remove(callback)

    async def run(self) -> None:
        """Be a member until cancelled, and then leave at once."""
        try:
            while True:
                await self._turn()
                await self._clock.sleep(POLL_S)
        finally:
            await self._leave()

    async def _turn(self) -> None:
        now = self._clock.monotonic()
        try:
            if now - self._renewed >= RENEW_S:
                async with asyncio.timeout(_PATIENCE_S):
                    await self._keys.put(self._key, self._value, ttl_s=TTL_S)
                self._renewed = now
            self._see(await self._keys.entries(self.me.service, timeout_s=_PATIENCE_S))
        except (TimeoutError, TransientError) as error:
            _log.info("members_unseen", reason=str(error) or "the broker is away")

    def _see(self, entries: dict[str, Entry]) -> None:
        others = (_member(key, entry) for key, entry in entries.items() if key != self._key)
        found = [self.me, *(member for member in others if member is not None)]
        live = tuple(sorted(found, key=lambda member: member.instance))
        if live == self._live:
            return
        self._live = live
        _log.info("members_changed", instances=[member.instance for member in live])
        for callback in tuple(self._callbacks):
            callback()

    async def _leave(self) -> None:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await self._keys.delete(self._key, ttl_s=_MARK_S)
        except (TimeoutError, TransientError) as error:
            _log.info("membership_left_to_lapse", reason=str(error) or "the broker is away")


def common_features(members: Iterable[Member]) -> frozenset[str]:
    """Return what every one of the members understands; nothing when there are none."""
    features = [frozenset(member.features) for member in members]
    return reduce(frozenset.intersection, features) if features else frozenset()


def _token(instance: str) -> str:
    """Write an instance's name as one token of a key."""
    return _FOREIGN.sub(lambda match: f"={ord(match[0]):02x}=", instance)


def _member(key: str, entry: Entry) -> Member | None:
    """Read a member; None when a key holds something else, which is told."""
    try:
        return msgspec.json.decode(entry.value, type=Member)
    except msgspec.DecodeError as error:
        _log.warning("member_undecodable", key=key, reason=str(error))
        return None
