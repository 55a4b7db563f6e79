"""The agents service as a process on a real broker: does it do its tasks?"""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from nats.aio.msg import Msg

from segue_contracts.envelope import Event, decode_body, decode_event, encode, raw
from segue_contracts.payload import Value
from segue_contracts.reply import Reply
from segue_contracts.v1 import subjects, topology
from segue_contracts.v1.chat import (
    ChatMessage,
    ChatRequest,
    ChatResponse,
    Stop,
    Text,
    ToolCall,
)
from segue_contracts.v1.commands import AgentList, ListAgents, PoolReady
from segue_contracts.v1.control import CancelHint
from segue_contracts.v1.events import frame
from segue_contracts.v1.registry import decode
from segue_contracts.v1.steps import StepCancelled, StepCompleted, StepScheduled
from segue_shared.bootstrap import ensure_consumer
from segue_shared.bus import Bus
from segue_shared.journal import Journal
from segue_shared.keyvalue import KeyValue
from segue_shared.payloads import Payloads
from segue_testing.broker import Broker

DEADLINE_S = 40.0
ACK_WAIT_S = 1.0
TIME = "2026-05-04T10:00:00.000Z"


class Stage:
    """Plays the orchestrator and the providers for one service."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.asked: list[str] = []
        self.final_asked = asyncio.Event()
        self.may_finish = asyncio.Event()
        self.may_finish.set()
        self.facts: asyncio.Queue[Event] = asyncio.Queue()

    async def open(self) -> None:
        """Begin to answer, and to watch every fact."""
        consumer = topology.pool_consumer("agents", ack_wait_s=ACK_WAIT_S)
        await ensure_consumer(self.bus, consumer)
        pool = PoolReady(stream=topology.RUNS, consumer=consumer.name, ack_wait_s=ACK_WAIT_S)

        async def ensure(message: Msg) -> None:
            await message.respond(encode(Reply(result=raw(pool))))

        async def watch(message: Msg) -> None:
            await self.facts.put(decode_event(message.data))

        command = subjects.command
        await self.bus.subscribe(command("default", "orchestrator", "pool_ensure"), ensure)
        await self.bus.subscribe(command("default", "providers", "chat"), self._chat)
        await self.bus.subscribe(subjects.facts(), watch)
        await self.bus.client.flush()

    async def _chat(self, message: Msg) -> None:
        request = decode_body(message.data, ChatRequest)
        self.asked.append(request.id)
        asyncio.get_running_loop().create_task(self._answer(message, request))

    async def _answer(self, message: Msg, request: ChatRequest) -> None:
        """Call every tool first, then say that it is done."""
        if any(each.role == "tool" for each in request.messages):
            self.final_asked.set()
            await self.may_finish.wait()
            parts = [Text(text="That is all.")]
        else:
            parts = [ToolCall(id=f"c-{tool.name}", name=tool.name) for tool in request.tools]
        response = ChatResponse(
            provider="scripted",
            message=ChatMessage(role="assistant", parts=list(parts)),
            stop=Stop(reason="end"),
        )
        await message.respond(encode(Reply(result=raw(response))))

    async def schedule(self, run: str, **fields: object) -> None:
        """Store a task."""
        prefix = subjects.run_prefix("default", run)
        subject = subjects.scheduled(prefix, "scan", 1, pool="agents", priority="p2")
        given = {
            "run": run,
            "namespace": "default",
            "workflow": "review",
            "step": "scan",
            "attempt": 1,
            "pool": "agents",
            "kind": "agent",
        }
        body = StepScheduled(**{**given, **fields})
        data = frame(body, subject=subject, source="test", about=f"{run}/scan", time=TIME)
        await self.bus.create(subject, data)

    async def outcome(self, run: str) -> object:
        """Wait for the outcome of a run's step."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                event = await self.facts.get()
                if event.subject == f"{run}/scan" and ".outcome." in event.id:
                    return decode(event)


class Process:
    """The service as a process."""

    def __init__(self, broker: Broker, log: Path) -> None:
        clean = {name: value for name, value in os.environ.items() if "SEGUE_" not in name}
        environment = clean | {"SEGUE_NATS_URL": broker.url, "SEGUE_DRAIN_S": "2"}
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "segue_agents"], env=environment, stdout=out, stderr=out
            )

    def kill(self) -> None:
        """End it with SIGKILL."""
        self._process.kill()
        self._process.wait(10)

    def stop(self) -> int:
        """End it in order, and return its exit code."""
        self._process.terminate()
        return self._process.wait(15)


@pytest.fixture
async def stage(bus: Bus) -> AsyncIterator[Stage]:
    """The services around the one that is tested."""
    stage = Stage(bus)
    await stage.open()
    yield stage
    stage.may_finish.set()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A folder with one file that a linter complains about."""
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "app.py").write_text("import os\n\n\ndef f():\n    return undefined_name\n")
    return folder


async def test_a_task_becomes_findings_of_its_repository(
    stage: Stage, broker: Broker, repository: Path, tmp_path: Path
) -> None:
    """Real tools run, each exchange is journaled, and the process goes down in order."""
    process = Process(broker, tmp_path / "log")
    await stage.schedule(
        "runaaaaaaaa01", agent="quality", input=Value(inline={"repository": str(repository)})
    )

    outcome = await stage.outcome("runaaaaaaaa01")

    assert isinstance(outcome, StepCompleted), outcome
    assert outcome.provider == "scripted"
    output = outcome.output.inline
    assert isinstance(output, dict)
    found = [
        (each["file"], each["line"], each["rule"]) for each in output["reports"][0]["findings"]
    ]
    assert ("app.py", 5, "F821") in found
    assert output["repository"] == str(repository)
    turns = await Journal(stage.bus, topology.RUNS).last(
        [subjects.turns(subjects.run_prefix("default", "runaaaaaaaa01"), "scan", 1)]
    )
    assert len(turns) == 3
    assert process.stop() == 0


async def test_a_killed_service_s_task_goes_on_where_its_journal_ends(
    stage: Stage, broker: Broker, repository: Path, tmp_path: Path
) -> None:
    """Another process asks only for the turn that was not journaled."""
    stage.may_finish.clear()
    first = Process(broker, tmp_path / "log")
    await stage.schedule(
        "runaaaaaaaa02", agent="quality", input=Value(inline={"repository": str(repository)})
    )
    async with asyncio.timeout(DEADLINE_S):
        await stage.final_asked.wait()
    first.kill()
    stage.may_finish.set()
    second = Process(broker, tmp_path / "log")

    outcome = await stage.outcome("runaaaaaaaa02")

    assert isinstance(outcome, StepCompleted), outcome
    assert stage.asked == [f"runaaaaaaaa02:scan:1:{turn}" for turn in (1, 3, 3)]
    assert second.stop() == 0


async def test_a_hint_on_the_bus_cancels_a_task(
    stage: Stage, broker: Broker, repository: Path, tmp_path: Path
) -> None:
    """The outcome comes while the model still thinks."""
    stage.may_finish.clear()
    process = Process(broker, tmp_path / "log")
    await stage.schedule(
        "runaaaaaaaa03", agent="quality", input=Value(inline={"repository": str(repository)})
    )
    async with asyncio.timeout(DEADLINE_S):
        await stage.final_asked.wait()
    subject = subjects.control("default", "runaaaaaaaa03", "cancel")
    hint = frame(
        CancelHint(run="runaaaaaaaa03"),
        subject=subject,
        source="segue/orchestrator",
        about="runaaaaaaaa03",
        time=TIME,
    )

    await stage.bus.publish(subject, hint)

    assert isinstance(await stage.outcome("runaaaaaaaa03"), StepCancelled)
    assert process.stop() == 0


async def test_a_large_input_and_output_travel_by_reference(
    stage: Stage, broker: Broker, tmp_path: Path
) -> None:
    """The writer merges findings that do not fit into an event, and hands on its report."""
    payloads = Payloads(stage.bus, topology.PAYLOADS)
    finding = {
        "tool": "lint_code",
        "rule": "E1",
        "severity": "low",
        "message": "x" * 200,
        "file": "a.py",
    }
    findings = [{**finding, "line": line} for line in range(1, 600)]
    report = {"tool": "lint_code", "summary": "Many.", "findings": findings}
    given = await payloads.wrap({"scan": {"agent": "quality", "reports": [report]}})
    assert given.ref
    process = Process(broker, tmp_path / "log")
    await stage.schedule("runaaaaaaaa04", agent="writer", input=given)

    outcome = await stage.outcome("runaaaaaaaa04")

    assert isinstance(outcome, StepCompleted), outcome
    output = await payloads.unwrap(outcome.output)
    assert isinstance(output, dict)
    assert "| quality | not said | lint_code | 0 | 0 | 0 | 599 | 0 | 0 |" in output["report"]
    assert output["counts"]["low"] == 599
    assert process.stop() == 0


async def test_the_service_tells_which_agents_there_are(
    stage: Stage, broker: Broker, tmp_path: Path
) -> None:
    """They are in the bucket, and the command lists them."""
    process = Process(broker, tmp_path / "log")
    await stage.schedule("runaaaaaaaa05", agent="nobody", input=Value(inline={}))
    await stage.outcome("runaaaaaaaa05")

    listed = await stage.bus.call(
        subjects.command("default", "agents", "list"), ListAgents(), AgentList
    )

    names = [agent.name for agent in listed.agents]
    assert names == ["architecture", "performance", "quality", "security", "writer"]
    keys = await KeyValue(stage.bus, topology.AGENTS).keys("default")
    assert sorted(keys) == [f"default.{name}" for name in names]
    assert process.stop() == 0
