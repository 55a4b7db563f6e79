"""Kills: how is a run watched while a part of the stack dies under it?"""

from collections import Counter
from pathlib import Path
from typing import Final

from support.stack import PATIENCE_S, ROOT, Stack, Watcher
from support.wait import until

from segue_contracts.payload import Value
from segue_contracts.v1 import registry, subjects
from segue_contracts.v1.commands import RunAccepted, StartRun
from segue_contracts.v1.runs import RunEnded
from segue_contracts.v1.topology import PAYLOADS
from segue_shared.bus import Bus
from segue_shared.errors import TransientError
from segue_shared.ids import SystemIds
from segue_shared.payloads import Payloads

PARTS: Final = ("orchestrator", "agents", "providers", "events", "gateway", "nats")
STEPS: Final = {
    "lint",
    "security-scan",
    "architecture-review",
    "performance-check",
    "generate-report",
}


async def start_review(bus: Bus, repository: Path) -> str:
    """Start the code review of a repository and return the run."""
    command = registry.START_RUN
    subject = subjects.command("default", command.service, command.verb)
    text = (ROOT / "examples/code-review.yaml").read_text()
    inputs = {"repository": str(repository), "branch": "main"}
    # One key for all tries: a start whose answer was lost is found again.
    request = StartRun(text=text, inputs=inputs, key=SystemIds().unique())

    async def ask() -> RunAccepted | None:
        try:
            return await bus.call(subject, request, RunAccepted)
        except TransientError:
            return None

    accepted = await until(ask, patience_s=PATIENCE_S)
    assert accepted is not None
    return accepted.run


async def review_with_a_kill(
    stack: Stack, repository: Path, part: str, *, after_events: int
) -> list[tuple[str, ...]]:
    """Review a repository, kill a part once the run has some events, and check how it ends.

    Args:
        stack: What runs; its supervisor starts again what died.
        repository: What is reviewed, as made by `a_repository`.
        part: A service, or `nats`.
        after_events: How many events of the run come before the kill.

    Returns:
        The tokens of all events of the run, in order.
    """
    bus = await Bus.connect(stack.url, name="e2e", max_wait_s=20)
    run = await start_review(bus, repository)
    watcher = Watcher(bus, run)

    async def far_enough() -> bool:
        events = await watcher.events()
        return len(events) >= after_events or ("ended",) in events

    await until(far_enough, patience_s=PATIENCE_S)
    await stack.kill(part)
    end = await until(watcher.end, patience_s=PATIENCE_S)
    assert end is not None
    await _check_report(bus, end)
    events = await watcher.events()
    _check_story(events)
    await bus.close()
    return events


async def _check_report(bus: Bus, end: RunEnded) -> None:
    """The report holds what is wrong with the sample repository, and where."""
    assert end.status == "completed", end
    assert isinstance(end.output, Value)
    output = await Payloads(bus, PAYLOADS).unwrap(end.output)
    assert isinstance(output, dict)
    report = output["report"]
    assert "app.py:6" in report
    assert "helper.py:7" in report
    assert "Provider: offline" in report


def _check_story(events: list[tuple[str, ...]]) -> None:
    """Every step completed, every attempt was settled once, and the run ended once."""
    outcomes = Counter(e[1:3] for e in events if e[0] == "step" and e[3] == "outcome")
    assert set(outcomes.values()) == {1}
    assert {e[1] for e in events if e[-2:] == ("outcome", "completed")} == STEPS
    assert events.count(("ended",)) == 1
