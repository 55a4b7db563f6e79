"""The example worker: does the smallest possible worker keep the whole contract of a worker?"""

import ast
import asyncio
import io
import sys
import tokenize
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from support.wait import until

from segue import Client
from segue_contracts.envelope import decode_event
from segue_contracts.v1 import registry, subjects
from segue_contracts.v1.steps import StepScheduled
from segue_contracts.v1.topology import RUNS, pool_consumer
from segue_contracts.v1.values import Failure
from segue_orchestrator.app import NAME, REQUIRES, build
from segue_orchestrator.settings import Settings
from segue_shared.bus import Bus
from segue_shared.journal import Journal, StoredMessage
from segue_testing.broker import Broker
from segue_testing.services import serving

ROOT = Path(__file__).resolve().parents[3]
EXAMPLE = ROOT / "examples/worker.py"
WORKFLOW = ROOT / "examples/wordcount.yaml"
PATIENCE_S = 30.0
MAX_LINES = 40
LAYOUT = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}


@asynccontextmanager
async def example_worker(broker: Broker) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run the example as its users do, for the length of a block."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(EXAMPLE),
        env={"NATS_URL": broker.url},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@asynccontextmanager
async def orchestrator(broker: Broker) -> AsyncIterator[Client]:
    """Run an orchestrator, and yield a client of it."""
    settings = Settings(nats_url=broker.url, ack_wait_s=2, drain_s=2)
    async with (
        serving(NAME, settings, build, requires=REQUIRES),
        Client.connect(broker.url, patience_s=PATIENCE_S) as client,
    ):
        yield client


async def line_of(process: asyncio.subprocess.Process) -> str:
    """Wait for a line that the worker prints."""
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE_S):
        return (await process.stdout.readline()).decode()


async def stored(bus: Bus, run: str, event: str) -> StoredMessage:
    """Wait for an event of a run's journal."""
    pattern = subjects.run_event("default", run, event)
    messages: list[StoredMessage] = await until(lambda: Journal(bus, RUNS).last([pattern]))
    return messages[0]


async def test_the_example_serves_its_workflow_once_an_orchestrator_is_there(
    broker: Broker,
) -> None:
    """It may be started first; the run's output holds what it counted."""
    async with example_worker(broker) as process:
        assert (await line_of(process)).startswith("waiting: ")
        async with orchestrator(broker) as client:
            inputs = {"draft": "one two  three\nfour", "final": "one two"}
            run = await client.start_run(WORKFLOW, inputs=inputs)
            result = await run.result(PATIENCE_S)
        assert process.returncode is None

    assert result.status == "completed"
    assert result.output == {"draft": 4, "final": 2, "cut": 2}


async def test_a_step_that_the_example_cannot_do_fails_with_the_way_out(broker: Broker) -> None:
    """Bad input is the run's failure and not the worker's, and no attempt follows it."""
    text = "{name: w, steps: [{key: a, pool: wordcount, retry: {maxAttempts: 3, delay: 1ms}}]}"

    async with orchestrator(broker) as client, example_worker(broker):
        run = await client.start_run(text)
        result = await run.result(PATIENCE_S)
        [step] = (await run.status()).steps

    assert result.status == "failed"
    assert step.attempt == 1
    assert isinstance(step.error, Failure)
    assert step.error.code == "invalid_input"
    assert "with: {text: ...}" in step.error.message


async def test_the_example_waits_for_a_backoff_and_drops_what_is_settled(
    broker: Broker, bus: Bus
) -> None:
    """A task that timed out in the queue is only acknowledged; its retry starts when it may."""
    text = """
name: w
steps:
  - key: a
    pool: wordcount
    timeout: 1s
    retry: {maxAttempts: 2, delay: 2s}
    with: {text: one two}
"""
    async with orchestrator(broker) as client:
        run = await client.start_run(text)
        again = await stored(bus, run.id, "step.a.2.scheduled.>")
        async with example_worker(broker):
            result = await run.result(PATIENCE_S)
            await until(lambda: settled(bus))
        outcome = await stored(bus, run.id, "step.a.2.outcome.*")
        first = subjects.run_event("default", run.id, "step.a.1.outcome.*")
        firsts = await Journal(bus, RUNS).last([first])

    task = registry.decode(decode_event(again.data))
    assert isinstance(task, StepScheduled)
    assert result.status == "completed"
    assert [message.subject.split(".")[-1] for message in firsts] == ["timed_out"]
    assert again.time_ms < task.not_before_ms <= outcome.time_ms


async def settled(bus: Bus) -> bool:
    """Tell whether the pool's consumer holds no task that is open or handed out."""
    info = await bus.client.jetstream().consumer_info(RUNS, pool_consumer("wordcount").name)
    return (info.num_pending, info.num_ack_pending) == (0, 0)


async def test_the_example_works_on_after_the_broker_was_killed(broker: Broker) -> None:
    """It reconnects by itself, and the next run completes."""
    async with orchestrator(broker) as client, example_worker(broker) as process:
        assert (await (await client.start_run(WORKFLOW)).result(PATIENCE_S)).status == "completed"
        broker.kill()
        assert (await line_of(process)).startswith("waiting: ")
        broker.restart()
        again = await (await client.start_run(WORKFLOW)).result(PATIENCE_S)

    assert again.output == {"draft": 9, "final": 6, "cut": 3}


def imported(tree: ast.Module) -> set[str]:
    """Return the top-level names of all modules that are imported anywhere."""
    names = [
        name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module]
        )
    ]
    return {(name or ".").split(".")[0] for name in names}


def lines_of_code(source: str) -> int:
    """Return how many lines hold code: no blank line, comment or docstring."""
    occupied: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in LAYOUT:
            occupied.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef) and (
            ast.get_docstring(node) is not None
        ):
            text = node.body[0]
            occupied -= {*range(text.lineno, (text.end_lineno or text.lineno) + 1)}
    return len(occupied)


def test_the_example_needs_nothing_but_nats_and_the_standard_library() -> None:
    """Whoever has nats-py can run it, and can say the same in another language."""
    names = imported(ast.parse(EXAMPLE.read_text()))

    assert names - sys.stdlib_module_names == {"nats"}


def test_the_example_is_short() -> None:
    """A worker fits on one screen."""
    assert lines_of_code(EXAMPLE.read_text()) <= MAX_LINES


@pytest.mark.parametrize(
    ("source", "names"),
    [("import a.b", {"a"}), ("from .x import y", {"x"}), ("def f():\n  from c.d import e", {"c"})],
)
def test_an_import_is_noticed_wherever_it_is(source: str, names: set[str]) -> None:
    """The check above sees every form of import."""
    assert imported(ast.parse(source)) == names
