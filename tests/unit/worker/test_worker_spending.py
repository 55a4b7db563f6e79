"""Spending: is what work used charged whose outcome does not count?"""

import asyncio

import pytest
from unit.worker.worker_world import COMPLETED, PREFIX, WorkerWorld

from segue_contracts.envelope import Message
from segue_contracts.payload import Value
from segue_contracts.v1 import subjects
from segue_contracts.v1.steps import StepCompleted, StepSpent, StepTimedOut
from segue_contracts.v1.turns import TurnCompleted
from segue_contracts.v1.values import Failure, UsageTotals
from segue_shared.errors import BusUnavailableError
from segue_shared.pull import Ack
from segue_worker.ticket import Ticket

TIMED_OUT = subjects.outcome(PREFIX, "scan", 1, "timed_out")
LATE = StepTimedOut(error=Failure(code="timeout", message="late"))
USED = UsageTotals(input_tokens=7, output_tokens=5, cost_usd="0.30", model_calls=2)


def spent(world: WorkerWorld) -> list[Message]:
    """Return what was told of spending."""
    return [world.bus.body(subject) for subject in world.bus.stored if ".spent." in subject]


def turn(number: int, usage: UsageTotals) -> tuple[str, TurnCompleted]:
    """Return a turn of the attempt and where it is."""
    body = TurnCompleted(number=number, kind="model", messages=Value(inline=[]), usage=usage)
    return subjects.turn(PREFIX, "scan", 1, number), body


async def costly(ticket: Ticket) -> Message:
    """Complete the step at a price."""
    return StepCompleted(usage=USED, worker=ticket.worker)


async def hang(ticket: Ticket) -> Message:
    """Use something, and then wait for ever."""
    ticket.spent.usage = USED
    await asyncio.Event().wait()
    raise AssertionError


async def test_a_refused_outcome_s_usage_is_told() -> None:
    """The attempt has timed out, and the work was done all the same."""
    world = WorkerWorld(costly)
    world.bus.put(TIMED_OUT, LATE)

    assert await world.handle() == Ack()

    assert spent(world) == [StepSpent(usage=USED, worker=world.work.tickets[0].worker)]
    assert world.bus.outcomes == [LATE]


async def test_what_turns_have_told_is_not_told_again() -> None:
    """They are charged as they come, whoever had them."""
    world = WorkerWorld(costly)
    world.bus.put(TIMED_OUT, LATE)
    world.bus.put(*turn(1, UsageTotals(input_tokens=7, output_tokens=1, cost_usd="0.1")))
    world.bus.put(*turn(2, UsageTotals(output_tokens=1, tool_calls=4, model_calls=1)))

    await world.handle()

    [told] = spent(world)
    assert isinstance(told, StepSpent)
    assert told.usage == UsageTotals(output_tokens=3, cost_usd="0.20", model_calls=1)


@pytest.mark.parametrize("usage", [UsageTotals(), USED], ids=["nothing", "turns"])
async def test_nothing_is_told_where_there_is_nothing_to_tell(usage: UsageTotals) -> None:
    """Free work, or an agent's, whose turns tell all."""

    async def work(ticket: Ticket) -> Message:
        return StepCompleted(usage=usage, worker=ticket.worker)

    world = WorkerWorld(work)
    world.bus.put(TIMED_OUT, LATE)
    world.bus.put(*turn(1, usage))

    await world.handle()

    assert spent(world) == []


async def test_work_that_is_given_up_tells_what_it_used() -> None:
    """Somebody else settled its attempt meanwhile."""
    world = WorkerWorld(hang, check_s=0.01)
    world.bus.on_read = lambda _patterns: world.bus.put(TIMED_OUT, LATE)

    await world.handle()

    assert [body.usage for body in spent(world) if isinstance(body, StepSpent)] == [USED]


async def test_an_outcome_that_was_stored_unheard_is_told_once() -> None:
    """It is charged already."""
    world = WorkerWorld(costly)
    world.bus.forgetful.add(COMPLETED)

    await world.handle()

    assert len(world.bus.outcomes) == 1
    assert spent(world) == []


async def test_a_time_out_says_what_was_used_until_then() -> None:
    """The worker that gives up knows."""
    world = WorkerWorld(hang)

    await world.handle(deadline_ms=world.clock.now_ms() + 20)

    [outcome] = world.bus.outcomes
    assert isinstance(outcome, StepTimedOut)
    assert (outcome.usage, outcome.worker) == (USED, world.work.tickets[0].worker)


async def test_what_nobody_can_read_says_nothing() -> None:
    """Neither an outcome nor a turn of another's making keeps what was used from being told."""
    world = WorkerWorld(costly)
    world.bus.stored[TIMED_OUT] = b"?"
    world.bus.put(subjects.turn(PREFIX, "scan", 1, 1), StepSpent(usage=USED))
    world.bus.put(subjects.turn(PREFIX, "scan", 1, 2), LATE)

    assert await world.handle() == Ack()

    assert [body.usage for body in spent(world) if isinstance(body, StepSpent)] == [USED]


async def test_spending_that_cannot_be_told_is_no_reason_to_do_the_work_again() -> None:
    """It is logged; the task is settled."""
    world = WorkerWorld(costly)
    world.bus.put(TIMED_OUT, LATE)

    def refuse(subject: str) -> None:
        if ".spent." in subject:
            raise BusUnavailableError("away")

    world.bus.on_create = refuse

    assert await world.handle() == Ack()
    assert spent(world) == []
