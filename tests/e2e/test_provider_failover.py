"""Failover: does a review go on when its provider breaks down in the middle, and say so?"""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.emulating import Emulated, emulating
from support.kills import start_review
from support.stack import PATIENCE_S, Stack, Watcher, a_repository, running_stack
from support.wait import until

from segue_contracts.envelope import decode_event
from segue_contracts.v1 import registry, subjects
from segue_contracts.v1.runs import RunEnded
from segue_contracts.v1.steps import StepCompleted
from segue_contracts.v1.telemetry import ModelCalled
from segue_contracts.v1.topology import RUNS, TELEMETRY
from segue_contracts.v1.turns import TurnCompleted
from segue_shared.bus import Bus
from segue_shared.journal import Journal

KEYS = {"ANTHROPIC_API_KEY": "sk-ant-not-a-real-key-1", "GOOGLE_API_KEY": "AIza-not-a-real-key-2"}
BEFORE = 4
"""Calls that Claude answers before it breaks down."""


@pytest.fixture(scope="module")
def vendors() -> Iterator[Emulated]:
    """Claude and Gemini, as far as their interfaces go."""
    with emulating() as running:
        running.switch("agent+slow.20", wire="anthropic")
        yield running


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, vendors: Emulated) -> Iterator[Stack]:
    """A stack whose providers are called where the emulator is."""
    addresses = {
        "SEGUE_PROVIDERS_CLAUDE_BASE_URL": vendors.url("switch"),
        "SEGUE_PROVIDERS_GEMINI_BASE_URL": vendors.url("agent"),
    }
    with running_stack(tmp_path_factory.mktemp("stack"), **KEYS, **addresses) as running:
        yield running


async def bodies(bus: Bus, stream: str, pattern: str) -> list[object]:
    """Return the bodies of a stream's events on a pattern, in order."""
    stored = await Journal(bus, stream).after(pattern, 0)
    return [registry.decode(decode_event(message.data)) for message in stored]


def asked_of_claude(vendors: Emulated) -> int:
    """Count the calls that reached Claude."""
    return sum(one["wire"] == "anthropic" for one in vendors.log())


@pytest.mark.timeout(180)
async def test_a_review_moves_to_gemini_when_claude_is_overloaded(
    stack: Stack, vendors: Emulated, tmp_path: Path
) -> None:
    """Five agents finish, no call is lost, and the run's own events tell who answered and why."""
    bus = await Bus.connect(stack.url, name="e2e", max_wait_s=10)
    run = await start_review(bus, a_repository(tmp_path / "repository"))

    async def used() -> bool:
        return asked_of_claude(vendors) >= BEFORE

    await until(used, patience_s=PATIENCE_S)
    vendors.switch("error.529", wire="anthropic")
    watcher = Watcher(bus, run)
    async with asyncio.timeout(PATIENCE_S):
        end = await until(watcher.end, patience_s=PATIENCE_S)

    assert isinstance(end, RunEnded)
    assert end.status == "completed"
    told = await bodies(bus, RUNS, subjects.run_all("default", run))
    turns = [one for one in told if isinstance(one, TurnCompleted) and one.kind == "model"]
    moved = [one for one in turns if one.attempts]
    assert {one.provider for one in turns} == {"claude", "gemini"}
    assert moved
    for turn in moved:
        assert [(one.provider, one.error, one.http_status) for one in turn.attempts[:-1]] == [
            ("claude", "overloaded", 529)
        ] * (len(turn.attempts) - 1)
        assert any("claude failed with overloaded" in warning for warning in turn.warnings)
    assert len([one for one in told if isinstance(one, StepCompleted)]) == 5
    calls = await bodies(
        bus, TELEMETRY, subjects.telemetry("default", "providers", "router", "model_called")
    )
    steps = {one.then for one in calls if isinstance(one, ModelCalled) and one.run == run}
    assert "next: gemini" in steps
    await bus.close()


async def test_no_key_is_anywhere(stack: Stack) -> None:
    """Neither a log, nor a stream, nor any other file of the stack holds a key."""
    files = [path for path in stack.folder.rglob("*") if path.is_file()]

    assert files
    for path in files:
        data = path.read_bytes()
        assert not [name for name, key in KEYS.items() if key.encode() in data], path
