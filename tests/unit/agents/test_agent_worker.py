"""The worker: what becomes of a task?"""

import asyncio

import msgspec
import pytest
from unit.agents.agent_support import RUN, a_finding, a_manifest, calls, says
from unit.agents.agent_world import PREFIX, TASK, World, a_task, settled

from segue_agents.core.catalogue import Catalogue
from segue_agents.core.findings import Finding, ToolReport
from segue_agents.core.manifest import Limits, Manifest
from segue_agents.core.outcome import Fail
from segue_agents.shell.attempt import Attempt
from segue_agents.shell.ports import InputError
from segue_agents.shell.ticket import read_ticket
from segue_contracts.envelope import decode_event, encode
from segue_contracts.payload import PayloadRef, Value
from segue_contracts.reply import Refused
from segue_contracts.v1 import subjects
from segue_contracts.v1.chat import ChatRequest, ChatResponse
from segue_contracts.v1.control import CancelHint
from segue_contracts.v1.deltas import StepDelta, ToolProgress
from segue_contracts.v1.events import frame
from segue_contracts.v1.registry import decode
from segue_contracts.v1.runs import CancelRequested, RunEnded
from segue_contracts.v1.steps import (
    StepCancelled,
    StepCompleted,
    StepFailed,
    StepStarted,
    StepTimedOut,
)
from segue_contracts.v1.turns import TurnCompleted
from segue_contracts.v1.values import Failure, UsageTotals
from segue_shared.errors import (
    BusUnavailableError,
    RefusedError,
    TimedOutError,
    TooLargeError,
)
from segue_shared.pull import Ack, Dead, Nak

COMPLETED = subjects.outcome(PREFIX, "scan", 1, "completed")
STARTED = subjects.step_started(PREFIX, "scan", 1)
TURN_1 = subjects.turn(PREFIX, "scan", 1, 1)


def _failed(world: World) -> StepFailed:
    [outcome] = world.outcomes
    assert isinstance(outcome, StepFailed)
    return outcome


def _completed(world: World) -> StepCompleted:
    [outcome] = world.outcomes
    assert isinstance(outcome, StepCompleted)
    return outcome


async def test_a_task_is_worked_on_until_it_has_one_outcome() -> None:
    """The outcome says who answered, what it used, and what was found."""
    world = World(calls("lint_code", "measure_complexity"), says("It is bad."))
    finding = msgspec.convert(a_finding("high"), Finding)
    world.toolbox.results["lint_code"] = ToolReport(
        tool="lint_code", summary="One.", findings=(finding,)
    )

    verdict = await world.handle()

    assert isinstance(verdict, Ack)
    outcome = _completed(world)
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

    assert (_failed(world).error.code, _failed(world).error.retryable) == (code, False)
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


async def test_a_worker_that_finds_another_s_turn_stops_at_once() -> None:
    """No tool runs and no outcome is written by the one that lost."""
    world = World(calls("lint_code"))

    def overtake(subject: str) -> None:
        if subject == TURN_1:
            body = TurnCompleted(number=1, kind="model", messages=Value(), worker="there/1")
            world.put(TURN_1, body)

    world.bus.on_create = overtake

    verdict = await world.handle()

    assert isinstance(verdict, Ack)
    assert not world.toolbox.runs
    assert not world.outcomes


async def test_a_worker_recognises_its_own_turn() -> None:
    """A publish that was stored without our hearing of it is no other worker."""
    world = World(calls("lint_code"), says("Fine."))
    world.bus.forgetful.add(TURN_1)

    await world.handle()

    assert _completed(world).usage.model_calls == 2


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

    assert _failed(world).error.code == "message_unreadable"


async def test_bytes_that_are_no_turn_fail_the_step() -> None:
    """Something foreign on a turn's subject is not skipped."""
    world = World()
    world.bus.stored[TURN_1] = b"noise"

    await world.handle()

    assert _failed(world).error.code == "message_unreadable"


@pytest.mark.parametrize(
    "trouble",
    [
        BusUnavailableError("nobody serves it"),
        TimedOutError("no answer"),
        RefusedError(Refused(code="unavailable", message="busy", retryable=True)),
    ],
)
async def test_absent_providers_only_delay(trouble: Exception) -> None:
    """The call is repeated under the same key until somebody answers."""
    world = World(*[trouble] * 7, says("Fine."))

    await settled(world, asyncio.create_task(world.handle()))

    assert _completed(world).provider == "claude"
    assert {request.id for request in world.bus.requests} == {f"{RUN}:scan:1:1"}
    assert len(world.bus.requests) == 8


async def test_a_refusal_fails_the_step_with_its_code() -> None:
    """What the router says reaches the reader of the run."""
    refused = Refused(
        code="provider_failed", message="set ANTHROPIC_API_KEY", details={"provider": "claude"}
    )
    world = World(RefusedError(refused))

    await world.handle()

    error = _failed(world).error
    assert (error.code, error.retryable) == ("provider_failed", False)
    assert error.message == "set ANTHROPIC_API_KEY"
    assert error.details == {"provider": "claude"}


async def test_an_answer_that_broke_off_fails_the_step_and_is_charged() -> None:
    """The usage of the broken answer is in the outcome."""
    broken = msgspec.structs.replace(
        says("Half a"), stop=msgspec.structs.replace(says("x").stop, reason="max_tokens")
    )
    world = World(broken)

    await world.handle()

    assert _failed(world).error.code == "answer_truncated"
    assert _failed(world).usage.model_calls == 1


async def test_a_broken_tool_is_an_answer_for_the_model() -> None:
    """One tool's fault is told to the model and to the reader, and the step completes."""
    world = World(calls("lint_code", "measure_complexity"), says("Half of it is fine."))
    world.toolbox.results["lint_code"] = ValueError("secret detail")

    await world.handle()

    assert _completed(world).notes == ["tool lint_code failed: the tool broke down (ValueError)"]


async def test_an_unknown_tool_is_an_answer_for_the_model() -> None:
    """The model may try again with a tool that exists."""
    world = World(calls("rm"), calls("lint_code"), says("Fine."))

    await world.handle()

    assert world.toolbox.runs == ["lint_code"]
    assert "there is no tool 'rm'" in _completed(world).notes[0]


async def test_a_result_is_cut_to_what_a_model_reads_well() -> None:
    """The most severe findings stay, and the report counts what was left out."""
    findings = tuple(
        msgspec.convert(a_finding(message="x" * 300, line=line), Finding) for line in range(1, 200)
    )
    world = World(calls("lint_code"), says("Bad."))
    world.toolbox.results["lint_code"] = ToolReport(
        tool="lint_code", summary="Many.", findings=findings
    )

    await world.handle()

    assert isinstance(_completed(world).output.inline, dict)
    [report] = _completed(world).output.inline["reports"]
    assert len(report["findings"]) < 60
    assert report["truncated"] == 199 - len(report["findings"])


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


async def test_an_input_that_is_no_object_fails_the_step() -> None:
    """Agents read named fields."""
    world = World()

    await world.handle(given=[1, 2])

    assert _failed(world).error.code == "invalid_input"


async def test_a_field_that_tools_miss_fails_the_step() -> None:
    """The failure names the field."""
    world = World()
    world.toolbox.bound = InputError("field `repository` is missing")

    await world.handle()

    assert (_failed(world).error.code, _failed(world).error.retryable) == ("invalid_input", False)
    assert "`repository`" in _failed(world).error.message


async def test_an_input_that_is_gone_fails_the_step() -> None:
    """A claim check that points at nothing is not retried."""
    world = World()
    lost = Value(ref=PayloadRef(sha256="0" * 64, size=9))

    await world.handle(input=lost)

    assert _failed(world).error.code == "payload_missing"


async def test_a_conversation_that_is_too_large_to_send_fails_the_step() -> None:
    """The broker would never take it."""
    world = World(TooLargeError("it exceeds the broker's max_payload"))

    await world.handle()

    assert (_failed(world).error.code, _failed(world).error.retryable) == ("too_large", False)


async def test_an_unforeseen_error_is_a_failure_without_details() -> None:
    """It may pass on another try, and its text stays in the log."""
    world = World()
    world.toolbox.bound = RuntimeError("password=hunter2")

    await world.handle()

    error = _failed(world).error
    assert (error.code, error.retryable) == ("internal", True)
    assert "hunter2" not in error.message


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
