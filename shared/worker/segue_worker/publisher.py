"""The publisher: how do events of an attempt reach the bus?"""

import structlog
from msgspec import UnsetType

from segue_contracts.envelope import Message, encode
from segue_contracts.v1.deltas import Delta, StepDelta
from segue_contracts.v1.events import frame, make_event, start_sequence
from segue_contracts.v1.registry import OUTCOME_OF
from segue_contracts.v1.steps import StepBeat, StepSpent, StepStarted
from segue_contracts.v1.values import UsageTotals
from segue_shared.clock import Clock, rfc3339
from segue_shared.errors import TransientError
from segue_shared.ids import Ids
from segue_worker.ports import EventBus
from segue_worker.ticket import Ticket

_log = structlog.get_logger()


class Publisher:
    """Frames and publishes what happens to an attempt.

    Args:
        bus: Where events go.
        clock: When they happen.
        ids: What names those that the journal does not name.
        source: The service that they come from.
    """

    def __init__(self, bus: EventBus, *, clock: Clock, ids: Ids, source: str) -> None:
        self._bus = bus
        self._clock = clock
        self._ids = ids
        self._source = source

    async def create(self, ticket: Ticket, body: Message, *, subject: str, guard: str = "") -> bool:
        """Store an event of the attempt; False when the subject or its guard was taken."""
        event = ticket.event
        data = frame(
            body,
            subject=subject,
            source=self._source,
            about=ticket.place.about,
            time=rfc3339(self._clock.now_ms()),
            causation=event.id,
            startseq=start_sequence(event),
            traceparent="" if isinstance(event.traceparent, UnsetType) else event.traceparent,
        )
        return (await self._bus.create(subject, data, guard=guard)).created

    async def started(self, ticket: Ticket) -> bool:
        """Say that the attempt is being worked on; False when that was said already.

        A worker says it by itself after a while; work says it before it has an effect that cannot
        be had twice.
        """
        body = StepStarted(worker=ticket.worker)
        return await self.create(ticket, body, subject=ticket.place.started)

    async def beat(self, ticket: Ticket, number: int) -> bool:
        """Say that the attempt is still being worked on; False when the number was taken."""
        body = StepBeat(worker=ticket.worker)
        return await self.create(ticket, body, subject=ticket.place.beat(number))

    async def spent(self, ticket: Ticket, usage: UsageTotals, *, teller: str) -> None:
        """Say what work on the attempt used whose outcome does not count."""
        body = StepSpent(usage=usage, worker=ticket.worker)
        await self.create(ticket, body, subject=ticket.place.spent(teller))

    async def outcome(self, ticket: Ticket, body: Message) -> bool:
        """Settle the attempt; False when it was settled already."""
        place = ticket.place
        subject = place.outcome(OUTCOME_OF[type(body)])
        return await self.create(ticket, body, subject=subject, guard=place.outcome_guard)

    async def progress(self, ticket: Ticket, delta: Delta) -> None:
        """Tell what is going on; a delta that cannot be sent is lost."""
        place = ticket.place
        event = make_event(
            StepDelta(run=place.run, step=str(place.step), delta=delta),
            id=self._ids.unique(),
            source=self._source,
            subject=place.about,
            time=rfc3339(self._clock.now_ms()),
            causation=ticket.event.id,
        )
        try:
            await self._bus.publish(place.delta, encode(event))
        except TransientError as error:
            _log.info("delta_lost", run=place.run, step=str(place.step), reason=str(error))
