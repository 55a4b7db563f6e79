"""Supervision: how is work told about, stopped and bounded in time?"""

import asyncio

import msgspec
import pytest
from unit.agents.agent_support import RUN, a_manifest, calls, says
from unit.agents.agent_world import (
    PREFIX,
    STARTED,
    TASK,
    TURN_1,
    World,
    a_task,
    completed,
    settled,
)

from segue_agents.core.catalogue import Catalogue
from segue_agents.core.manifest import Limits, Manifest
from segue_agents.core.outcome import Fail
from segue_agents.shell.attempt import Attempt
from segue_agents.shell.ticket import read_ticket
from segue_contracts.envelope import decode_event
from segue_contracts.v1 import subjects
from segue_contracts.v1.chat import ChatRequest, ChatResponse
from segue_contracts.v1.control import CancelHint
from segue_contracts.v1.deltas import StepDelta, ToolProgress
from segue_contracts.v1.registry import decode
from segue_contracts.v1.runs import CancelRequested
from segue_contracts.v1.steps import (
    StepCancelled,
    StepStarted,
    StepTimedOut,
)
from segue_contracts.v1.values import Failure, UsageTotals
from segue_shared.errors import (
    BusUnavailableError,
    PermissionDeniedError,
)
from segue_shared.pull import Ack


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


async def test_a_quick_step_is_not_said_to_have_started() -> None:
    """Its outcome says all."""
    world = World(says("Fine."))

    await world.handle()

    assert STARTED not in world.bus.stored


async def test_a_step_that_takes_a_while_is_said_to_have_started() -> None:
    """After a quarter of a second a viewer sees who works on it."""
    told = asyncio.Event()

    async def answer_once_told(_request: ChatRequest) -> ChatResponse:
        await told.wait()
        return says("Fine.")

    world = World(answer_once_told)
    world.bus.on_created = lambda subject: told.set() if subject == STARTED else None

    await settled(world, asyncio.create_task(world.handle()))

    assert isinstance(world.body(STARTED), StepStarted)


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


async def test_a_hint_that_came_before_the_task_counts() -> None:
    """The task may have been on its way."""
    world = World()
    world.agents.cancellations.cancel(CancelHint(run=RUN))

    await world.handle()

    [outcome] = world.outcomes
    assert isinstance(outcome, StepCancelled)


async def test_long_work_notices_in_the_journal_that_it_is_not_wanted() -> None:
    """A hint may be lost; the journal is looked at again and again."""
    world = World(calls("lint_code"), settled_check_s=0.01)
    world.toolbox.results["lint_code"] = asyncio.Event()
    request = subjects.run_event("default", RUN, "cancel_requested")
    world.bus.on_created = lambda subject: (
        world.put(request, CancelRequested()) if subject == TURN_1 else None
    )

    await world.handle()

    [outcome] = world.outcomes
    assert isinstance(outcome, StepCancelled)


async def test_long_work_stops_when_somebody_else_settled_it() -> None:
    """There is an outcome already, so none is added."""
    world = World(calls("lint_code"), settled_check_s=0.01)
    world.toolbox.results["lint_code"] = asyncio.Event()
    timed_out = subjects.outcome(PREFIX, "scan", 1, "timed_out")
    world.bus.on_created = lambda subject: (
        world.put(timed_out, StepTimedOut(error=Failure(code="timeout", message="late")))
        if subject == TURN_1
        else None
    )

    assert isinstance(await world.handle(), Ack)
    assert len(world.outcomes) == 1
    assert isinstance(world.outcomes[0], StepTimedOut)


async def test_a_step_past_its_deadline_times_out() -> None:
    """The worker says so itself."""
    world = World(calls("lint_code"))
    world.toolbox.results["lint_code"] = asyncio.Event()

    await world.handle(deadline_ms=world.clock.now_ms() + 20)

    [outcome] = world.outcomes
    assert isinstance(outcome, StepTimedOut)
    assert outcome.error.code == "timeout"


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


async def test_a_broker_that_is_away_does_not_end_long_work() -> None:
    """The look at the journal is repeated, and the work goes on until it says something."""
    world = World(calls("lint_code"), settled_check_s=0.01)
    world.toolbox.results["lint_code"] = asyncio.Event()
    looks: list[int] = []
    request = subjects.run_event("default", RUN, "cancel_requested")

    def look(patterns: tuple[str, ...]) -> None:
        if request in patterns:
            looks.append(len(looks))
            if len(looks) == 1:
                raise BusUnavailableError("no broker")
            if len(looks) == 3:
                world.put(request, CancelRequested())

    world.bus.on_read = look

    await world.handle()

    assert isinstance(world.outcomes[0], StepCancelled)
    assert len(looks) == 3


async def test_a_start_that_cannot_be_told_does_not_end_the_work() -> None:
    """The outcome is what counts."""
    refused = asyncio.Event()

    async def answer_once_refused(_request: ChatRequest) -> ChatResponse:
        await refused.wait()
        return says("Fine.")

    def refuse(subject: str) -> None:
        if subject == STARTED:
            refused.set()
            raise PermissionDeniedError(f"this user may not publish on {subject}")

    world = World(answer_once_refused)
    world.bus.on_create = refuse

    await settled(world, asyncio.create_task(world.handle()))

    assert completed(world).provider == "claude"
