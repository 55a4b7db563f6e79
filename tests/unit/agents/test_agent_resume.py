"""Resuming: what is repeated after a worker died?"""

import msgspec
import pytest
from unit.agents.agent_support import a_finding, calls, says
from unit.agents.agent_world import Answer, Killed, World

from segue_agents.core.findings import Finding, ToolReport
from segue_contracts.v1.steps import StepCompleted

EVENTS = 6
"""What an uninterrupted run of the script stores: five turns and the outcome."""


def _script() -> list[Answer]:
    return [calls("lint_code", "measure_complexity"), calls("lint_code"), says("It is bad.")]


def _world(script: list[Answer]) -> World:
    world = World(*script)
    finding = msgspec.convert(a_finding("high"), Finding)
    world.toolbox.results["lint_code"] = ToolReport(
        tool="lint_code", summary="One.", findings=(finding,)
    )
    return world


def _completed(world: World) -> StepCompleted:
    [outcome] = world.outcomes
    assert isinstance(outcome, StepCompleted)
    return msgspec.structs.replace(outcome, worker="")


def _kill(world: World, number: int, moment: str) -> None:
    """Let the process die just before or just after its n-th event is stored."""
    seen = 0

    def count(_subject: str) -> None:
        nonlocal seen
        seen += 1
        if seen == number:
            raise Killed

    if moment == "before":
        world.bus.on_create = count
    else:
        world.bus.on_created = count


def _answer_what_is_not_journaled(world: World) -> None:
    """Let the model answer as in the script, by the number of answers it is shown."""
    answered = sum(1 for turn in world.turns if turn % 2)
    world.bus.script = _script()[answered:]


async def test_an_uninterrupted_run_stores_each_turn_and_one_outcome() -> None:
    """This is what the interrupted runs are compared with."""
    world = _world(_script())

    await world.handle()

    assert len(world.bus.stored) == EVENTS
    assert world.turns == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("number", range(1, EVENTS + 1))
async def test_a_killed_worker_s_task_ends_the_same_and_repeats_nothing_journaled(
    number: int, moment: str
) -> None:
    """Whoever takes over goes on where the journal ends."""
    whole = _world(_script())
    await whole.handle()
    world = _world(_script())
    _kill(world, number, moment)
    with pytest.raises(Killed):
        await world.handle()
    journaled, asked, ran = list(world.turns), len(world.bus.requests), len(world.toolbox.runs)
    world.bus.on_create = world.bus.on_created = lambda _subject: None
    _answer_what_is_not_journaled(world)

    world.rebuilt()
    await world.handle(delivered=2)

    assert _completed(world) == _completed(whole)
    again = [int(request.id.rpartition(":")[2]) for request in world.bus.requests[asked:]]
    assert not set(again) & set(journaled)
    expected_runs = {0: 3, 1: 3, 2: 1, 3: 1, 4: 0, 5: 0}[len(journaled)]
    assert len(world.toolbox.runs) - ran == expected_runs


async def test_two_workers_on_one_attempt_leave_one_conversation() -> None:
    """A second worker that begins in the middle takes over; the first stops at its next turn."""
    world = _world(_script())

    async def overtaken() -> None:
        world.bus.on_create = lambda _subject: None
        first_requests = len(world.bus.requests)
        _answer_what_is_not_journaled(world)
        await world.handle(delivered=2)
        assert len(world.bus.requests) > first_requests

    async def answer_late(_request: object) -> object:
        await overtaken()
        return says("I am late.")

    world.bus.script = [calls("lint_code"), answer_late]

    await world.handle()

    assert len(world.outcomes) == 1
    assert isinstance(_completed(world).output.inline, dict)
    assert _completed(world).output.inline["summary"] == "It is bad."
