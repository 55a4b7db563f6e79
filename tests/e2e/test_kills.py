"""Kills: does the code review end once, with the right result, whatever dies in the middle?"""

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.stack import PATIENCE_S, ROOT, Stack, Watcher, a_repository, running_stack
from support.wait import until

from segue_contracts.v1 import registry, subjects
from segue_contracts.v1.commands import RunAccepted, StartRun
from segue_contracts.v1.runs import RunEnded
from segue_contracts.v1.topology import PAYLOADS
from segue_shared.bus import Bus
from segue_shared.errors import TransientError
from segue_shared.payloads import Payloads

PARTS = ("orchestrator", "agents", "providers", "events", "gateway", "nats")
STEPS = {
    "lint",
    "security-scan",
    "architecture-review",
    "performance-check",
    "generate-report",
}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One stack for all kills; its supervisor starts again what died."""
    with running_stack(tmp_path_factory.mktemp("stack")) as running:
        yield running


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small repository with known findings."""
    return a_repository(tmp_path_factory.mktemp("fixture") / "repository")


async def start(bus: Bus, repository: Path) -> str:
    """Start the code review of a repository and return the run."""
    command = registry.START_RUN
    subject = subjects.command("default", command.service, command.verb)
    text = (ROOT / "examples/code-review.yaml").read_text()
    request = StartRun(text=text, inputs={"repository": str(repository), "branch": "main"})

    async def ask() -> RunAccepted | None:
        try:
            return await bus.call(subject, request, RunAccepted)
        except TransientError:
            return None

    accepted = await until(ask)
    assert accepted is not None
    return accepted.run


async def review(bus: Bus, end: RunEnded) -> str:
    """Return the report of an ended run."""
    assert end.status == "completed", end
    assert not isinstance(end.output, type(end.error)), end
    output = await Payloads(bus, PAYLOADS).unwrap(end.output)
    assert isinstance(output, dict)
    report: str = output["report"]
    return report


@pytest.mark.timeout(180)
@pytest.mark.parametrize("part", PARTS)
async def test_a_killed_part_delays_the_run_and_changes_nothing(
    stack: Stack, repository: Path, part: str
) -> None:
    """SIGKILL in the middle: one end, one outcome per attempt, the same findings."""
    bus = await Bus.connect(stack.url, name="e2e", max_wait_s=10)
    run = await start(bus, repository)
    watcher = Watcher(bus, run)

    async def in_the_middle() -> bool:
        return any("turn" in event for event in await watcher.events())

    await until(in_the_middle, patience_s=PATIENCE_S)
    stack.kill(part)
    end = await until(watcher.end, patience_s=PATIENCE_S)

    assert end is not None
    report = await review(bus, end)
    assert "app.py:6" in report
    assert "helper.py:7" in report
    assert "Provider: offline" in report
    events = await watcher.events()
    outcomes = Counter(e[1:3] for e in events if e[0] == "step" and e[3] == "outcome")
    assert set(outcomes.values()) == {1}
    completed = {e[1] for e in events if e[-2:] == ("outcome", "completed")}
    assert completed == STEPS
    assert events.count(("ended",)) == 1
    await bus.close()


async def test_a_plain_subscriber_sees_every_fact_once_as_readable_json(
    stack: Stack, repository: Path
) -> None:
    """`segue.v1.default.fact.>` shows each event of a run once, in order, as CloudEvents."""
    bus = await Bus.connect(stack.url, name="e2e", max_wait_s=10)
    facts: list[tuple[int, tuple[str, ...]]] = []
    ended = asyncio.Event()

    async def on_fact(message: object) -> None:
        event = subjects.parse_run(message.subject).event  # type: ignore[attr-defined] # nats Msg
        facts.append((int(message.headers["Nats-Sequence"]), event))  # type: ignore[attr-defined] # nats Msg
        assert message.data.startswith(b'{"id":')  # type: ignore[attr-defined] # nats Msg
        if event == ("ended",):
            ended.set()

    await bus.subscribe("segue.v1.default.fact.>", on_fact)
    run = await start(bus, repository)
    async with asyncio.timeout(PATIENCE_S):
        await ended.wait()

    assert facts == sorted(set(facts))
    assert [event for _, event in facts] == await Watcher(bus, run).events()
    await bus.close()
