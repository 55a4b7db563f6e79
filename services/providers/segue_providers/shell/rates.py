"""Rates: when may a request go to a provider, whichever replica sends it?"""

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Final, TypeVar

import msgspec
import structlog

from segue_contracts.v1.topology import LEDGER
from segue_providers.core.configuration import Limits
from segue_providers.core.rates import (
    Allowed,
    Pace,
    Piece,
    Told,
    draw,
    give_back,
    tightened,
    told_by,
)
from segue_providers.shell.cells import Cells
from segue_shared.bus import Bus
from segue_shared.clock import Clock
from segue_shared.errors import BusUnavailableError, SegueError, TransientError

_R = TypeVar("_R")

_log = structlog.get_logger()

_TTL_S: Final = 3600
_PATIENCE_S: Final = 0.25
_AWAY_S: Final = 1.0
"""After the bucket was out of reach, it is not asked again for so long."""
_FRESH_S: Final = 1.0
"""What a replica took and did not use is forgotten after so long."""
_RETURN_S: Final = 0.1
"""What comes back is collected for so long."""


class Permit(msgspec.Struct, frozen=True, kw_only=True):
    """One request may go out."""

    place: str
    """The provider and key, as `place_of` writes them."""
    tokens: int
    """Tokens that it may take."""
    allowed: Allowed
    """The limits that it is within."""


class Wait(msgspec.Struct, frozen=True, kw_only=True):
    """Not now."""

    seconds: float
    """When to ask again, from now."""


class _Share:
    """What this replica has of one provider and key."""

    __slots__ = (
        "allowed",
        "closed_until_ms",
        "local",
        "piece",
        "returned",
        "returning",
        "until_ms",
    )

    def __init__(self) -> None:
        self.piece = Piece()
        self.until_ms = 0
        self.closed_until_ms = 0
        self.allowed = Allowed()
        self.returned = Piece()
        self.returning: asyncio.Task[None] | None = None
        self.local = Pace()


class Rates:
    """The limits of all providers, which all replicas keep together.

    While their state cannot be reached each replica keeps to its part of the limit.

    Args:
        bus: The connection.
        clock: Time.
        live: Tells how many replicas there are.
    """

    def __init__(self, bus: Bus, *, clock: Clock, live: Callable[[], int] = lambda: 1) -> None:
        self._bus = bus
        self._cells = Cells(bus, LEDGER, empty=Pace(), ttl_s=_TTL_S)
        self._clock = clock
        self._live = live
        self._shares: dict[str, _Share] = {}
        self._away_until_ms = 0

    async def reserve(self, place: str, limits: Limits, *, tokens: int) -> Permit | Wait:
        """Take one request and its tokens, or learn when to ask again.

        Args:
            place: The provider and key; see `place_of`.
            limits: What may be asked there in a minute.
            tokens: Tokens of input and output at most, as far as is known.
        """
        allowed = Allowed(rpm=limits.rpm, tpm=limits.tpm)
        permit = Permit(place=place, tokens=tokens, allowed=allowed)
        if not allowed.bounded:
            return permit
        need, share = Piece(requests=1, tokens=tokens), self._share(place)
        now_ms = self._clock.now_ms()
        if share.closed_until_ms > now_ms:
            return Wait(seconds=(share.closed_until_ms - now_ms) / 1000)
        if share.until_ms > now_ms and share.piece.covers(need, allowed):
            share.piece = share.piece.minus(need)
            return permit
        drawn = await self._draw(place, need, allowed)
        if isinstance(drawn, Piece):
            share.piece = drawn.minus(need)
            share.until_ms = self._clock.now_ms() + round(_FRESH_S * 1000)
            return permit
        return Wait(seconds=drawn)

    def settle(self, permit: Permit, tokens: int) -> None:
        """Give back the tokens that a request did not take, or take those beyond its estimate."""
        if permit.allowed.tpm and tokens != permit.tokens:
            self._return(permit, Piece(tokens=permit.tokens - tokens))

    def release(self, permit: Permit) -> None:
        """Give everything back: the request never went out."""
        if permit.allowed.bounded:
            self._return(permit, Piece(requests=1, tokens=permit.tokens))

    async def learn(self, place: str, limits: Limits, headers: Mapping[str, str]) -> None:
        """Believe what a provider says of its limits in its headers, as far as it is stricter.

        Args:
            place: The provider and key.
            limits: What may be asked there in a minute.
            headers: Those of an answer or of a refusal.
        """
        told = told_by(headers)
        allowed = Allowed(rpm=limits.rpm, tpm=limits.tpm)
        if not allowed.bounded or told == Told():
            return
        share = self._share(place)
        share.piece = _at_most(share.piece, told)
        if told.wait_s:
            until_ms = self._clock.now_ms() + round(told.wait_s * 1000)
            share.closed_until_ms = max(share.closed_until_ms, until_ms)
        share.local = tightened(share.local, told, allowed, now_ms=self._clock.now_ms())
        try:
            await self._shared(place, partial(self._tighten, told, allowed))
        except (TimeoutError, TransientError) as error:
            _log.info("rate_not_shared", place=place, reason=str(error) or "no answer in time")

    async def close(self) -> None:
        """Give back what is still to be given back."""
        for share in self._shares.values():
            if share.returning is not None:
                share.returning.cancel()
        await asyncio.gather(*(self._put_back(place) for place in self._shares))

    async def _draw(self, place: str, need: Piece, allowed: Allowed) -> Piece | float:
        if self._away_until_ms <= self._clock.now_ms():
            try:
                return await self._shared(place, partial(self._drawn, need, allowed))
            except (TimeoutError, TransientError) as error:
                self._away_until_ms = self._clock.now_ms() + round(_AWAY_S * 1000)
                _log.warning("rate_kept_alone", place=place, reason=str(error) or "no answer")
        share, part = self._share(place), allowed.divided(self._live())
        share.local, drawn = draw(share.local, need, part, now_ms=self._clock.now_ms())
        return drawn

    def _drawn(self, need: Piece, allowed: Allowed, pace: Pace) -> tuple[Pace, Piece | float]:
        return draw(pace, need, allowed, now_ms=self._clock.now_ms())

    def _tighten(self, told: Told, allowed: Allowed, pace: Pace) -> tuple[Pace, None]:
        return tightened(pace, told, allowed, now_ms=self._clock.now_ms()), None

    def _return(self, permit: Permit, piece: Piece) -> None:
        share = self._share(permit.place)
        share.allowed, share.returned = permit.allowed, share.returned.plus(piece)
        part, now_ms = permit.allowed.divided(self._live()), self._clock.now_ms()
        share.local = give_back(share.local, piece, part, now_ms=now_ms)
        if share.returning is None:
            work = self._send_back(permit.place)
            share.returning = asyncio.create_task(work, name=f"rate of {permit.place}")

    async def _send_back(self, place: str) -> None:
        await self._clock.sleep(_RETURN_S)
        self._share(place).returning = None
        await self._put_back(place)

    async def _put_back(self, place: str) -> None:
        share = self._share(place)
        piece, share.returned = share.returned, Piece()
        if piece == Piece():
            return

        def step(pace: Pace) -> tuple[Pace, None]:
            return give_back(pace, piece, share.allowed, now_ms=self._clock.now_ms()), None

        try:
            await self._shared(place, step)
        except (TimeoutError, SegueError) as error:
            _log.info("rate_not_returned", place=place, reason=str(error) or "no answer in time")

    async def _shared(self, place: str, step: Callable[[Pace], tuple[Pace, _R]]) -> _R:
        """Change what all replicas know; without a broker this fails at once."""
        if not self._bus.connected:
            raise BusUnavailableError("the broker is away")
        async with asyncio.timeout(_PATIENCE_S):
            return await self._cells.change(f"rate.{place}", step)

    def _share(self, place: str) -> _Share:
        return self._shares.setdefault(place, _Share())


@lru_cache(maxsize=1_024)
def place_of(provider: str, key: str) -> str:
    """Return the name of one provider and key.

    Args:
        provider: The provider's configured name.
        key: Where its key comes from, never the key.
    """
    return hashlib.sha256(f"{provider}\n{key}".encode()).hexdigest()[:32]


def _at_most(piece: Piece, told: Told) -> Piece:
    return Piece(
        requests=piece.requests if told.requests is None else min(piece.requests, told.requests),
        tokens=piece.tokens if told.tokens is None else min(piece.tokens, told.tokens),
    )
