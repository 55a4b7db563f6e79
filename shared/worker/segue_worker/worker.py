"""The worker: what becomes of a task?"""

import asyncio
from typing import Any, Final

import structlog

from segue_contracts.envelope import Message, UndecodableError
from segue_contracts.v1.steps import StepCancelled, StepFailed, StepTimedOut
from segue_contracts.v1.subjects import SubjectError
from segue_contracts.v1.values import Failure
from segue_shared.delivery import Delivery
from segue_shared.errors import TooLargeError, TransientError
from segue_shared.pull import Ack, Dead, Nak, Verdict
from segue_shared.runtime import Runtime
from segue_worker.cancellations import Cancellations
from segue_worker.place import Place, Standing, standing
from segue_worker.ports import JournalReader, Superseded, Work
from segue_worker.publisher import Publisher
from segue_worker.signs import Signs
from segue_worker.spending import Spending, told, usage_in
from segue_worker.ticket import Ticket, read_ticket

_log = structlog.get_logger()

FRESH_MS: Final = 1_000
"""Up to this age a task that comes for the first time is taken without a look at its journal."""

_CANCELLED: Final = "the run is being cancelled"


class Worker:
    """Settles tasks: each gets one outcome, from here or from somewhere else.

    Args:
        work: What the service does with them.
        runtime: Clock, ids, and who this process is.
        publisher: How outcomes reach the bus.
        journal: Where it is seen whether a task is still wanted.
        cancellations: Hints that it is not.
        check_s: How often a long attempt looks into the journal.
    """

    def __init__(
        self,
        work: Work,
        *,
        runtime: Runtime,
        publisher: Publisher,
        journal: JournalReader,
        cancellations: Cancellations,
        check_s: float,
    ) -> None:
        self._work = work
        self._publisher = publisher
        self._journal = journal
        self._cancellations = cancellations
        self._clock = runtime.clock
        self._signs = Signs(publisher, journal=journal, clock=runtime.clock)
        self._spending = Spending(publisher, journal=journal, ids=runtime.ids)
        self._ids = runtime.ids
        self._name = runtime.settings.instance
        self._ack_wait_s = runtime.settings.ack_wait_s
        self._check_s = check_s

    async def handle(self, delivery: Delivery) -> Verdict:
        """Carry a task out, or find that nothing needs to be done.

        Raises:
            TransientError: The bus or a store is away; the task shall come again.
        """
        worker = f"{self._name}/{self._ids.unique()}"
        try:
            ticket = read_ticket(delivery.subject, delivery.data, worker=worker)
        except (UndecodableError, SubjectError) as error:
            return Dead("undecodable", str(error))
        early_ms = ticket.task.not_before_ms - self._clock.now_ms()
        if early_ms > 0:
            return Nak(early_ms / 1000)
        known = "wanted" if self._is_fresh(delivery) else await self._standing(ticket.place)
        outcome = await self._supervise(ticket) if known == "wanted" else _given_up(ticket, known)
        if isinstance(outcome, Superseded):
            _log.info("attempt_superseded", run=ticket.place.run, step=str(ticket.place.step))
            # The message is the other worker's too: settling it would leave nobody to go on.
            return Nak(self._ack_wait_s)
        if outcome is None:
            await self._spending.tell(ticket, None)
        else:
            await self._settle(ticket, outcome)
        return Ack()

    def _is_fresh(self, delivery: Delivery) -> bool:
        age_ms = self._clock.now_ms() - delivery.time_ms
        return delivery.delivered == 1 and age_ms <= FRESH_MS

    async def _standing(self, place: Place) -> Standing:
        found = await self._journal.last(place.settling)
        return standing(place, tuple(message.subject for message in found))

    async def _settle(self, ticket: Ticket, outcome: Message) -> None:
        try:
            stored = await self._publisher.outcome(ticket, outcome)
        except TooLargeError as error:
            # Without an outcome the attempt would go on for ever.
            outcome = _too_large(ticket, outcome, error)
            stored = await self._publisher.outcome(ticket, outcome)
        _log.info(
            "attempt_settled" if stored else "outcome_refused",
            run=ticket.place.run,
            step=str(ticket.place.step),
            attempt=ticket.place.attempt,
            outcome=type(outcome).__name__,
        )
        if not stored:
            await self._spending.tell(ticket, outcome)

    async def _supervise(self, ticket: Ticket) -> Message | Superseded | None:
        """Work until there is an outcome, its time is up, or nobody wants it any more."""
        left = self._time_left_s(ticket)
        with self._cancellations.watching(ticket.place) as hint:
            if hint.is_set():
                return _given_up(ticket, "cancelled")
            if left == 0:
                return _timed_out(ticket)
            work = asyncio.create_task(self._attempt(ticket))
            watch = asyncio.create_task(self._watch(ticket.place, hint))
            tell = asyncio.create_task(self._signs.tell(ticket))
            try:
                first = asyncio.FIRST_COMPLETED
                done, _ = await asyncio.wait({work, watch}, timeout=left, return_when=first)
            finally:
                await _end(work, watch, tell)
        if work in done:
            return work.result()
        if watch in done:
            return _given_up(ticket, watch.result())
        return _timed_out(ticket)

    def _time_left_s(self, ticket: Ticket) -> float | None:
        deadline_ms = ticket.task.deadline_ms
        return max(deadline_ms - self._clock.now_ms(), 0) / 1000 if deadline_ms else None

    async def _attempt(self, ticket: Ticket) -> Message | Superseded:
        """Carry the attempt out; whatever is no passing trouble becomes an outcome."""
        limit_ms = ticket.task.start_to_close_ms
        limit = asyncio.timeout(limit_ms / 1000 if limit_ms > 0 else None)
        try:
            async with limit:
                return await self._work.outcome(ticket)
        except Exception as error:
            if limit.expired():
                failure = _overrun(ticket)
            elif isinstance(error, TransientError):
                raise
            else:
                failure = self._work.failure(error)
        return StepFailed(error=failure, usage=ticket.spent.usage, worker=ticket.worker)

    async def _watch(self, place: Place, hint: asyncio.Event) -> Standing:
        """Return once the attempt is not wanted any more: by a hint, or as the journal says."""
        while True:
            try:
                async with asyncio.timeout(self._check_s):
                    await hint.wait()
            except TimeoutError:
                state = await self._standing_if_readable(place)
                if state != "wanted":
                    return state
            else:
                return "cancelled"

    async def _standing_if_readable(self, place: Place) -> Standing:
        try:
            return await self._standing(place)
        except TransientError as error:
            _log.info("standing_unreadable", run=place.run, reason=str(error))
            return "wanted"


def _timed_out(ticket: Ticket) -> Message:
    error = Failure(code="timeout", message="the step's deadline passed")
    return StepTimedOut(error=error, usage=told(ticket.spent.usage), worker=ticket.worker)


def _overrun(ticket: Ticket) -> Failure:
    seconds = ticket.task.start_to_close_ms / 1000
    message = f"step {ticket.place.step} ran for longer than {seconds:g} s"
    return Failure(code="timeout", message=message)


def _too_large(ticket: Ticket, outcome: Message, error: TooLargeError) -> Message:
    """Return the outcome of work whose own outcome no message can hold; what it used counts."""
    message = f"{error}; return less, or store what is large in the payloads"
    failure = Failure(code="too_large", message=message, retryable=False)
    return StepFailed(error=failure, usage=usage_in(outcome), worker=ticket.worker)


def _given_up(ticket: Ticket, state: Standing) -> Message | None:
    """Return the outcome of work that nobody wants; a settled attempt has its own already.

    A cancelled one needs it for its run to end.
    """
    place = ticket.place
    _log.info("task_unwanted", run=place.run, step=str(place.step), state=state)
    if state != "cancelled":
        return None
    usage = told(ticket.spent.usage)
    return StepCancelled(reason=_CANCELLED, usage=usage, worker=ticket.worker)


async def _end(*tasks: asyncio.Task[Any]) -> None:
    """Stop what still runs, and wait until it has."""
    for task in tasks:
        task.cancel()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(result, Exception) and not isinstance(result, TransientError):
            _log.warning("attempt_trouble", reason=str(result))
