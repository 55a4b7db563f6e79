"""The worker: what becomes of a task of the pool `agents`?"""

import asyncio
from typing import Any, Final

import structlog
from msgspec import UNSET

from segue_agents.core.outcome import Fail, Finish
from segue_agents.core.place import Place, standing
from segue_agents.shell.attempt import Attempt, Equipment, Result, Superseded
from segue_agents.shell.cancellations import Cancellations
from segue_agents.shell.failures import failure_of
from segue_agents.shell.ports import JournalReader
from segue_agents.shell.publisher import Publisher
from segue_agents.shell.ticket import Ticket, read_ticket
from segue_contracts.envelope import Message, UndecodableError
from segue_contracts.v1.steps import StepCancelled, StepCompleted, StepFailed, StepTimedOut
from segue_contracts.v1.subjects import SubjectError
from segue_contracts.v1.values import Failure, UsageTotals
from segue_shared.delivery import Delivery
from segue_shared.errors import TransientError
from segue_shared.pull import Ack, Dead, Nak, Verdict
from segue_shared.runtime import Runtime

_log = structlog.get_logger()

FRESH_MS: Final = 1_000
"""Up to this age a task that comes for the first time is taken without a look at its journal."""

STARTED_AFTER_S: Final = 0.25
"""A step that still runs after this long is said to have started."""

_CANCELLED: Final = "the run is being cancelled"


class Worker:
    """Settles tasks: each gets one outcome, from here or from somewhere else.

    Args:
        equipment: What attempts are carried out with.
        runtime: Clock, ids, and who this process is.
        publisher: How outcomes reach the bus.
        journal: Where it is seen whether a task is still wanted.
        cancellations: Hints that it is not.
        check_s: How often a long attempt looks into the journal.
    """

    def __init__(
        self,
        equipment: Equipment,
        *,
        runtime: Runtime,
        publisher: Publisher,
        journal: JournalReader,
        cancellations: Cancellations,
        check_s: float,
    ) -> None:
        self._with = equipment
        self._publisher = publisher
        self._journal = journal
        self._cancellations = cancellations
        self._clock = runtime.clock
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
        if not self._is_fresh(delivery) and (state := await self._standing(ticket.place)):
            await self._withdraw(ticket, state)
            return Ack()
        outcome = await self._supervise(ticket)
        if isinstance(outcome, Superseded):
            # The message is the other worker's too: settling it would leave nobody to go on.
            return Nak(self._ack_wait_s)
        if outcome is not None:
            await self._settle(ticket, outcome)
        return Ack()

    def _is_fresh(self, delivery: Delivery) -> bool:
        age_ms = self._clock.now_ms() - delivery.time_ms
        return delivery.delivered == 1 and age_ms <= FRESH_MS

    async def _standing(self, place: Place) -> str:
        found = await self._journal.last(place.settling)
        return standing(place, tuple(message.subject for message in found))

    async def _withdraw(self, ticket: Ticket, state: str) -> None:
        """Leave a task that is not wanted; a cancelled one needs its outcome for the run to end."""
        _log.info("task_unwanted", run=ticket.place.run, step=str(ticket.place.step), state=state)
        if state == "cancelled":
            await self._settle(ticket, StepCancelled(reason=_CANCELLED))

    async def _settle(self, ticket: Ticket, outcome: Message) -> None:
        stored = await self._publisher.outcome(ticket, outcome)
        _log.info(
            "attempt_settled" if stored else "outcome_refused",
            run=ticket.place.run,
            step=str(ticket.place.step),
            attempt=ticket.place.attempt,
            outcome=type(outcome).__name__,
        )

    async def _supervise(self, ticket: Ticket) -> Message | Superseded | None:
        """Work until there is an outcome, the deadline is there, or nobody wants it any more."""
        attempt = Attempt(ticket, self._with)
        with self._cancellations.watching(ticket.place) as hint:
            if hint.is_set():
                return _given_up("cancelled", attempt.usage)
            work = asyncio.create_task(self._work(ticket, attempt))
            watch = asyncio.create_task(self._watch(ticket.place, hint))
            tell = asyncio.create_task(self._tell(ticket))
            try:
                left = self._time_left_s(ticket)
                first = asyncio.FIRST_COMPLETED
                done, _ = await asyncio.wait({work, watch}, timeout=left, return_when=first)
            finally:
                await _end(work, watch, tell)
        if work in done:
            return work.result()
        if watch in done:
            return _given_up(watch.result(), attempt.usage)
        return StepTimedOut(error=Failure(code="timeout", message="the step's deadline passed"))

    def _time_left_s(self, ticket: Ticket) -> float | None:
        deadline_ms = ticket.task.deadline_ms
        return max(deadline_ms - self._clock.now_ms(), 0) / 1000 if deadline_ms else None

    async def _work(self, ticket: Ticket, attempt: Attempt) -> Message | Superseded:
        """Carry the attempt out; whatever is no passing trouble becomes an outcome."""
        try:
            return await self._outcome(ticket, await attempt.run())
        except TransientError:
            raise
        except Exception as error:  # noqa: BLE001 - every attempt gets an outcome
            failure = failure_of(error)
            return StepFailed(error=failure, usage=attempt.usage, worker=ticket.worker)

    async def _outcome(self, ticket: Ticket, result: Result) -> Message | Superseded:
        match result:
            case Finish():
                return StepCompleted(
                    output=await self._with.payloads.wrap(result.output),
                    usage=result.usage,
                    provider=result.provider,
                    model=result.model,
                    worker=ticket.worker,
                    notes=list(result.notes),
                )
            case Fail():
                return StepFailed(error=result.failure, usage=result.usage, worker=ticket.worker)
            case Superseded():
                _log.info("attempt_superseded", run=ticket.place.run, step=str(ticket.place.step))
                return result

    async def _watch(self, place: Place, hint: asyncio.Event) -> str:
        """Return once the attempt is not wanted any more: by a hint, or as the journal says."""
        while True:
            try:
                async with asyncio.timeout(self._check_s):
                    await hint.wait()
            except TimeoutError:
                if state := await self._standing_if_readable(place):
                    return state
            else:
                return "cancelled"

    async def _standing_if_readable(self, place: Place) -> str:
        try:
            return await self._standing(place)
        except TransientError as error:
            _log.info("standing_unreadable", run=place.run, reason=str(error))
            return ""

    async def _tell(self, ticket: Ticket) -> None:
        await self._clock.sleep(STARTED_AFTER_S)
        await self._publisher.started(ticket)


def _given_up(state: str, usage: UsageTotals) -> Message | None:
    """Return the outcome of work that was stopped; settled attempts have theirs already."""
    if state == "settled":
        return None
    return StepCancelled(reason=_CANCELLED, usage=usage if usage != UsageTotals() else UNSET)


async def _end(*tasks: asyncio.Task[Any]) -> None:
    """Stop what still runs, and wait until it has."""
    for task in tasks:
        task.cancel()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(result, Exception) and not isinstance(result, TransientError):
            _log.warning("attempt_trouble", reason=str(result))
