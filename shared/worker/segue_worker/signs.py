"""Signs of life: how is it told that somebody works on an attempt?"""

from typing import Final

import structlog

from segue_shared.clock import Clock
from segue_shared.errors import TransientError
from segue_worker.place import Place, beat_number
from segue_worker.ports import JournalReader
from segue_worker.publisher import Publisher
from segue_worker.ticket import Ticket

_log = structlog.get_logger()

STARTED_AFTER_S: Final = 0.25
"""A step that still runs after this long is said to have started."""

BEATS_PER_HEARTBEAT: Final = 3
"""Beats in the time within which one is asked for, so that one or two may come late."""

SHORTEST_HEARTBEAT_MS: Final = 1_000
"""What a task asks for below this is too much for the journal."""


class Signs:
    """Tells that an attempt is being worked on, for as long as it is.

    Args:
        publisher: How it is told.
        journal: Where it is seen what an earlier worker has told.
        clock: When it is due.
    """

    def __init__(self, publisher: Publisher, *, journal: JournalReader, clock: Clock) -> None:
        self._publisher = publisher
        self._journal = journal
        self._clock = clock

    async def tell(self, ticket: Ticket) -> None:
        """Say after a while that work has started, and again and again where that is asked for.

        Raises:
            SegueError: The bus will never take it.
        """
        await self._clock.sleep(STARTED_AFTER_S)
        first = await self._publisher.started(ticket)
        if ticket.task.heartbeat_ms <= 0:
            return
        # Whoever takes over is expected within what is left of the last one's time.
        number = 0 if first else await self._gone_on(ticket)
        heartbeat_ms = max(ticket.task.heartbeat_ms, SHORTEST_HEARTBEAT_MS)
        while True:
            await self._clock.sleep(heartbeat_ms / 1000 / BEATS_PER_HEARTBEAT)
            number = await self._beaten(ticket, number)

    async def _gone_on(self, ticket: Ticket) -> int:
        """Publish the beat after the last worker's; the journal holds its newest ones only."""
        try:
            number = await self._last_number(ticket.place)
        except TransientError as error:
            _log.info("beats_unread", run=ticket.place.run, reason=str(error))
            number = 0
        return await self._beaten(ticket, number)

    async def _beaten(self, ticket: Ticket, number: int) -> int:
        """Publish the beat after `number`, or after those that are there; return its number."""
        try:
            while not await self._publisher.beat(ticket, number + 1):
                # The number that was refused is taken, whatever is read.
                number = max(number + 1, await self._last_number(ticket.place))
        except TransientError as error:
            _log.info("beat_lost", run=ticket.place.run, reason=str(error))
            return number
        return number + 1

    async def _last_number(self, place: Place) -> int:
        found = await self._journal.newest(place.beats)
        return beat_number(found.subject) if found else 0
