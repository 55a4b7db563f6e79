"""The worker: what becomes of a task of the pool `llm`?"""

import asyncio
from typing import Any, Final

import structlog

from segue_contracts.envelope import Message, UndecodableError
from segue_contracts.v1.registry import OUTCOME_OF
from segue_contracts.v1.steps import StepCancelled, StepFailed, StepStarted, StepTimedOut
from segue_contracts.v1.subjects import SubjectError
from segue_contracts.v1.values import Failure
from segue_providers.core.place import Place, Standing, standing
from segue_providers.shell.cancellations import Cancellations
from segue_providers.shell.llm_step import LlmStep
from segue_providers.shell.ports import EventBus, JournalReader
from segue_providers.shell.ticket import Ticket, read_ticket
from segue_shared.clock import Clock, rfc3339
from segue_shared.delivery import Delivery
from segue_shared.errors import SegueError, TransientError
from segue_shared.pull import Ack, Dead, Nak, Verdict

_log = structlog.get_logger()

FRESH_MS: Final = 1_000
"""Up to this age a task that comes for the first time is taken without a look at its journal."""

STARTED_AFTER_S: Final = 0.25
"""A step that still runs after this long is said to have started."""

_CANCELLED: Final = StepCancelled(reason="the run is being cancelled")


class Worker:
    """Settles tasks: each gets one outcome, from here or from somewhere else.

    Args:
        name: Who this process is.
        check_s: How often a long call looks whether it is still wanted.
    """

    def __init__(  # noqa: PLR0913 - the composition root hands in every part by name
        self,
        step: LlmStep,
        *,
        bus: EventBus,
        journal: JournalReader,
        cancellations: Cancellations,
        clock: Clock,
        name: str,
        check_s: float,
    ) -> None:
        self._step = step
        self._bus = bus
        self._journal = journal
        self._cancellations = cancellations
        self._clock = clock
        self._name = name
        self._check_s = check_s

    async def handle(self, delivery: Delivery) -> Verdict:
        """Carry a task out, or find that nothing needs to be done.

        Raises:
            TransientError: The bus or a store is away; the task shall come again.
        """
        try:
            ticket = read_ticket(delivery.subject, delivery.data)
        except (UndecodableError, SubjectError) as error:
            return Dead("undecodable", str(error))
        early_ms = ticket.task.not_before_ms - self._clock.now_ms()
        if early_ms > 0:
            return Nak(early_ms / 1000)
        known = "wanted" if self._is_fresh(delivery) else await self._standing(ticket.place)
        outcome = await self._supervise(ticket) if known == "wanted" else _given_up(known)
        if outcome is not None:
            await self._settle(ticket, outcome)
        return Ack()

    def _is_fresh(self, delivery: Delivery) -> bool:
        age_ms = self._clock.now_ms() - delivery.time_ms
        return delivery.delivered == 1 and age_ms <= FRESH_MS

    async def _standing(self, place: Place) -> Standing:
        found = await self._journal.last(place.settling)
        return standing(place, tuple(message.subject for message in found))

    async def _settle(self, ticket: Ticket, outcome: Message) -> None:
        """Publish the outcome; when the attempt has one already, that one counts."""
        place = ticket.place
        subject = place.outcome(OUTCOME_OF[type(outcome)])
        created = await self._create(ticket, outcome, subject=subject, guard=place.outcome_guard)
        _log.info(
            "attempt_settled" if created else "outcome_refused",
            run=place.run,
            step=place.step,
            attempt=place.attempt,
            outcome=type(outcome).__name__,
        )

    async def _create(
        self, ticket: Ticket, body: Message, *, subject: str, guard: str = ""
    ) -> bool:
        data = ticket.framed(body, subject, time=rfc3339(self._clock.now_ms()))
        return (await self._bus.create(subject, data, guard=guard)).created

    async def _supervise(self, ticket: Ticket) -> Message | None:
        """Work until there is an outcome, the deadline is there, or nobody wants it any more."""
        with self._cancellations.watching(ticket.place) as hint:
            work = asyncio.create_task(self._work(ticket))
            watch = asyncio.create_task(self._watch(ticket.place, hint))
            tell = asyncio.create_task(self._tell(ticket))
            try:
                left = self._seconds_left(ticket)
                first = asyncio.FIRST_COMPLETED
                done, _ = await asyncio.wait({work, watch}, timeout=left, return_when=first)
            finally:
                await _end(work, watch, tell)
        if work in done:
            return work.result()
        if watch in done:
            return _given_up(watch.result())
        return StepTimedOut(error=Failure(code="timeout", message="the step's deadline passed"))

    def _seconds_left(self, ticket: Ticket) -> float | None:
        deadline_ms = ticket.task.deadline_ms
        return max(deadline_ms - self._clock.now_ms(), 0) / 1000 if deadline_ms else None

    async def _work(self, ticket: Ticket) -> Message:
        """Carry the step out; what is no passing trouble becomes its outcome."""
        try:
            return await self._step.outcome(ticket)
        except TransientError:
            raise
        except SegueError as error:
            failure = Failure(code="failed", message=str(error), retryable=False)
        except Exception as error:  # noqa: BLE001 - every attempt gets an outcome
            _log.exception("step_crashed", run=ticket.place.run, step=ticket.place.step)
            sentence = f"the providers service broke down on it ({type(error).__name__})"
            failure = Failure(code="internal", message=sentence)
        return StepFailed(error=failure, worker=self._name)

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

    async def _tell(self, ticket: Ticket) -> None:
        await self._clock.sleep(STARTED_AFTER_S)
        body = StepStarted(worker=self._name)
        await self._create(ticket, body, subject=ticket.place.started)


def _given_up(state: Standing) -> Message | None:
    """Return the outcome of work that nobody wants; a settled attempt has its own already."""
    return _CANCELLED if state == "cancelled" else None


async def _end(*tasks: asyncio.Task[Any]) -> None:
    """Stop what still runs, and wait until it has."""
    for task in tasks:
        task.cancel()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(result, Exception) and not isinstance(result, TransientError):
            _log.warning("attempt_trouble", reason=str(result))
