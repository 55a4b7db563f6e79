"""Lagging folds: does a run go on as it should, when what is read lags behind what is stored?"""

import asyncio

import pytest
from unit.orchestrator.sim_orchestrator import NS, RUN, TEXT, begun, parts_of, told
from unit.testing.sim_world import simulated

from segue_contracts.payload import Value
from segue_contracts.v1 import steps, topology
from segue_language import parse
from segue_orchestrator.core.effects import BeginWait
from segue_orchestrator.core.plan import StepPlan
from segue_orchestrator.core.state import OutputAt, OverWait
from segue_orchestrator.shell.live import UnknownRunError
from segue_shared.bus import Bus
from segue_shared.errors import PayloadMissingError
from segue_shared.puller import Puller
from segue_testing.sim import FaultPlan, SimServer, sim_bus

LAGGING = FaultPlan(stale_read=1, lag=100, lag_s=5)


async def settle(bus: Bus) -> None:
    """Settle the one event that there is, as its owner."""
    [consumer, *_] = topology.topology(1).consumers
    puller = Puller(bus, stream=topology.RUNS, consumer=consumer.name, group=topology.PIN_GROUP)
    await puller.open()
    [message] = await puller.next(1)
    await bus.client.publish(message.reply, b"+ACK")


def test_a_run_is_read_until_the_event_in_hand_is_there() -> None:
    """A replica that knows nothing of a run does not make it an unknown one."""

    async def body(server: SimServer, _: Bus) -> tuple[int, int]:
        parts = parts_of(server, await sim_bus(server, "engine"))
        sequence = await begun(parts)
        live = await parts.loader.load(NS, RUN, at_least=sequence)
        return sequence, live.state.last_seq

    sequence, last = simulated(body, LAGGING)
    assert last == sequence


def test_a_run_that_was_let_go_is_unknown() -> None:
    """An event in hand that the journal no longer holds is waited for by nobody."""

    async def body(server: SimServer, bus: Bus) -> None:
        parts = parts_of(server, bus)
        sequence = await begun(parts)
        await parts.journal.purge(sequence + 1)
        with pytest.raises(UnknownRunError):
            await parts.loader.load(NS, RUN, at_least=sequence)

    simulated(body)


def test_a_definition_that_was_just_stored_is_no_missing_one() -> None:
    """A run that begins at once finds it; one that was never stored is missing."""

    async def body(server: SimServer, _: Bus) -> tuple[str, object]:
        definitions = parts_of(server, await sim_bus(server, "engine")).loader.definitions
        workflow = parse(TEXT).workflow
        assert workflow is not None
        kept = await definitions.save(NS, workflow)
        definitions._recent.clear()
        found = await definitions.load(NS, kept.hash)
        assert found is not None
        return found.workflow.name, await definitions.load(NS, "0" * 64)

    assert simulated(body, LAGGING) == ("w", None)


def test_a_value_that_was_just_stored_is_no_missing_one() -> None:
    """Only what the journal let go is."""

    async def body(server: SimServer, _: Bus) -> list[object]:
        parts = parts_of(server, await sim_bus(server, "engine"))
        await begun(parts)
        done = steps.StepCompleted(output=Value(inline={"n": 1}))
        place = OutputAt(await told(parts, "step.a.1.outcome.completed", done))
        found = await parts.outputs.fetch([place])
        with pytest.raises(PayloadMissingError):
            await parts.outputs.fetch([OutputAt(place.sequence + 1)])
        return [found[place]]

    assert simulated(body, LAGGING) == [{"n": 1}]


def test_what_is_not_settled_is_not_purged() -> None:
    """However old the journal grew while nobody was there to decide on it."""

    async def body(server: SimServer, bus: Bus) -> tuple[bool, bool]:
        parts = parts_of(server, bus)
        sequence = await begun(parts)
        await asyncio.sleep(8 * 24 * 3_600)
        cleaning = asyncio.create_task(parts.janitor.run())
        await asyncio.sleep(3 * 600)
        before = await parts.journal.get(sequence)
        await settle(bus)
        await asyncio.sleep(3 * 600)
        cleaning.cancel()
        return before is not None, await parts.journal.get(sequence) is not None

    assert simulated(body, limit_s=30 * 24 * 3_600) == (True, False)


def test_a_wait_that_is_over_is_not_listed_again() -> None:
    """Whoever notes its beginning too late does not bring it back."""
    asked = steps.StepWaiting(kind="signal", name="go")

    async def body(server: SimServer, bus: Bus) -> list[int]:
        parts = parts_of(server, bus)
        await begun(parts)
        state = (await parts.loader.load(NS, RUN)).state
        begin = BeginWait(step=StepPlan(key="a", token="a"), token="a", attempt=1, asked=asked)
        counts = []
        await parts.waits.put(state, begin)
        counts.append(len(await parts.waits.all(NS)))
        await parts.waits.drop(state, OverWait("a", asked))
        await parts.waits.put(state, begin)
        counts.append(len(await parts.waits.all(NS)))
        return counts

    assert simulated(body) == [1, 0]
