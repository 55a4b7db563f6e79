"""Supervision: how is work told about, stopped and bounded in time?"""

import asyncio

import pytest
from msgspec import UNSET
from unit.worker.worker_world import (
    CANCEL_REQUESTED,
    COMPLETED,
    ENDED,
    PREFIX,
    STARTED,
    TASK,
    TERMINATE_REQUESTED,
    UNDO,
    WorkerWorld,
    a_task,
)

from segue_contracts.envelope import Message
from segue_contracts.v1 import subjects
from segue_contracts.v1.control import CancelHint
from segue_contracts.v1.runs import CancelRequested, RunEnded, TerminateRequested
from segue_contracts.v1.steps import (
    StepCancelled,
    StepCompleted,
    StepFailed,
    StepStarted,
    StepTimedOut,
)
from segue_contracts.v1.values import Failure, UsageTotals
from segue_shared.delivery import Delivery
from segue_shared.errors import BusUnavailableError, PermissionDeniedError, TooLargeError
from segue_shared.pull import Ack, Dead, Nak
from segue_worker.ports import Superseded
from segue_worker.ticket import Ticket

RUN = subjects.parse_run(TASK).run
ONE_CALL = UsageTotals(model_calls=1)


async def never(_ticket: Ticket) -> Message:
    """Wait for ever."""
    await asyncio.Event().wait()
    raise AssertionError


class Hanging:
    """Work that has used something and then waits for ever."""

    def __init__(self) -> None:
        self.began = asyncio.Event()

    async def __call__(self, ticket: Ticket) -> Message:
        """Do it."""
        ticket.spent.usage = ONE_CALL
        self.began.set()
        return await never(ticket)


async def settled(world: WorkerWorld, **task: int) -> object:
    """Move the clock until the task is handled."""
    work = asyncio.create_task(world.handle(**task))
    async with asyncio.timeout(10):
        while not work.done():
            await world.clock.advance(0.1)
            await asyncio.sleep(0)
    return work.result()


async def test_an_outcome_tells_its_cause_and_its_worker() -> None:
    """The frame names task, start and source; the body names process and delivery."""
    world = WorkerWorld()

    assert await world.handle() == Ack()

    event, body = world.bus.event(COMPLETED), world.bus.body(COMPLETED)
    assert (event.causationid, event.startseq) == (TASK, 3)
    assert (event.source, event.subject) == ("segue/test", f"{RUN}/scan")
    assert isinstance(body, StepCompleted)
    assert body.worker == world.work.tickets[0].worker
    assert body.worker.startswith("here/")


async def test_each_delivery_has_a_worker_of_its_own() -> None:
    """Two deliveries to one process can be told apart, for one may be given up."""
    world = WorkerWorld()

    await world.handle()
    await world.handle()

    first, second = world.work.tickets
    assert first.worker != second.worker


@pytest.mark.parametrize(("subject", "data"), [("some.thing", a_task()), (TASK, b"{")])
async def test_what_is_no_task_is_dead(subject: str, data: bytes) -> None:
    """Nobody can ever handle it, and nothing is written into a run."""
    world = WorkerWorld()

    verdict = await world.worker.handle(Delivery(subject, data, 7, 0, 1, "reply", {}))

    assert isinstance(verdict, Dead)
    assert verdict.reason == "undecodable"
    assert not world.bus.stored


async def test_a_retry_waits_for_its_backoff() -> None:
    """A task that comes too early is given back with the rest of the delay."""
    world = WorkerWorld()

    verdict = await world.handle(not_before_ms=world.clock.now_ms() + 1_500)

    assert verdict == Nak(1.5)
    assert not world.work.tickets


async def test_a_fresh_task_is_taken_without_a_look_back() -> None:
    """The usual case costs no read."""
    world = WorkerWorld()

    await world.handle(age_ms=1_000)

    assert world.bus.reads == []
    assert len(world.work.tickets) == 1


@pytest.mark.parametrize(("delivered", "age_ms"), [(2, 0), (1, 1_001)])
@pytest.mark.parametrize(
    ("subject", "body"),
    [
        (COMPLETED, StepCompleted()),
        (ENDED, RunEnded(status="failed")),
        (TERMINATE_REQUESTED, TerminateRequested()),
    ],
)
async def test_a_settled_attempt_is_left_alone(
    subject: str, body: Message, delivered: int, age_ms: int
) -> None:
    """A task that comes again or late is looked up, and one that is over is acknowledged."""
    world = WorkerWorld()
    world.bus.put(subject, body)

    assert await world.handle(delivered=delivered, age_ms=age_ms) == Ack()
    assert list(world.bus.stored) == [subject]
    assert not world.work.tickets


async def test_an_attempt_of_a_run_being_cancelled_gets_its_outcome() -> None:
    """The run can end only when nothing is in flight."""
    world = WorkerWorld()
    world.bus.put(CANCEL_REQUESTED, CancelRequested())

    await world.handle(delivered=2)

    [outcome] = world.bus.outcomes
    assert isinstance(outcome, StepCancelled)
    assert (outcome.reason, outcome.usage) == ("the run is being cancelled", UNSET)
    assert not world.work.tickets


async def test_a_second_outcome_is_refused_and_that_is_fine() -> None:
    """When two workers finish the same attempt, the first one's word stands."""
    world = WorkerWorld()
    world.bus.put(subjects.outcome(PREFIX, "scan", 1, "cancelled"), StepCancelled())

    assert await world.handle() == Ack()
    assert world.bus.outcomes == [StepCancelled()]


async def test_a_superseded_attempt_is_given_back_for_the_ack_wait() -> None:
    """The message is the other worker's too; if that one dies, somebody has to go on."""

    async def lose(_ticket: Ticket) -> Superseded:
        return Superseded()

    world = WorkerWorld(lose)

    assert await world.handle() == Nak(20)
    assert not world.bus.stored


async def test_an_error_becomes_the_failure_that_the_service_makes_of_it() -> None:
    """What was used until then is charged."""

    async def break_down(ticket: Ticket) -> Message:
        ticket.spent.usage = ONE_CALL
        raise TooLargeError("too large")

    world = WorkerWorld(break_down)

    await world.handle()

    [outcome] = world.bus.outcomes
    assert isinstance(outcome, StepFailed)
    assert outcome.error == Failure(code="broken", message="TooLargeError")
    assert outcome.usage == ONE_CALL
    assert outcome.worker.startswith("here/")


async def test_an_outcome_that_no_message_can_hold_becomes_a_failure() -> None:
    """The attempt is settled all the same, with what it used, and told what to do about it."""

    def take_small_ones(subject: str) -> None:
        if subject == COMPLETED:
            raise TooLargeError("too large")

    async def complete(_ticket: Ticket) -> Message:
        return StepCompleted(usage=ONE_CALL)

    world = WorkerWorld(complete)
    world.bus.on_create = take_small_ones

    assert await world.handle() == Ack()

    [outcome] = world.bus.outcomes
    assert isinstance(outcome, StepFailed)
    assert (outcome.error.code, outcome.error.retryable) == ("too_large", False)
    assert outcome.usage == ONE_CALL
    assert "store what is large" in outcome.error.message


async def test_passing_trouble_gives_the_task_back() -> None:
    """It is no outcome."""

    async def find_nobody(_ticket: Ticket) -> Message:
        raise BusUnavailableError("away")

    world = WorkerWorld(find_nobody)

    with pytest.raises(BusUnavailableError):
        await world.handle()
    assert not world.bus.stored


async def test_a_quick_step_is_not_said_to_have_started() -> None:
    """Its outcome says all."""
    world = WorkerWorld()

    await world.handle()

    assert STARTED not in world.bus.stored


async def test_a_step_that_takes_a_while_is_said_to_have_started() -> None:
    """After a quarter of a second a viewer sees who works on it."""
    told = asyncio.Event()

    async def complete_once_told(_ticket: Ticket) -> Message:
        await told.wait()
        return StepCompleted()

    world = WorkerWorld(complete_once_told)
    world.bus.on_created = lambda subject: told.set() if subject == STARTED else None

    await settled(world)

    body = world.bus.body(STARTED)
    assert isinstance(body, StepStarted)
    assert body.worker == world.work.tickets[0].worker


async def test_a_start_that_cannot_be_told_does_not_end_the_work() -> None:
    """The outcome is what counts."""
    refused = asyncio.Event()

    async def complete_once_refused(_ticket: Ticket) -> Message:
        await refused.wait()
        return StepCompleted()

    def refuse(subject: str) -> None:
        if subject == STARTED:
            refused.set()
            raise PermissionDeniedError(f"this user may not publish on {subject}")

    world = WorkerWorld(complete_once_refused)
    world.bus.on_create = refuse

    assert await settled(world) == Ack()
    assert isinstance(world.bus.outcomes[0], StepCompleted)


async def test_a_cancel_hint_ends_the_work() -> None:
    """The outcome says what was used."""
    hanging = Hanging()
    world = WorkerWorld(hanging)
    work = asyncio.create_task(world.handle())
    await hanging.began.wait()

    world.cancellations.cancel(CancelHint(run=RUN))

    assert await work == Ack()
    [outcome] = world.bus.outcomes
    assert isinstance(outcome, StepCancelled)
    assert outcome.usage == ONE_CALL


async def test_a_hint_that_came_before_the_task_counts() -> None:
    """The task may have been on its way; nothing is begun, and nothing was used."""
    world = WorkerWorld()
    world.cancellations.cancel(CancelHint(run=RUN))

    await world.handle()

    [outcome] = world.bus.outcomes
    assert isinstance(outcome, StepCancelled)
    assert outcome.usage is UNSET
    assert not world.work.tickets


async def test_long_work_notices_in_the_journal_that_it_is_not_wanted() -> None:
    """A hint may be lost; the journal is looked at again and again."""
    world = WorkerWorld(never, check_s=0.01)
    world.bus.on_read = lambda _patterns: world.bus.put(CANCEL_REQUESTED, CancelRequested())

    await world.handle()

    [outcome] = world.bus.outcomes
    assert isinstance(outcome, StepCancelled)


async def test_long_work_stops_when_somebody_else_settled_it() -> None:
    """There is an outcome already, so none is added."""
    world = WorkerWorld(never, check_s=0.01)
    late = StepTimedOut(error=Failure(code="timeout", message="late"))
    timed_out = subjects.outcome(PREFIX, "scan", 1, "timed_out")
    world.bus.on_read = lambda _patterns: world.bus.put(timed_out, late)

    assert await world.handle() == Ack()
    assert world.bus.outcomes == [late]


async def test_a_broker_that_is_away_does_not_end_long_work() -> None:
    """The look at the journal is repeated, and the work goes on until it says something."""
    world = WorkerWorld(never, check_s=0.01)

    def look(_patterns: tuple[str, ...]) -> None:
        if len(world.bus.reads) == 1:
            raise BusUnavailableError("no broker")
        if len(world.bus.reads) == 3:
            world.bus.put(CANCEL_REQUESTED, CancelRequested())

    world.bus.on_read = look

    await world.handle()

    assert isinstance(world.bus.outcomes[0], StepCancelled)
    assert len(world.bus.reads) == 3


async def test_a_step_past_its_deadline_times_out() -> None:
    """The worker says so itself."""
    world = WorkerWorld(never)

    await world.handle(deadline_ms=world.clock.now_ms() + 20)

    [outcome] = world.bus.outcomes
    assert isinstance(outcome, StepTimedOut)
    assert outcome.error.code == "timeout"


async def test_a_step_whose_deadline_has_passed_is_not_begun() -> None:
    """A task that comes too late has no effect, and its attempt is settled."""
    world = WorkerWorld()

    assert await world.handle(deadline_ms=world.clock.now_ms()) == Ack()

    assert isinstance(world.bus.outcomes[0], StepTimedOut)
    assert not world.work.tickets


async def test_work_that_takes_longer_than_its_step_allows_fails() -> None:
    """The time counts from the beginning of the work; what was used until then is charged."""
    world = WorkerWorld(Hanging())

    assert await world.handle(start_to_close_ms=20) == Ack()

    [outcome] = world.bus.outcomes
    assert isinstance(outcome, StepFailed)
    assert outcome.error == Failure(code="timeout", message="step scan ran for longer than 0.02 s")
    assert outcome.usage == ONE_CALL


async def test_what_work_says_to_being_stopped_does_not_hide_that_its_time_was_up() -> None:
    """Given back as passing trouble, it would run into the same limit for ever."""

    async def complain(ticket: Ticket) -> Message:
        try:
            return await never(ticket)
        except asyncio.CancelledError as error:
            raise BusUnavailableError("interrupted") from error

    world = WorkerWorld(complain)

    assert await world.handle(start_to_close_ms=20) == Ack()

    [outcome] = world.bus.outcomes
    assert isinstance(outcome, StepFailed)
    assert outcome.error.code == "timeout"


async def test_work_within_the_time_of_its_step_counts() -> None:
    """A limit alone changes nothing."""
    world = WorkerWorld()

    await world.handle(start_to_close_ms=60_000, deadline_ms=world.clock.now_ms() + 60_000)

    assert isinstance(world.bus.outcomes[0], StepCompleted)


async def test_work_that_undoes_a_step_is_done_while_its_run_is_cancelled() -> None:
    """Neither hints nor the request to cancel keep a step from being undone."""
    world = WorkerWorld()
    world.cancellations.cancel(CancelHint(run=RUN))
    world.bus.put(CANCEL_REQUESTED, CancelRequested())

    await world.handle(subject=UNDO, delivered=2)

    assert [type(outcome) for outcome in world.bus.outcomes] == [StepCompleted]


async def test_work_that_undoes_a_step_stops_when_its_run_is_terminated() -> None:
    """There will be an end without it, so no outcome is added."""
    world = WorkerWorld(never, check_s=0.01)
    world.bus.on_read = lambda _patterns: world.bus.put(TERMINATE_REQUESTED, TerminateRequested())

    assert await world.handle(subject=UNDO) == Ack()
    assert world.bus.outcomes == []


async def test_work_that_is_given_back_leaves_no_outcome() -> None:
    """A worker that is stopped from outside lets another one take over."""
    hanging = Hanging()
    world = WorkerWorld(hanging)
    work = asyncio.create_task(world.handle())
    await hanging.began.wait()

    work.cancel()

    with pytest.raises(asyncio.CancelledError):
        await work
    assert not world.bus.stored
