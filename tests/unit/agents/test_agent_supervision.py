"""Supervision: how is work told about, stopped and bounded in time?"""

import asyncio

import msgspec
import pytest
from unit.agents.agent_support import RUN, a_manifest, calls, says
from unit.agents.agent_world import (
    TASK,
    TURN_1,
    World,
    a_task,
    completed,
)

from segue_agents.core.catalogue import Catalogue
from segue_agents.core.manifest import Limits, Manifest
from segue_agents.core.outcome import Fail
from segue_agents.shell.attempt import Attempt
from segue_contracts.envelope import decode_event
from segue_contracts.v1 import subjects
from segue_contracts.v1.control import CancelHint
from segue_contracts.v1.deltas import StepDelta, ToolProgress
from segue_contracts.v1.registry import decode
from segue_contracts.v1.steps import (
    StepCancelled,
)
from segue_contracts.v1.values import UsageTotals
from segue_shared.errors import (
    BusUnavailableError,
)
from segue_shared.pull import Ack
from segue_worker.ticket import read_ticket


async def test_tools_tell_their_progress() -> None:
    """A viewer sees each call begin and end."""
    world = World(calls("lint_code"), says("Fine."))

    await world.handle()

    told = []
    for subject, data in world.bus.plain:
        body = decode(decode_event(data))
        assert subject == subjects.delta("default", RUN, "scan")
        assert isinstance(body, StepDelta)
        assert isinstance(body.delta, ToolProgress)
        told.append((body.delta.name, body.delta.state, body.delta.summary))
    assert told == [("lint_code", "started", ""), ("lint_code", "completed", "Fine.")]


async def test_a_cancel_hint_ends_the_work() -> None:
    """The tool is stopped, and the outcome says what was used."""
    world = World(calls("lint_code"), says("Never."))
    world.toolbox.results["lint_code"] = asyncio.Event()
    began = asyncio.Event()
    world.bus.on_created = lambda subject: began.set() if subject == TURN_1 else None
    work = asyncio.create_task(world.handle())
    await began.wait()
    await asyncio.sleep(0)

    world.agents.cancellations.cancel(CancelHint(run=RUN))

    assert isinstance(await work, Ack)
    [outcome] = world.outcomes
    assert isinstance(outcome, StepCancelled)
    assert isinstance(outcome.usage, UsageTotals)
    assert outcome.usage.model_calls == 1


async def test_work_that_is_given_back_leaves_no_outcome() -> None:
    """A worker that is stopped from outside lets another one take over."""
    world = World(calls("lint_code"))
    world.toolbox.results["lint_code"] = asyncio.Event()
    began = asyncio.Event()
    world.bus.on_created = lambda subject: began.set() if subject == TURN_1 else None
    work = asyncio.create_task(world.handle())
    await began.wait()

    work.cancel()

    with pytest.raises(asyncio.CancelledError):
        await work
    assert not world.outcomes
    assert world.turns == [1]


async def test_an_agent_that_takes_too_long_fails_for_good() -> None:
    """The agent's own limit ends it, whatever the step's deadline is."""
    world = World(calls("lint_code"))
    world.toolbox.results["lint_code"] = asyncio.Event()
    catalogue = Catalogue([_impatient()], tools=world.toolbox.names)
    equipment = msgspec.structs.replace(world.agents.equipment, catalogue=catalogue)
    ticket = read_ticket(TASK, a_task(), worker="here/1")

    result = await Attempt(ticket, equipment).run()

    assert isinstance(result, Fail)
    assert (result.failure.code, result.failure.retryable) == ("time_limit", False)
    assert result.usage.model_calls == 1


def _impatient() -> Manifest:
    limits = Limits.model_construct(turns=4, tool_calls=4, seconds=0.05)
    return a_manifest(limits=limits, tools=("lint_code",))


async def test_progress_that_cannot_be_told_is_lost() -> None:
    """Nobody waits for a delta."""
    world = World(calls("lint_code"), says("Fine."))
    world.bus.on_publish = BusUnavailableError("the buffer is full")

    await world.handle()

    assert completed(world).usage.tool_calls == 1
