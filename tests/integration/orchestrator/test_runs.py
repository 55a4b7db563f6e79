"""Runs on a real broker: does every accepted run end once, with the right result?"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from support.wait import until
from support.worker import ensure_pool, worker

from segue_contracts.envelope import decode_event
from segue_contracts.payload import PayloadRef, Value
from segue_contracts.v1 import registry, subjects
from segue_contracts.v1.commands import (
    CancelAccepted,
    CancelRun,
    GetRun,
    ListRuns,
    RunAccepted,
    RunList,
    StartRun,
    ValidateWorkflow,
    WorkflowValid,
)
from segue_contracts.v1.events import frame
from segue_contracts.v1.runs import RunEnded, RunParked, RunStarted, RunView
from segue_contracts.v1.steps import StepCompleted, StepFailed, StepScheduled
from segue_contracts.v1.topology import DEAD, PAYLOADS, RUNS, WORKFLOWS
from segue_contracts.v1.values import Failure, UsageTotals
from segue_orchestrator.app import NAME, REQUIRES, build
from segue_orchestrator.settings import Settings
from segue_shared.bus import Bus
from segue_shared.errors import RefusedError, TransientError
from segue_shared.ids import SystemIds
from segue_shared.journal import Journal
from segue_shared.keyvalue import KeyValue
from segue_shared.payloads import Payloads
from segue_testing.broker import Broker
from segue_testing.services import serving


@pytest.fixture
async def orchestrator(broker: Broker) -> AsyncIterator[None]:
    """A running orchestrator."""
    settings = Settings(nats_url=broker.url, ack_wait_s=2, drain_s=2)
    async with serving(NAME, settings, build, requires=REQUIRES):
        yield


@pytest.fixture
def pool() -> str:
    """A pool of this test alone."""
    return SystemIds().unique()


async def call(bus: Bus, command: registry.Command, request: object) -> Any:
    """Send a command, waiting for the orchestrator to come up."""
    subject = subjects.command("default", command.service, command.verb)

    async def ask() -> object | None:
        try:
            return await bus.call(subject, request, command.result, timeout_s=5)
        except TransientError:
            return None

    return await until(ask)


async def start(bus: Bus, text: str, **fields: Any) -> RunAccepted:
    """Start a run."""
    accepted: RunAccepted = await call(bus, registry.START_RUN, StartRun(text=text, **fields))
    return accepted


async def ended(bus: Bus, run: str) -> RunEnded:
    """Wait for a run's end and return it."""
    subject = subjects.run_event("default", run, "ended")
    [message] = await until(lambda: Journal(bus, RUNS).last([subject]))
    body = registry.decode(decode_event(message.data))
    assert isinstance(body, RunEnded)
    return body


async def story(bus: Bus, run: str) -> list[str]:
    """Return a run's events, in order, without their pools."""
    messages = await Journal(bus, RUNS).last([subjects.run_all("default", run)])
    events = [subjects.parse_run(message.subject).event for message in messages]
    return [".".join(event[:4] if "scheduled" in event else event) for event in events]


async def echo(task: StepScheduled) -> StepCompleted:
    """Complete a task with what it was given."""
    return StepCompleted(output=task.input, usage=UsageTotals(input_tokens=1), provider="echo")


def chain(pool: str) -> str:
    """Return a definition of two steps, the second reading the first."""
    return f"""
name: chain
inputs: {{who: world}}
steps:
  - {{key: first, pool: {pool}, with: {{text: "hello {{{{ who }}}}"}}}}
  - {{key: secondStep, pool: {pool}, dependsOn: [first], with: {{said: "{{{{ first.text }}}}"}}}}
outputs: {{said: "{{{{ steps.secondStep.output.said }}}}"}}
"""


@pytest.mark.usefixtures("orchestrator")
async def test_a_run_goes_through_its_steps_and_ends_once(bus: Bus, pool: str) -> None:
    """Two durable events per step, outputs handed on, one end."""
    async with worker(bus, pool, echo):
        run = (await start(bus, chain(pool), inputs={"who": "you"})).run
        end = await ended(bus, run)

    assert end.status == "completed"
    assert end.output == Value(inline={"said": "hello you"})
    assert end.usage.input_tokens == 2
    assert await story(bus, run) == [
        "started",
        "step.first.1.scheduled",
        "step.first.1.outcome.completed",
        "step.second_53tep.1.scheduled",
        "step.second_53tep.1.outcome.completed",
        "ended",
    ]


@pytest.mark.usefixtures("orchestrator")
async def test_a_runs_state_can_be_read_and_listed(bus: Bus, pool: str) -> None:
    """The view is folded from the journal; the list shows the newest first."""
    async with worker(bus, pool, echo):
        accepted = await start(bus, chain(pool))
        await ended(bus, accepted.run)
        later = await start(bus, chain(pool))

        view: RunView = await call(bus, registry.GET_RUN, GetRun(run=accepted.run))
        listed: RunList = await call(bus, registry.LIST_RUNS, ListRuns(limit=2))

    assert view.status == "completed"
    assert [(s.step, s.status, s.provider) for s in view.steps] == [
        ("first", "completed", "echo"),
        ("secondStep", "completed", "echo"),
    ]
    assert view.inputs == {"who": "world"}
    assert [r.run for r in listed.runs] == [later.run, accepted.run]


@pytest.mark.usefixtures("orchestrator")
async def test_a_failed_attempt_is_retried_and_then_counts(bus: Bus, pool: str) -> None:
    """The second attempt's success is the step's."""

    async def flaky(task: StepScheduled) -> StepCompleted | StepFailed:
        if task.attempt == 1:
            return StepFailed(error=Failure(code="boom", message="not yet"))
        return await echo(task)

    text = f"{{name: w, steps: [{{key: a, pool: {pool}, retry: {{maxAttempts: 2, delay: 50ms}}}}]}}"
    async with worker(bus, pool, flaky):
        run = (await start(bus, text)).run
        end = await ended(bus, run)

    assert end.status == "completed"
    assert "step.a.1.outcome.failed" in await story(bus, run)
    assert "step.a.2.outcome.completed" in await story(bus, run)


@pytest.mark.usefixtures("orchestrator")
async def test_a_step_that_nobody_serves_times_out(bus: Bus, pool: str) -> None:
    """The run's own timer settles what no worker took."""
    run = (await start(bus, f"{{name: w, steps: [{{key: a, pool: {pool}, timeout: 300ms}}]}}")).run

    end = await ended(bus, run)

    assert end.status == "failed"
    assert isinstance(end.error, Failure)
    assert end.error.details == {"step": "a", "code": "timeout"}
    assert "step.a.1.outcome.timed_out" in await story(bus, run)


@pytest.mark.usefixtures("orchestrator")
async def test_cancelling_ends_a_run_whose_worker_does_not_listen(bus: Bus, pool: str) -> None:
    """After the grace the attempt is abandoned and the run ends cancelled."""
    run = (await start(bus, f"{{name: w, steps: [{{key: a, pool: {pool}}}]}}")).run
    prefix = subjects.run_prefix("default", run)
    await until(lambda: Journal(bus, RUNS).last([subjects.dispatch_guard(prefix, "a", 1)]))
    hints: asyncio.Queue[bytes] = asyncio.Queue()

    async def on_hint(message: Any) -> None:
        hints.put_nowait(message.data)

    await bus.subscribe(subjects.control("default", run, "cancel"), on_hint)
    answer: CancelAccepted = await call(bus, registry.CANCEL_RUN, CancelRun(run=run, reason="no"))
    end = await ended(bus, run)

    assert answer == CancelAccepted(run=run)
    assert end.status == "cancelled"
    assert hints.qsize() == 1
    again: CancelAccepted = await call(bus, registry.CANCEL_RUN, CancelRun(run=run))
    assert again.already_ended


@pytest.mark.usefixtures("orchestrator")
async def test_the_same_key_is_the_same_run(bus: Bus, pool: str) -> None:
    """Starting again with a key attaches; other inputs under it are a conflict."""
    text, key = chain(pool), SystemIds().unique()
    first = await start(bus, text, key=key)

    second = await start(bus, text, key=key)
    with pytest.raises(RefusedError) as caught:
        await start(bus, text, key=key, inputs={"who": "else"})

    assert (second.run, second.existing, second.cursor) == (first.run, True, first.cursor)
    assert caught.value.refused.code == "conflict"
    assert caught.value.refused.details == {"run": first.run}


@pytest.mark.usefixtures("orchestrator")
async def test_a_stored_definition_runs_by_its_hash(bus: Bus, pool: str) -> None:
    """A definition once accepted needs no text; its inputs are still checked."""
    first = await start(bus, chain(pool))

    again = await start(bus, "", definition=first.definition, inputs={"who": "x"})
    with pytest.raises(RefusedError, match="2 problems"):
        await start(bus, "", definition=first.definition, inputs={"whom": 1, "why": 2})
    with pytest.raises(RefusedError, match="not_found"):
        await start(bus, "", definition="0" * 64)

    assert again.run != first.run
    assert again.definition == first.definition


@pytest.mark.usefixtures("orchestrator")
async def test_a_bad_definition_is_refused_with_all_its_problems(bus: Bus) -> None:
    """Nothing is started; every problem has its place and, when close, a suggestion."""
    text = "name: w\nsteps:\n  - {key: a, pol: x}\n  - {key: b, agent: nobody, dependsOn: [c]}\n"

    with pytest.raises(RefusedError) as caught:
        await start(bus, text, file="bad.yaml")

    refused = caught.value.refused
    assert refused.code == "invalid_definition"
    assert {p.file for p in refused.problems} == {"bad.yaml"}
    assert ("pool", 3) in {(p.suggestion, p.line) for p in refused.problems}
    assert {p.code for p in refused.problems} >= {"unknown_agent", "unknown_step"}


@pytest.mark.usefixtures("orchestrator")
async def test_a_construct_that_does_not_run_yet_is_refused_not_ignored(
    bus: Bus,
) -> None:
    """What the engine cannot do is named with its place."""
    text = "name: w\nsteps:\n  - key: a\n    dependsOn: []\n    fleet: {members: []}\n"

    with pytest.raises(RefusedError) as caught:
        await call(bus, registry.VALIDATE, ValidateWorkflow(text=text))

    [problem] = caught.value.refused.problems
    assert (problem.code, problem.line) == ("unsupported", 5)


@pytest.mark.usefixtures("orchestrator")
async def test_validating_starts_nothing(bus: Bus, pool: str) -> None:
    """A valid definition answers its hash and size."""
    valid: WorkflowValid = await call(bus, registry.VALIDATE, ValidateWorkflow(text=chain(pool)))

    assert (valid.workflow, valid.steps) == ("chain", 2)


@pytest.mark.usefixtures("orchestrator")
async def test_a_foreign_message_in_the_journal_goes_to_the_dead_letters(
    bus: Bus, pool: str
) -> None:
    """What does not decode is kept with its reason and never stops a consumer."""
    run = (await start(bus, chain(pool))).run
    noise = subjects.run_event("default", run, "signal.noise")
    await bus.create(noise, b"\x00 not json")

    async with worker(bus, pool, echo):
        end = await ended(bus, run)

    assert end.status == "completed"
    letters = await Journal(bus, DEAD).after("segue.v1.default.dead.orchestrator.>", 0)
    bodies = [msgspec.json.decode(letter.data)["data"] for letter in letters]
    assert [(b["reason"], b["stream"]) for b in bodies if b["subject"] == noise] == [
        ("undecodable", RUNS)
    ]


@pytest.mark.usefixtures("orchestrator")
async def test_events_of_a_run_that_never_started_go_to_the_dead_letters(bus: Bus) -> None:
    """An orphan is kept, and other runs of the shard go on."""
    orphan = subjects.run_event("default", SystemIds().run_id(0), "ended")
    await bus.create(orphan, b'{"id":"x","source":"x","type":"x","time":"x","data":{}}')

    async def buried() -> bool:
        letters = await Journal(bus, DEAD).after(
            "segue.v1.default.dead.orchestrator.unknown_run", 0
        )
        return any(msgspec.json.decode(m.data)["data"]["subject"] == orphan for m in letters)

    assert await until(buried)


@pytest.mark.usefixtures("orchestrator")
@pytest.mark.parametrize(
    ("definition", "inputs", "code"),
    [
        ("0" * 64, Value(), "definition_missing"),
        ("corrupt", Value(), "definition_invalid"),
        ("", Value(ref=PayloadRef(sha256="0" * 64, size=9)), "payload_missing"),
    ],
)
async def test_a_run_that_cannot_go_on_is_parked_and_stops_nobody(
    bus: Bus, pool: str, definition: str, inputs: Value, code: str
) -> None:
    """What a run lacks is said in its own journal; others of its shard go on."""
    await KeyValue(bus, WORKFLOWS).put("default.corrupt", b"{}")
    healthy = await start(bus, chain(pool))
    run = SystemIds().run_id(0)
    subject = subjects.run_event("default", run, "started")
    body = RunStarted(workflow="w", definition=definition or healthy.definition, inputs=inputs)
    await bus.create(subject, frame(body, subject=subject, source="test", about=run, time="t"))

    parked = subjects.run_event("default", run, "parked.1")
    [message] = await until(lambda: Journal(bus, RUNS).last([parked]))
    async with worker(bus, pool, echo):
        end = await ended(bus, healthy.run)

    reason = registry.decode(decode_event(message.data))
    assert isinstance(reason, RunParked)
    assert reason.code == code
    assert end.status == "completed"


@pytest.mark.usefixtures("orchestrator")
async def test_an_outcome_that_does_not_decode_counts_as_failed(bus: Bus, pool: str) -> None:
    """Its guard keeps every other away, so the attempt is settled and the next one counts."""
    text = f"{{name: w, steps: [{{key: a, pool: {pool}, retry: {{maxAttempts: 2, delay: 1ms}}}}]}}"
    run = (await start(bus, text)).run
    prefix = subjects.run_prefix("default", run)
    guard = subjects.outcome_guard(prefix, "a", 1)
    await until(lambda: Journal(bus, RUNS).last([subjects.dispatch_guard(prefix, "a", 1)]))
    await bus.create(subjects.outcome(prefix, "a", 1, "completed"), b"garbage", guard=guard)

    async with worker(bus, pool, echo):
        end = await ended(bus, run)

    assert end.status == "completed"
    assert "step.a.2.outcome.completed" in await story(bus, run)


@pytest.mark.usefixtures("orchestrator")
async def test_a_pool_whose_consumer_was_deleted_gets_it_again(bus: Bus, pool: str) -> None:
    """Asking for a pool makes what is missing, however often it was made before."""
    ready = await ensure_pool(bus, pool)
    name = f"{ready.stream}.{ready.consumer}"
    await bus.request(f"$JS.API.CONSUMER.DELETE.{name}", b"")

    again = await ensure_pool(bus, pool)

    assert again == ready
    info = msgspec.json.decode(await bus.request(f"$JS.API.CONSUMER.INFO.{name}", b""))
    assert "error" not in info


@pytest.mark.usefixtures("orchestrator")
async def test_large_values_travel_by_reference(bus: Bus, pool: str) -> None:
    """An output over 64 KiB is handed on, and comes out, as a claim check."""
    payloads = Payloads(bus, PAYLOADS)
    large = {"text": "x" * 100_000}

    async def produce(task: StepScheduled) -> StepCompleted:
        if task.step == "first":
            return StepCompleted(output=await payloads.wrap(large))
        return await echo(task)

    async with worker(bus, pool, produce):
        end = await ended(bus, (await start(bus, chain(pool))).run)

    assert isinstance(end.output, Value)
    assert end.output.inline is msgspec.UNSET
    assert await payloads.unwrap(end.output) == {"said": large["text"]}


async def test_a_second_orchestrator_takes_over_what_the_first_left(
    broker: Broker, bus: Bus, pool: str
) -> None:
    """Runs go on under a new owner with nothing lost and nothing done twice."""
    settings = Settings(nats_url=broker.url, ack_wait_s=2, drain_s=2)
    async with serving(NAME, settings, build, requires=REQUIRES):
        runs = [(await start(bus, chain(pool))).run for _ in range(20)]
    async with (
        serving(NAME, settings, build, requires=REQUIRES),
        serving(NAME, settings, build, requires=REQUIRES),
        worker(bus, pool, echo),
    ):
        ends = [await ended(bus, run) for run in runs]

    assert {end.status for end in ends} == {"completed"}
    for run in runs:
        assert len(await story(bus, run)) == 6
