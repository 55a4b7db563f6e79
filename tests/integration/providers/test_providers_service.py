"""The providers service as a process on a real broker: does it answer, and settle its tasks?"""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
from nats.aio.msg import Msg
from support.wait import PATIENCE_S, until

from segue_contracts.envelope import Message, decode_event, encode, raw
from segue_contracts.payload import PayloadRef, Value
from segue_contracts.reply import Reply
from segue_contracts.v1 import subjects, topology
from segue_contracts.v1.chat import (
    ChatMessage,
    ChatRequest,
    ChatResponse,
    RouteOptions,
    StreamOptions,
    Text,
)
from segue_contracts.v1.commands import PoolReady
from segue_contracts.v1.deltas import DeltaEnd, DeltaStart, PartDelta, StepDelta
from segue_contracts.v1.events import frame
from segue_contracts.v1.providers import ProviderList, ProvidersStatus
from segue_contracts.v1.registry import decode
from segue_contracts.v1.steps import StepCancelled, StepCompleted, StepFailed, StepScheduled
from segue_contracts.v1.telemetry import DeadLetter, RouteDecided
from segue_shared.bootstrap import ensure_consumer
from segue_shared.bus import Bus
from segue_shared.clock import SystemClock, rfc3339
from segue_shared.errors import RefusedError, TransientError
from segue_shared.ids import SystemIds
from segue_shared.journal import Journal
from segue_shared.payloads import Payloads
from segue_testing.broker import Broker

CHAT = subjects.command("default", "providers", "chat")
STATUS = subjects.command("default", "providers", "status")
POOL_ENSURE = subjects.command("*", "orchestrator", "pool_ensure")
CLOCK, IDS = SystemClock(), SystemIds()


class Program:
    """The service as a process."""

    def __init__(self, broker: Broker, directory: Path, **variables: str) -> None:
        self.ready_file = directory / "ready.json"
        self.log = directory / "log"
        kept = {name: text for name, text in os.environ.items() if "_API_KEY" not in name}
        environment = {
            **kept,
            "SEGUE_NATS_URL": broker.url,
            "SEGUE_READY_FILE": str(self.ready_file),
            **variables,
        }
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "segue_providers"], env=environment, stdout=log, stderr=log
            )

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Tell it to end, and return its exit code."""
        self.process.send_signal(how)
        return self.process.wait(timeout=PATIENCE_S)


class Stage:
    """Plays everybody around the service."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.journal = Journal(bus, topology.RUNS)
        self.heard: list[Message] = []

    async def open_pool(self) -> None:
        """Make the pool, and answer for the orchestrator from now on."""
        consumer = topology.pool_consumer(topology.LLM_POOL, ack_wait_s=2)
        await ensure_consumer(self.bus, consumer)
        ready = PoolReady(stream=topology.RUNS, consumer=consumer.name, ack_wait_s=2)

        async def ensure(message: Msg) -> None:
            await message.respond(encode(Reply(result=raw(ready))))

        await self.bus.subscribe(POOL_ENSURE, ensure)
        await self.bus.client.flush()

    async def listen(self, pattern: str) -> None:
        """Hear the events of a pattern."""

        async def hear(message: Msg) -> None:
            body = decode(decode_event(message.data))
            assert body is not None
            self.heard.append(body)

        await self.bus.subscribe(pattern, hear)
        await self.bus.client.flush()

    def deltas(self) -> list[object]:
        """Return the deltas that were heard."""
        return [body.delta for body in self.heard if isinstance(body, StepDelta)]

    async def chat(self, request: ChatRequest) -> ChatResponse:
        """Ask the service, as soon as it is there."""

        async def ask() -> ChatResponse | None:
            try:
                return await self.bus.call(CHAT, request, ChatResponse)
            except TransientError:
                return None

        response = await until(ask)
        assert response is not None
        return response

    async def schedule(self, value: Value, **fields: object) -> str:
        """Store a task, and return the part of its subject that its outcome shares."""
        run = IDS.run_id(CLOCK.now_ms())
        prefix = subjects.run_prefix("default", run)
        task = StepScheduled(
            run=run,
            namespace="default",
            workflow="w",
            step="sum",
            attempt=1,
            pool="llm",
            kind="llm",
            input=value,
            **fields,  # type: ignore[arg-type]
        )
        subject = subjects.scheduled(prefix, "sum", 1, pool="llm", priority="p2")
        now = rfc3339(CLOCK.now_ms())
        data = frame(task, subject=subject, source="segue/tests", about=run, time=now)
        await self.bus.append(subject, data)
        return subjects.task_prefix(subject)

    async def outcomes(self, prefix: str) -> list[Message]:
        """Wait for an attempt's outcome, and return all that there are."""
        stored = await until(lambda: self.journal.after(f"{prefix}.outcome.*", 0))
        bodies = [decode(decode_event(message.data)) for message in stored]
        return [body for body in bodies if body is not None]


def prompt(text: str, **fields: object) -> Value:
    """Return the input of an LLM step."""
    return Value(inline={"prompt": text, **fields})


def asking(text: str, **route: object) -> ChatRequest:
    """Return a request."""
    message = ChatMessage(role="user", parts=[Text(text=text)])
    return ChatRequest(id=IDS.unique(), messages=[message], route=RouteOptions(**route))  # type: ignore[arg-type]


@pytest.fixture
async def stage(bus: Bus) -> Stage:
    """Everybody around the service."""
    return Stage(bus)


@pytest.fixture
async def program(stage: Stage, broker: Broker, tmp_path: Path) -> AsyncIterator[Program]:
    """The service, ready and with its pool."""
    await stage.open_pool()
    running = Program(broker, tmp_path)
    await until(lambda: _exists(running.ready_file))
    yield running
    assert running.end() == 0, running.log.read_text()


async def _exists(path: Path) -> bool:
    return await asyncio.to_thread(path.exists)


@pytest.mark.usefixtures("program")
async def test_a_chat_is_answered_over_the_bus(stage: Stage) -> None:
    """Without a key the stand-in answers, labelled, with the fallback on record."""
    response = await stage.chat(asking("The build broke. Twice.", order=["claude"]))

    assert response.provider == "offline"
    assert [one.provider for one in response.attempts] == ["claude", "offline"]
    assert response.warnings == [
        "preferred provider claude has no key (ANTHROPIC_API_KEY); answered by offline"
    ]


@pytest.mark.usefixtures("program")
async def test_the_decision_is_kept_as_telemetry(stage: Stage) -> None:
    """The candidates of a call can be read from the stream afterwards."""
    await stage.chat(asking("Hello.", order=["gemini"]))
    journal = Journal(stage.bus, topology.TELEMETRY)
    pattern = subjects.telemetry("default", "providers", "router", "route_decided")

    async def gemini_first() -> list[RouteDecided]:
        stored = await journal.after(pattern, 0)
        bodies = [decode(decode_event(message.data)) for message in stored]
        return [b for b in bodies if isinstance(b, RouteDecided) and b.requested == ["gemini"]]

    [told] = await until(gemini_first)
    assert told.chosen == "offline"
    assert [one.provider for one in told.candidates if one.eligible] == ["offline"]


@pytest.mark.usefixtures("program")
async def test_the_status_names_every_provider(stage: Stage) -> None:
    """In order of priority, each with what it lacks."""
    listed = await stage.bus.call(STATUS, ProvidersStatus(), ProviderList)

    assert [(one.name, one.available) for one in listed.providers] == [
        ("claude", False),
        ("gemini", False),
        ("openai", False),
        ("offline", True),
    ]


@pytest.mark.usefixtures("program")
@pytest.mark.parametrize(
    ("request_", "place"),
    [({"messages": "x"}, "messages"), ({"messages": []}, "messages"), ({}, "messages")],
)
async def test_a_malformed_request_is_refused_by_its_field(
    stage: Stage, request_: Mapping[str, object], place: str
) -> None:
    """A client in any language learns what is wrong."""
    with pytest.raises(RefusedError, match=place) as caught:
        await stage.bus.call(CHAT, request_, ChatResponse)

    assert caught.value.refused.code == "invalid_request"


@pytest.mark.usefixtures("program")
async def test_deltas_reach_whoever_watches_the_step(stage: Stage) -> None:
    """The stream begins, carries the whole text, and ends."""
    run = IDS.run_id(CLOCK.now_ms())
    await stage.listen(subjects.deltas("default", run))
    message = ChatMessage(role="user", parts=[Text(text="One. Two.")])
    request = ChatRequest(messages=[message], run=run, step="Sum it", stream=StreamOptions(on=True))
    response = await stage.chat(request)
    await until(lambda: _ended(stage))
    deltas = stage.deltas()

    assert isinstance(deltas[0], DeltaStart)
    shown = [one.text for one in deltas if isinstance(one, PartDelta)]
    [part] = response.message.parts
    assert isinstance(part, Text)
    assert "".join(text for text in shown if isinstance(text, str)) == part.text


async def _ended(stage: Stage) -> bool:
    return any(isinstance(delta, DeltaEnd) for delta in stage.deltas())


@pytest.mark.usefixtures("program")
async def test_an_llm_step_is_settled(stage: Stage) -> None:
    """The task's outcome is in the journal, with its provider."""
    prefix = await stage.schedule(prompt('{"n": 2}', responseType="json"))
    [outcome] = await stage.outcomes(prefix)

    assert isinstance(outcome, StepCompleted)
    assert outcome.provider == "offline"
    assert outcome.output.inline == {"provider": "offline", "summary": "", "facts": {"n": 2}}


@pytest.mark.usefixtures("program")
async def test_large_inputs_and_outputs_travel_by_reference(stage: Stage) -> None:
    """A claim check is followed, and made, without the workflow noticing."""
    payloads = Payloads(stage.bus, topology.PAYLOADS)
    schema = {"required": ["text"], "properties": {"text": {"type": "string"}}}
    given = {"prompt": {"text": "word " * 40_000}, "responseType": schema}
    prefix = await stage.schedule(await payloads.wrap(given))
    [outcome] = await stage.outcomes(prefix)

    assert isinstance(outcome, StepCompleted)
    assert isinstance(outcome.output.ref, PayloadRef)
    output = await payloads.unwrap(outcome.output)
    assert output == {"text": "word " * 40_000, "provider": "offline"}


@pytest.mark.usefixtures("program")
async def test_a_missing_payload_fails_the_step(stage: Stage) -> None:
    """The failure is typed, and retrying is not advised."""
    prefix = await stage.schedule(Value(ref=PayloadRef(sha256="0" * 64, size=9)))
    [outcome] = await stage.outcomes(prefix)

    assert isinstance(outcome, StepFailed)
    assert (outcome.error.code, outcome.error.retryable) == ("payload_missing", False)


@pytest.mark.usefixtures("program")
async def test_a_task_that_nobody_can_read_is_kept_as_a_dead_letter(stage: Stage) -> None:
    """It is not tried for ever, and not lost."""
    prefix = subjects.run_prefix("default", IDS.run_id(CLOCK.now_ms()))
    subject = subjects.scheduled(prefix, "sum", 1, pool="llm", priority="p0")
    await stage.bus.append(subject, b"no event")
    dead = Journal(stage.bus, topology.DEAD)
    pattern = subjects.dead("default", "providers", "undecodable")
    [letter] = await until(lambda: dead.after(pattern, 0))
    body = decode(decode_event(letter.data))

    assert isinstance(body, DeadLetter)
    assert body.subject == subject


@pytest.mark.usefixtures("program")
async def test_a_run_being_cancelled_gets_its_outcome_without_work(stage: Stage) -> None:
    """A task held back by its backoff is looked up before it is begun."""
    value = prompt("Hello.")
    prefix = await stage.schedule(value, not_before_ms=CLOCK.now_ms() + 1_200)
    run_prefix = prefix.partition(".step.")[0]
    await stage.bus.append(f"{run_prefix}.cancel_requested", b"{}")
    [outcome] = await stage.outcomes(prefix)

    assert isinstance(outcome, StepCancelled)


async def test_two_services_share_the_tasks_and_each_has_one_outcome(
    stage: Stage, broker: Broker, tmp_path: Path, program: Program
) -> None:
    """One of them dies by SIGKILL in the middle, and nothing is lost or done twice."""
    second = tmp_path / "second"
    second.mkdir()
    other = Program(broker, second)
    await until(lambda: _exists(other.ready_file))
    texts = [f"Number {number}. Done." for number in range(60)]
    prefixes = await asyncio.gather(*(stage.schedule(prompt(text)) for text in texts))
    assert other.end(signal.SIGKILL) == -signal.SIGKILL
    settled = await asyncio.gather(*(stage.outcomes(prefix) for prefix in prefixes))

    assert [len(outcomes) for outcomes in settled] == [1] * len(texts)
    assert all(isinstance(outcomes[0], StepCompleted) for outcomes in settled)
    assert program.process.poll() is None


async def test_an_orchestrator_that_is_away_only_delays(
    stage: Stage, broker: Broker, tmp_path: Path
) -> None:
    """Commands are answered from the start; tasks follow once there is a pool."""
    alone = Program(broker, tmp_path, SEGUE_NAMESPACE="away")
    try:
        assert (await stage.chat(asking("Hello."))).provider == "offline"
        await stage.open_pool()
        await until(lambda: _exists(alone.ready_file))
        prefix = await stage.schedule(prompt("Late. But done."))
        assert isinstance((await stage.outcomes(prefix))[0], StepCompleted)
    finally:
        assert alone.end() == 0


async def test_a_broker_that_dies_only_delays(
    stage: Stage, broker: Broker, program: Program
) -> None:
    """After a SIGKILL and a restart of the broker the service goes on by itself."""
    await stage.chat(asking("Before."))
    broker.kill()
    broker.restart()
    prefix = await stage.schedule(prompt("After. It goes on."))
    [outcome] = await stage.outcomes(prefix)

    assert isinstance(outcome, StepCompleted)
    assert (await stage.chat(asking("Again."))).provider == "offline"
    assert program.process.poll() is None


async def test_no_key_is_ever_logged(stage: Stage, broker: Broker, tmp_path: Path) -> None:
    """Even at the most talkative level, and when the provider fails, the log holds no key."""
    await stage.open_pool()
    secret = "sk-ant-very-secret"
    keyed = Program(
        broker,
        tmp_path,
        ANTHROPIC_API_KEY=secret,
        SEGUE_PROVIDERS_CLAUDE_BASE_URL="http://127.0.0.1:9",
        SEGUE_LOG_LEVEL="debug",
    )
    try:
        await until(lambda: _exists(keyed.ready_file))
        listed = await stage.bus.call(STATUS, ProvidersStatus(), ProviderList)
        with pytest.raises(RefusedError, match="claude failed with transport"):
            await stage.chat(asking("Hello.", order=["claude"]))
    finally:
        assert keyed.end() == 0

    assert listed.providers[0].available
    assert secret not in keyed.log.read_text()


def test_wrong_settings_end_the_process_with_their_names(broker: Broker, tmp_path: Path) -> None:
    """One line names the variable."""
    wrong = Program(broker, tmp_path, SEGUE_PROVIDERS_CONCURRENCY="0")

    assert wrong.process.wait(timeout=PATIENCE_S) == 2
    assert "SEGUE_PROVIDERS_CONCURRENCY" in wrong.log.read_text()
