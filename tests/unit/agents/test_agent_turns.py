"""Turns: how does a worker keep its conversation, and notice another one?"""

import pytest
from unit.agents.agent_support import calls, says
from unit.agents.agent_world import PREFIX, TURN_1, World, completed, failed

from segue_contracts.payload import Value
from segue_contracts.v1 import subjects
from segue_contracts.v1.steps import (
    StepStarted,
)
from segue_contracts.v1.turns import TurnCompleted
from segue_shared.errors import (
    BusUnavailableError,
)
from segue_shared.pull import Nak


async def test_a_worker_that_finds_another_s_turn_stops_at_once() -> None:
    """The loser runs no tool, writes no outcome, and leaves the task's message to the winner."""
    world = World(calls("lint_code"))

    def overtake(subject: str) -> None:
        if subject == TURN_1:
            body = TurnCompleted(number=1, kind="model", messages=Value(), worker="there/1")
            world.put(TURN_1, body)

    world.bus.on_create = overtake

    verdict = await world.handle()

    assert verdict == Nak(30.0)
    assert not world.toolbox.runs
    assert not world.outcomes


async def test_a_worker_recognises_its_own_turn() -> None:
    """A publish that was stored without our hearing of it is no other worker."""
    world = World(calls("lint_code"), says("Fine."))
    world.bus.forgetful.add(TURN_1)

    await world.handle()

    assert completed(world).usage.model_calls == 2


async def test_a_turn_that_is_taken_but_unreadable_gives_the_task_back() -> None:
    """A replica may lag; the next delivery sees it."""
    world = World(says("Fine."))

    def vanish(subject: str) -> None:
        if subject == TURN_1:
            del world.bus.stored[TURN_1]

    world.bus.forgetful.add(TURN_1)
    world.bus.on_created = vanish

    with pytest.raises(BusUnavailableError):
        await world.handle()


async def test_a_hole_in_the_turns_gives_the_task_back() -> None:
    """Nothing is decided on half a conversation."""
    world = World()
    body = TurnCompleted(number=2, kind="tools", messages=Value(inline=[]))
    world.put(subjects.turn(PREFIX, "scan", 1, 2), body)

    with pytest.raises(BusUnavailableError):
        await world.handle(delivered=2)


@pytest.mark.parametrize(
    "body",
    [
        TurnCompleted(number=1, kind="model", messages=Value(inline=[{"role": "nobody"}])),
        StepStarted(worker="x"),
    ],
)
async def test_a_journal_that_cannot_be_read_fails_the_step(
    body: TurnCompleted | StepStarted,
) -> None:
    """Another attempt begins with an empty conversation, by hand."""
    world = World()
    world.put(TURN_1, body)

    await world.handle()

    assert failed(world).error.code == "message_unreadable"


async def test_bytes_that_are_no_turn_fail_the_step() -> None:
    """Something foreign on a turn's subject is not skipped."""
    world = World()
    world.bus.stored[TURN_1] = b"noise"

    await world.handle()

    assert failed(world).error.code == "message_unreadable"
