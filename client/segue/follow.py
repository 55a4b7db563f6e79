"""Following: how does a reader see every event of a run once, in order, live and without a gap?

Live facts are plain messages, so any of them can be lost: before the subscription, during a
disconnect, in a slow moment. The journal is the truth; the live feed only says when to look. A
follower therefore subscribes first, then reads history, and after every join, reconnect and silence
reads the journal until it holds the live event at hand.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Protocol

import nats.errors
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from segue.core.events import RunEvent, read_delta, read_fact
from segue_contracts.cursor import Cursor
from segue_contracts.v1 import subjects
from segue_shared.clock import Clock
from segue_shared.errors import InvalidMessageError, NotFoundError
from segue_shared.journal import StoredMessage, parse_time_ms

_SILENCE_S: Final = 10.0
"""Silence after which the journal is asked whether a live message was lost."""
_QUEUE: Final = 10_000
"""Arrivals kept for a slow reader; deltas beyond are lost, facts are read from the journal."""
_LAG_TRIES: Final = 40
_LAG_WAIT_S: Final = 0.05
"""A replica may lag behind the event at hand, so the journal is read again up to 2 s long."""


class FactBus(Protocol):
    """What a follower needs of the bus."""

    async def subscribe(
        self, subject: str, handler: Callable[[Msg], Awaitable[None]], *, queue: str = ""
    ) -> Subscription:
        """Receive plain messages."""
        ...

    def on_reconnect(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back after each reconnect; returns a function that ends it."""
        ...


class FactJournal(Protocol):
    """What a follower needs of the journal."""

    async def last(self, patterns: Sequence[str]) -> list[StoredMessage]:
        """Return the newest message of each subject, in order."""
        ...

    async def after(self, pattern: str, sequence: int, *, limit: int = 1000) -> list[StoredMessage]:
        """Return messages after a sequence, in order."""
        ...

    async def epoch(self) -> str:
        """Return the journal's identity."""
        ...

    async def last_sequence(self) -> int:
        """Return the newest sequence."""
        ...


@dataclass(frozen=True, kw_only=True)
class Scope:
    """What is followed: one run, or a namespace."""

    namespace: str
    """The tenant."""
    run: str = ""
    """The run; empty for all runs of the namespace."""

    @property
    def pattern(self) -> str:
        """The journal subjects in scope."""
        if self.run:
            return subjects.run_all(self.namespace, self.run)
        return subjects.runs_of(self.namespace, ">")

    @property
    def facts(self) -> str:
        """The live subjects in scope."""
        return subjects.facts(self.namespace, self.run)

    @property
    def deltas(self) -> str:
        """The ephemeral subjects in scope."""
        return subjects.deltas(self.namespace, self.run or "*")


class Follower:
    """One reader of a scope; made for one pass."""

    def __init__(
        self,
        bus: FactBus,
        journal: FactJournal,
        scope: Scope,
        *,
        clock: Clock,
        silence_s: float = _SILENCE_S,
        queue: int = _QUEUE,
    ) -> None:
        self._bus = bus
        self._journal = journal
        self._scope = scope
        self._clock = clock
        self._silence_s = silence_s
        self._queue = queue
        self._arrived: asyncio.Queue[Msg | RunEvent | None] = asyncio.Queue()
        self._position = 0
        self._epoch = ""
        # True while the live feed may have missed something that the journal holds.
        self._suspect = True
        # The newest fact that found the queue full; the journal must be read up to it.
        self._owed = 0

    async def events(self, *, after: Cursor | None, deltas: bool) -> AsyncGenerator[RunEvent, None]:
        """Yield events from a position on; a run's end with its `ended`, a namespace never.

        Args:
            after: The cursor of the last event seen; None for the whole history of a run, or for
                what comes from now on in a namespace.
            deltas: Whether ephemeral progress is wanted too.

        Raises:
            NotFoundError: The run does not exist, or the cursor is of another journal.
        """
        subscriptions = [await self._bus.subscribe(self._scope.facts, self._on_live)]
        if deltas:
            subscriptions.append(await self._bus.subscribe(self._scope.deltas, self._on_delta))
        forget = self._bus.on_reconnect(self._on_reconnect)
        try:
            if await self._place(after):
                return
            async for event in self._follow():
                yield event
                if self._scope.run and event.ends_run:
                    return
        finally:
            forget()
            for subscription in subscriptions:
                # A connection that was closed meanwhile has no subscriptions left to end.
                with suppress(nats.errors.Error):
                    await subscription.unsubscribe()

    async def _on_live(self, message: Msg) -> None:
        if self._arrived.qsize() < self._queue:
            self._arrived.put_nowait(message)
        else:
            self._suspect, self._owed = True, max(self._owed, _sequence(message))

    async def _on_delta(self, message: Msg) -> None:
        if self._arrived.qsize() < self._queue:
            self._arrived.put_nowait(read_delta(self._scope.run, message.data))

    def _on_reconnect(self) -> None:
        self._suspect = True
        self._arrived.put_nowait(None)

    async def _place(self, after: Cursor | None) -> bool:
        """Set the position to read from; True when the run ended at or before it."""
        self._epoch = await self._journal.epoch()
        if after is not None:
            if after.epoch != self._epoch:
                raise NotFoundError(
                    f"cursor {after} is of another journal than this bus has ({self._epoch}); "
                    "follow without a cursor to read from the start"
                )
            self._position = after.sequence
        if not self._scope.run:
            if after is None:
                self._position = await self._journal.last_sequence()
            return False
        return await self._ended_by(self._position)

    async def _ended_by(self, position: int) -> bool:
        run, namespace = self._scope.run, self._scope.namespace
        bounds = [subjects.run_event(namespace, run, event) for event in ("started", "ended")]
        for _ in range(_LAG_TRIES):
            found = await self._journal.last(bounds)
            if found:
                last = found[-1]
                return last.subject == bounds[1] and last.sequence <= position
            if self._arrived.empty():
                break
            await self._clock.sleep(_LAG_WAIT_S)
        raise NotFoundError(f"there is no run {run} in namespace {namespace} on this bus")

    async def _follow(self) -> AsyncIterator[RunEvent]:
        for event in await self._history():
            yield event
        while True:
            match await self._next_arrival():
                case None:
                    async for event in self._fill(0):
                        yield event
                case RunEvent() as delta:
                    yield delta
                case message:
                    async for event in self._on_fact(message):
                        yield event

    async def _history(self) -> list[RunEvent]:
        """Read what is stored after the position; a run's whole history takes one request."""
        if self._scope.run and not self._position:
            # Every event of a run has its own subject, so the newest of each is all there is.
            return self._advance(await self._journal.last([self._scope.pattern]))
        return [event async for event in self._fill(0)]

    async def _on_fact(self, message: Msg) -> AsyncIterator[RunEvent]:
        sequence = _sequence(message)
        if self._suspect and sequence > self._position:
            # Cleared first: what happens while the journal is read raises the suspicion anew.
            self._suspect = False
            async for event in self._fill(max(sequence, self._owed)):
                yield event
        if sequence > self._position:
            yield self._live(message, sequence)

    async def _fill(self, until: int) -> AsyncIterator[RunEvent]:
        """Read the journal from the position on, again and again until it holds `until`."""
        for attempt in range(_LAG_TRIES):
            while page := await self._journal.after(self._scope.pattern, self._position):
                for event in self._advance(page):
                    yield event
            if self._position >= until:
                break
            if attempt < _LAG_TRIES - 1:
                await self._clock.sleep(_LAG_WAIT_S)

    def _advance(self, page: list[StoredMessage]) -> list[RunEvent]:
        fresh = [message for message in page if message.sequence > self._position]
        if fresh:
            self._position = fresh[-1].sequence
        return [
            read_fact(
                message.subject,
                message.data,
                cursor=Cursor(self._epoch, message.sequence),
                time_ms=message.time_ms,
            )
            for message in fresh
        ]

    def _live(self, message: Msg, sequence: int) -> RunEvent:
        self._position = sequence
        stored_at = (message.headers or {}).get("Nats-Time-Stamp", "")
        return read_fact(
            message.subject,
            message.data,
            cursor=Cursor(self._epoch, sequence),
            time_ms=parse_time_ms(stored_at) if stored_at else self._clock.now_ms(),
        )

    async def _next_arrival(self) -> Msg | RunEvent | None:
        """Return what came next live; None when the journal shall be looked at instead."""
        try:
            async with asyncio.timeout(self._silence_s):
                return await self._arrived.get()
        except TimeoutError:
            return None


def _sequence(fact: Msg) -> int:
    """Return the place in the journal that the broker writes on its copy of an event."""
    sequence = (fact.headers or {}).get("Nats-Sequence", "")
    if not sequence.isdecimal():
        raise InvalidMessageError(f"{fact.subject} came without its sequence")
    return int(sequence)
