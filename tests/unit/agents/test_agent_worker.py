"""The worker: what becomes of a task?"""

import msgspec
import pytest
from unit.agents.agent_support import RUN, a_finding, calls, says
from unit.agents.agent_world import COMPLETED, PREFIX, TASK, World, a_task, completed, failed

from segue_agents.core.findings import Finding, ToolReport
from segue_contracts.envelope import encode
from segue_contracts.v1 import subjects
from segue_contracts.v1.events import frame
from segue_contracts.v1.runs import CancelRequested, RunEnded
from segue_contracts.v1.steps import (
    StepCancelled,
    StepCompleted,
)
from segue_contracts.v1.turns import TurnCompleted
from segue_contracts.v1.values import UsageTotals
from segue_shared.pull import Ack, Dead, Nak


async def test_a_task_is_worked_on_until_it_has_one_outcome() -> None:
    """The outcome says who answered, what it used, and what was found."""
    world = World(calls("lint_code", "measure_complexity"), says("It is bad."))
    finding = msgspec.convert(a_finding("high"), Finding)
    world.toolbox.results["lint_code"] = ToolReport(
        tool="lint_code", summary="One.", findings=(finding,)
    )

    verdict = await world.handle()

    assert isinstance(verdict, Ack)
    outcome = completed(world)
    assert (outcome.provider, outcome.model) == ("claude", "claude-large")
    assert outcome.usage == UsageTotals(
        input_tokens=20, output_tokens=10, cost_usd="0.02", model_calls=2, tool_calls=2
    )
    assert isinstance(outcome.output.inline, dict)
    assert outcome.output.inline["summary"] == "It is bad."
    assert outcome.output.inline["counts"]["high"] == 1
    assert [each["tool"] for each in outcome.output.inline["reports"]] == [
        "lint_code",
        "measure_complexity",
    ]


async def test_events_of_an_attempt_tell_their_cause() -> None:
    """Frames carry the task's id and the sequence of the run's start."""
    world = World(says("Fine."))

    await world.handle()

    event = world.event(COMPLETED)
    assert event.causationid == TASK
    assert event.startseq == 3
    assert event.subject == f"{RUN}/scan"
    assert event.source == "segue/agents"


async def test_each_exchange_is_one_turn_in_the_journal() -> None:
    """A model's answer and the tools' answers are turns of their own, numbered from 1."""
    world = World(calls("lint_code"), says("Fine."))

    await world.handle()

    bodies = [world.body(subjects.turn(PREFIX, "scan", 1, number)) for number in (1, 2, 3)]
    assert [body.kind for body in bodies if isinstance(body, TurnCompleted)] == [
        "model",
        "tools",
        "model",
    ]
    assert all(
        isinstance(body, TurnCompleted) and body.worker.startswith("here/") for body in bodies
    )


async def test_model_calls_carry_key_place_and_deadline() -> None:
    """The providers service can recognise a repeated call and knows when to give up."""
    world = World(says("Fine."), model_timeout_s=60)

    await world.handle(provider="gemini", model="fast")

    [request] = world.bus.requests
    assert request.id == f"{RUN}:scan:1:1"
    assert (request.route.order, request.model) == (["gemini"], "fast")
    assert request.deadline_ms == world.clock.now_ms() + 60_000


async def test_the_step_s_deadline_bounds_the_model_s() -> None:
    """A call is not allowed to outlive the step."""
    world = World(says("Fine."))

    await world.handle(deadline_ms=world.clock.now_ms() + 5_000)

    assert world.bus.requests[0].deadline_ms == world.clock.now_ms() + 5_000


@pytest.mark.parametrize(
    "data",
    [
        b"not json",
        frame(RunEnded(status="failed"), subject=TASK, source="x", about="y", time="z"),
        encode(
            {
                "id": "1",
                "source": "x",
                "type": "segue.run.step_scheduled.v1",
                "time": "z",
                "data": {"run": 1},
            }
        ),
    ],
)
async def test_a_task_that_cannot_be_read_is_dead(data: bytes) -> None:
    """It goes to the dead letters, and nothing is written into the run."""
    world = World()

    verdict = await world.agents.worker.handle(world.delivery(data))

    assert isinstance(verdict, Dead)
    assert verdict.reason == "undecodable"
    assert not world.bus.stored


async def test_a_task_on_a_foreign_subject_is_dead() -> None:
    """Only the subject of a dispatch says where an outcome goes."""
    world = World()
    delivery = msgspec.structs.replace(world.delivery(a_task()), subject="some.thing")

    assert isinstance(await world.agents.worker.handle(delivery), Dead)


@pytest.mark.parametrize(
    ("fields", "code"),
    [({"agent": "qualty"}, "unknown_agent"), ({"action": "sing"}, "unknown_action")],
)
async def test_unknown_work_fails_for_good(fields: dict[str, str], code: str) -> None:
    """The failure names what there is, and another attempt would not help."""
    world = World()

    await world.handle(**fields)

    assert (failed(world).error.code, failed(world).error.retryable) == (code, False)
    assert not world.bus.requests


async def test_a_task_that_may_not_start_yet_is_given_back_with_the_rest_of_its_delay() -> None:
    """The backoff of a retry is kept by the broker."""
    world = World()

    verdict = await world.handle(not_before_ms=world.clock.now_ms() + 1_500)

    assert verdict == Nak(1.5)
    assert not world.bus.stored


@pytest.mark.parametrize(
    ("subject", "body"),
    [
        (COMPLETED, StepCompleted()),
        (subjects.run_event("default", RUN, "ended"), RunEnded(status="failed")),
    ],
)
@pytest.mark.parametrize(("delivered", "age_ms"), [(2, 0), (1, 1_001)])
async def test_a_settled_task_is_left_alone(
    subject: str, body: StepCompleted | RunEnded, delivered: int, age_ms: int
) -> None:
    """A redelivered or older task is looked up first, and nothing is asked or written again."""
    world = World()
    world.put(subject, body)

    verdict = await world.handle(delivered=delivered, age_ms=age_ms)

    assert isinstance(verdict, Ack)
    assert not world.bus.requests
    assert list(world.bus.stored) == [subject]


async def test_a_redelivered_task_of_a_run_that_is_being_cancelled_is_cancelled() -> None:
    """The run needs the outcome to end."""
    world = World()
    world.put(subjects.run_event("default", RUN, "cancel_requested"), CancelRequested())

    await world.handle(delivered=2)

    [outcome] = world.outcomes
    assert isinstance(outcome, StepCancelled)
    assert not world.bus.requests


async def test_a_fresh_task_is_taken_without_a_look_at_its_run() -> None:
    """The common case costs one read, of the turns."""
    world = World(says("Fine."))

    await world.handle()

    assert world.bus.reads == [(subjects.turns(PREFIX, "scan", 1),)]


async def test_an_outcome_of_somebody_else_stands() -> None:
    """The guard lets one outcome be; ours is dropped and the task is done."""
    world = World(says("Fine."))

    def time_out(subject: str) -> None:
        if ".outcome." in subject:
            timed_out = subjects.outcome(PREFIX, "scan", 1, "timed_out")
            world.put(timed_out, StepCancelled())

    world.bus.on_create = time_out

    assert isinstance(await world.handle(), Ack)
    assert COMPLETED not in world.bus.stored
