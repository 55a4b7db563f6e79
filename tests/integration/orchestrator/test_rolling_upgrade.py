"""A rolling upgrade on a real broker: do runs go on while old and new orchestrators are live?"""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial

import pytest
from support.runs import Desk, Runs
from support.wait import until
from support.worker import worker

from segue_contracts.reply import Refused
from segue_contracts.v1 import registry, topology
from segue_contracts.v1.commands import SaveWorkflow, SignalRun, StartRun
from segue_orchestrator.app import NAME, REQUIRES, Orchestrator, build
from segue_orchestrator.core.plan import SUPPORTED
from segue_orchestrator.settings import Settings
from segue_shared.bootstrap import apply
from segue_shared.bus import Bus
from segue_shared.errors import RefusedError
from segue_shared.ids import SystemIds
from segue_shared.keyvalue import KeyValue
from segue_shared.pull import PullLoop
from segue_shared.runtime import Runtime
from segue_testing.broker import Broker
from segue_testing.services import serving

CHAIN = """
name: chain
steps:
  - {key: a, pool: POOL}
  - {key: b, pool: POOL, dependsOn: [a]}
"""
STORY = [
    "started",
    *(f"step.{key}.1.{what}" for key in "ab" for what in ("scheduled", "outcome.completed")),
    "ended",
]
NEWER = "{name: newer, version: 1.0.0, steps: [{key: hold, wait: {signal: go}}]}"
ABOVE = "{name: above, steps: [{key: below, workflow: newer}]}"
OLD = SUPPORTED - {"wait"}
RUNS = 7
_CONSUMERS = 16


class Site:
    """A broker on which orchestrators come and go."""

    def __init__(self, broker: Broker, bus: Bus) -> None:
        self._broker = broker
        self._built: dict[str, Orchestrator] = {}
        self.runs = Runs(bus, SystemIds().unique(), Desk())

    @asynccontextmanager
    async def orchestrator(
        self, name: str, features: frozenset[str] = SUPPORTED
    ) -> AsyncIterator[None]:
        """Serve an orchestrator that runs these constructs, for the length of a block."""
        settings = Settings(nats_url=self._broker.url, ack_wait_s=2, drain_s=2, instance=name)

        def made(settings: Settings, runtime: Runtime) -> Orchestrator:
            self._built[name] = build(settings, runtime, features=features)
            return self._built[name]

        async with serving(NAME, settings, made, requires=REQUIRES):
            yield

    def working(self) -> AbstractAsyncContextManager[PullLoop]:
        """Work for the runs for the length of a block; an orchestrator must be live."""
        return worker(self.runs.bus, self.runs.pool, self.runs.desk.serve)

    async def lives(self, *names: str) -> None:
        """Wait until just these orchestrators are members."""
        keys = KeyValue(self.runs.bus, topology.MEMBERS)
        wanted = {f"{NAME}.{name}" for name in names}

        async def are_there() -> bool:
            return (await keys.entries(NAME)).keys() == wanted

        await until(are_there)

    async def shared(self) -> None:
        """Wait until each of the orchestrators reads some of the shard consumers, and all do."""

        async def is_shared() -> bool:
            shares = [one._shards.share for one in self._built.values()]
            return all(shares) and sum(map(len, shares)) == _CONSUMERS

        await until(is_shared)

    async def refusal(self, request: StartRun) -> Refused:
        """Return why a start is refused."""
        with pytest.raises(RefusedError) as caught:
            await self.runs.call(registry.START_RUN, request)
        return caught.value.refused


@pytest.fixture
async def site(fresh_broker: Broker) -> AsyncIterator[Site]:
    """A broker that nobody uses yet."""
    bus = await Bus.connect(fresh_broker.url, name="test", max_wait_s=10)
    await apply(bus, topology.topology(_CONSUMERS))
    yield Site(fresh_broker, bus)
    await bus.close()


async def test_runs_go_on_while_a_newer_orchestrator_takes_over(site: Site) -> None:
    """Those of before, of meanwhile and of after end once, with one outcome an attempt."""
    runs = site.runs
    runs.desk.hold("a")
    async with AsyncExitStack() as newer:
        async with site.orchestrator("old", OLD):
            await newer.enter_async_context(site.working())
            started = [await runs.start(CHAIN) for _ in range(RUNS)]
            await newer.enter_async_context(site.orchestrator("new"))
            await site.lives("new", "old")
            await site.shared()
            started += [await runs.start(CHAIN) for _ in range(RUNS)]
            await runs.desk.came("a", times=2 * RUNS)
        runs.desk.release("a")
        started += [await runs.start(CHAIN) for _ in range(RUNS)]
        ends = [await runs.ended(run) for run in started]
        stories = [await runs.story(run) for run in started]

    assert {end.status for end in ends} == {"completed"}
    assert stories == [STORY] * (3 * RUNS)


async def test_what_is_new_is_refused_until_every_orchestrator_knows_it(site: Site) -> None:
    """Whoever is asked refuses, however the definition is named; then it is run."""
    runs = site.runs
    async with site.orchestrator("new"), site.working():
        await site.lives("new")
        await runs.call(registry.SAVE_WORKFLOW, SaveWorkflow(text=NEWER))
        async with site.orchestrator("old", OLD):
            await site.lives("new", "old")
            await site.shared()
            named = [await site.refusal(StartRun(workflow="newer")) for _ in range(9)]
            above = [await site.refusal(StartRun(text=ABOVE)) for _ in range(9)]
            typed = [await site.refusal(StartRun(text=NEWER)) for _ in range(9)]
            known = await runs.start(CHAIN)
        run = await until(partial(_accepted, runs))
        await runs.call(registry.SIGNAL_RUN, SignalRun(run=run, name="go", payload=1))
        end, other = await runs.ended(run), await runs.ended(known)

    assert {(one.code, one.retryable) for one in named + above} == {("unsupported", True)}
    assert {problem.code for one in typed for problem in one.problems} == {"unsupported"}
    assert (end.status, other.status) == ("completed", "completed")


async def _accepted(runs: Runs) -> str:
    """Return the run of the new workflow once it is accepted; empty while it is refused."""
    try:
        return await runs.start("", workflow="newer", key="once")
    except RefusedError as error:
        if not error.refused.retryable:
            raise
        return ""
