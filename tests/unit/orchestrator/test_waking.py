"""Waking: does a run that waits for room in a pool go on, whatever the broker goes through?"""

import asyncio
from dataclasses import replace
from typing import cast

import pytest
from unit.orchestrator.sim_orchestrator import NS, RUN, begun, parts_of
from unit.testing.sim_world import simulated

from segue_contracts.v1 import subjects
from segue_orchestrator.shell.engine import Engine
from segue_orchestrator.shell.live import Cache
from segue_orchestrator.shell.pools import Pools
from segue_orchestrator.wiring import Parts
from segue_shared.bus import Bus
from segue_shared.delivery import Delivery
from segue_shared.errors import BusUnavailableError
from segue_testing.sim import SimServer

TWO = "{name: w, steps: [{key: a, pool: p}, {key: b, pool: p}]}"


class AwayPools:
    """Pools that are there for the first task, and then away for a number of times."""

    def __init__(self, away: int) -> None:
        self.asked = 0
        self._away = away

    def is_ready(self, pool: str, namespace: str) -> bool:
        """Know of no pool."""
        del pool, namespace
        return False

    async def ready(self, pool: str, namespace: str) -> None:
        """Find a pool, or fail."""
        self.asked += 1
        if 1 < self.asked <= 1 + self._away:
            raise BusUnavailableError(f"pool {pool} of {namespace} is not seen")


class Waiting:
    """An engine that holds a run of which one step waits for room."""

    def __init__(self, parts: Parts, away: int) -> None:
        self.pools = AwayPools(away)
        self.engine = Engine(replace(parts.engine._ports, pools=cast("Pools", self.pools)))
        self.cache: Cache = self.engine.new_cache()
        self.parts = parts

    async def begin(self) -> "Waiting":
        """Have the run dispatch its first step; the second finds no room at first."""
        sequence = await begun(self.parts, TWO)
        started = await self.parts.journal.get(sequence)
        assert started is not None
        delivery = Delivery(
            started.subject, started.data, sequence, started.time_ms, 1, "$JS.ACK", {}
        )
        await (await self.engine.on_batch(self.cache, [delivery]))
        return self

    async def dispatched(self) -> list[str]:
        """Return the steps whose tasks are stored."""
        stored = await self.parts.journal.last([subjects.run_all(NS, RUN)])
        events = (subjects.parse_run(message.subject).event for message in stored)
        return [event[1] for event in events if "scheduled" in event]

    @property
    def storing(self) -> int:
        """How many tasks are taken for being stored right now."""
        return self.parts.window._pool(NS, "p").storing


@pytest.mark.parametrize("away", [1, 3])
def test_a_run_that_waits_for_a_pool_goes_on_soon_after_passing_trouble(away: int) -> None:
    """It need not wait for its timer."""

    async def body(server: SimServer, bus: Bus) -> tuple[list[str], list[str], int]:
        waiting = await Waiting(parts_of(server, bus, pool_window=1), away).begin()
        before = await waiting.dispatched()
        await asyncio.sleep(5)
        await waiting.parts.window.close()
        return before, await waiting.dispatched(), waiting.storing

    assert simulated(body) == (["a"], ["a", "b"], 0)


def test_lasting_trouble_leaves_the_run_to_its_timer() -> None:
    """It is tried four times, and then read anew by whoever wakes it."""

    async def body(server: SimServer, bus: Bus) -> tuple[list[str], int, int, int]:
        waiting = await Waiting(parts_of(server, bus, pool_window=1), 1_000).begin()
        await asyncio.sleep(60)
        await waiting.parts.window.close()
        dispatched = await waiting.dispatched()
        return dispatched, waiting.pools.asked, len(waiting.cache), waiting.storing

    assert simulated(body) == (["a"], 1 + 4, 0, 0)


def test_a_run_that_was_let_go_meanwhile_is_not_tried_again() -> None:
    """Its shard has another owner, who decides on what is stored."""

    async def body(server: SimServer, bus: Bus) -> tuple[list[str], int]:
        waiting = await Waiting(parts_of(server, bus, pool_window=1), 2).begin()
        await asyncio.sleep(0.3)
        waiting.cache.clear()
        await asyncio.sleep(60)
        await waiting.parts.window.close()
        return await waiting.dispatched(), waiting.pools.asked

    dispatched, asked = simulated(body)
    assert dispatched == ["a"]
    assert asked < 1 + 4
