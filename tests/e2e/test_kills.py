"""Kills: does the code review end once, with the right result, whatever dies in the middle?"""

import asyncio
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from nats.aio.msg import Msg
from support.kills import PARTS, review_with_a_kill, start_review
from support.stack import PATIENCE_S, Stack, Watcher, a_repository, running_stack

from segue_contracts.v1 import subjects
from segue_shared.bus import Bus

EVENTS = 30
"""About as many events as a run of the review has."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One stack for all kills; its supervisor starts again what died."""
    with running_stack(tmp_path_factory.mktemp("stack")) as running:
        yield running


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small repository with known findings."""
    return a_repository(tmp_path_factory.mktemp("fixture") / "repository")


@pytest.mark.timeout(180)
@pytest.mark.parametrize("part", PARTS)
async def test_a_killed_part_delays_the_run_and_changes_nothing(
    stack: Stack, repository: Path, part: str
) -> None:
    """SIGKILL in the middle: one end, one outcome per attempt, the same findings."""
    events = await review_with_a_kill(stack, repository, part, after_events=5)

    assert events[0] == ("started",)
    assert events[-1] == ("ended",)


@pytest.mark.soak
@pytest.mark.timeout(3600)
async def test_random_kills_at_length_change_nothing(stack: Stack, repository: Path) -> None:
    """Any part, at any moment, again and again; the seed makes the order repeatable."""
    seed = int(os.environ.get("SEGUE_SOAK_SEED", "1"))
    rounds = int(os.environ.get("SEGUE_SOAK_ROUNDS", "60"))
    chance = random.Random(seed)  # noqa: S311 - a repeatable order, no secret

    for _ in range(rounds):
        part, after = chance.choice(PARTS), chance.randrange(1, EVENTS)
        print(f"seed {seed}: kill {part} after {after}")  # noqa: T201 - a long proof tells where it is
        await review_with_a_kill(stack, repository, part, after_events=after)


async def test_a_plain_subscriber_sees_every_fact_once_as_readable_json(
    stack: Stack, repository: Path
) -> None:
    """`segue.v1.default.fact.>` shows each event of a run once, in order, as CloudEvents."""
    bus = await Bus.connect(stack.url, name="e2e", max_wait_s=10)
    facts: list[tuple[int, tuple[str, ...]]] = []
    ended = asyncio.Event()

    async def on_fact(message: Msg) -> None:
        event = subjects.parse_run(message.subject).event
        facts.append((int((message.headers or {})["Nats-Sequence"]), event))
        assert message.data.startswith(b'{"id":')
        if event == ("ended",):
            ended.set()

    await bus.subscribe("segue.v1.default.fact.>", on_fact)
    run = await start_review(bus, repository)
    async with asyncio.timeout(PATIENCE_S):
        await ended.wait()

    assert facts == sorted(set(facts))
    assert [event for _, event in facts] == await Watcher(bus, run).events()
    await bus.close()
