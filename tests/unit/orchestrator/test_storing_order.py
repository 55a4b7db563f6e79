"""The order of storing: what becomes of a run's end while earlier decisions are being stored?"""

import asyncio
from collections.abc import Awaitable
from dataclasses import replace
from typing import cast

import pytest
from unit.orchestrator.sim_orchestrator import NS, RUN, begun, parts_of, told
from unit.testing.sim_world import simulated

from segue_contracts.v1 import runs, subjects
from segue_orchestrator.shell.engine import Engine
from segue_orchestrator.shell.pools import Pools
from segue_orchestrator.wiring import Parts
from segue_shared.bus import Bus
from segue_shared.delivery import Delivery
from segue_shared.errors import BusUnavailableError, TransientError
from segue_testing.sim import SimServer


class ShutPools:
    """Pools that nobody finds before the gate is opened, or the broker is known to be away."""

    def __init__(self) -> None:
        self.gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def is_ready(self, pool: str, namespace: str) -> bool:
        """Know of no pool."""
        del pool, namespace
        return False

    async def ready(self, pool: str, namespace: str) -> None:
        """Wait at the gate."""
        del pool, namespace
        await asyncio.shield(self.gate)


class Stopping:
    """An engine that dispatches a step, and reads a cancel before that is stored."""

    def __init__(self, parts: Parts) -> None:
        self.pools = ShutPools()
        self.parts = parts
        self._engine = Engine(replace(parts.engine._ports, pools=cast("Pools", self.pools)))
        self._cache = self._engine.new_cache()

    async def begin(self) -> tuple["asyncio.Future[None]", "asyncio.Future[None]"]:
        """Return the storing of the dispatch, and that of the end."""
        dispatching = await self._read(await begun(self.parts))
        ending = await self._read(await told(self.parts, "cancel_requested", CANCEL))
        await asyncio.sleep(1)
        return dispatching, ending

    async def _read(self, sequence: int) -> "asyncio.Future[None]":
        stored = await self.parts.journal.get(sequence)
        assert stored is not None
        delivery = Delivery(stored.subject, stored.data, sequence, stored.time_ms, 1, "$JS.ACK", {})
        storing: Awaitable[None] = await self._engine.on_batch(self._cache, [delivery])
        return asyncio.ensure_future(storing)

    async def events(self) -> list[str]:
        """Return what the run's journal holds after its start."""
        stored = await self.parts.journal.last([subjects.run_all(NS, RUN)])
        return [".".join(subjects.parse_run(one.subject).event) for one in stored[1:]]


CANCEL = runs.CancelRequested()


def test_a_run_does_not_end_before_what_was_decided_earlier_is_stored() -> None:
    """Then its end is refused, since there is work to wait for."""

    async def body(server: SimServer, bus: Bus) -> tuple[list[str], list[str]]:
        stopping = Stopping(parts_of(server, bus))
        both = await stopping.begin()
        before = await stopping.events()
        stopping.pools.gate.set_result(None)
        await asyncio.gather(*both)
        return before, await stopping.events()

    dispatched = "step.a.1.scheduled.p.p2"
    assert simulated(body) == (["cancel_requested"], ["cancel_requested", dispatched])


def test_a_run_does_not_end_where_what_was_decided_earlier_could_not_be_stored() -> None:
    """All of it comes again, and is decided anew."""

    async def body(server: SimServer, bus: Bus) -> list[str]:
        stopping = Stopping(parts_of(server, bus))
        both = await stopping.begin()
        stopping.pools.gate.set_exception(BusUnavailableError("the broker is away"))
        for storing in both:
            with pytest.raises(TransientError):
                await storing
        return await stopping.events()

    assert simulated(body) == ["cancel_requested"]
