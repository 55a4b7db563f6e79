"""The composition root: how is the orchestrator put together?"""

from functools import partial
from typing import Final

from segue_contracts.v1 import topology
from segue_contracts.v1.dead import dead_letter
from segue_orchestrator.settings import Settings
from segue_orchestrator.shell.admission import Admission
from segue_orchestrator.shell.definitions import Definitions
from segue_orchestrator.shell.engine import Engine
from segue_orchestrator.shell.handlers import Handlers
from segue_orchestrator.shell.live import Cache, Loader
from segue_orchestrator.shell.outputs import Outputs
from segue_orchestrator.shell.pools import Pools
from segue_orchestrator.shell.timers import Timers
from segue_shared.commands import CommandServer
from segue_shared.dead import DeadLetters
from segue_shared.journal import Journal
from segue_shared.keyvalue import KeyValue
from segue_shared.payloads import Payloads
from segue_shared.pinned import PinnedConsumer
from segue_shared.pull import PullLoop
from segue_shared.service import Requires, Runtime

NAME: Final = "orchestrator"

REQUIRES: Final = Requires(
    streams=(topology.RUNS, topology.TIMERS, topology.DEAD),
    consumers=(f"{topology.TIMERS}.{topology.TIMER_RELAY}",),
    buckets=(topology.WORKFLOWS, topology.RUN_KEYS, topology.AGENTS),
    object_buckets=(topology.PAYLOADS,),
)

_STALLED: Final = 5
_RELAYS: Final = 64


class Orchestrator:
    """Shard consumers, the timer relay and the command handlers of one process."""

    def __init__(
        self,
        runtime: Runtime,
        *,
        shards: list[PinnedConsumer],
        relay: PullLoop,
        commands: CommandServer,
        pools: Pools,
    ) -> None:
        self._runtime = runtime
        self._shards = shards
        self._relay = relay
        self._commands = commands
        self._pools = pools
        runtime.health.add("consumers", self._stalled)

    async def start(self) -> None:
        """Own shards, relay timers, answer commands."""
        for pool in (topology.AGENTS_POOL, topology.LLM_POOL):
            await self._pools.ensure(pool, self._runtime.settings.namespace)
        for number, shard in enumerate(self._shards):
            self._runtime.spawn(shard.run(), name=f"shard {number}")
        self._runtime.spawn(self._relay.run(), name="timer relay")
        await self._commands.start()

    async def stop(self) -> None:
        """Answer what was asked, give back unrelayed timers; shards are simply left."""
        await self._commands.stop()
        await self._relay.stop(self._runtime.settings.drain_s)

    def _stalled(self) -> str | None:
        silent = max((shard.silent for shard in self._shards), default=0)
        if max(silent, self._relay.silent) < _STALLED:
            return None
        return "a consumer does not answer; 'segue bus apply' makes it if it is missing"


def build(settings: Settings, runtime: Runtime) -> Orchestrator:
    """Wire the orchestrator."""
    bus, clock = runtime.bus, runtime.clock
    journal, payloads = Journal(bus, topology.RUNS), Payloads(bus, topology.PAYLOADS)
    definitions = Definitions(KeyValue(bus, topology.WORKFLOWS))
    loader = Loader(journal, definitions, payloads, Outputs(journal, payloads))
    pools = Pools(bus, clock, ack_wait_s=settings.ack_wait_s)
    timers = Timers(bus, clock)
    dead = DeadLetters(bus, service=NAME, clock=clock, framer=dead_letter)
    admission = Admission(
        bus,
        clock=clock,
        ids=runtime.ids,
        definitions=definitions,
        payloads=payloads,
        journal=journal,
        run_keys=KeyValue(bus, topology.RUN_KEYS),
        agents=Journal(bus, f"KV_{topology.AGENTS}"),
    )
    engine = Engine(
        bus,
        clock=clock,
        loader=loader,
        payloads=payloads,
        pools=pools,
        timers=timers,
        dead=dead,
    )
    commands = CommandServer(runtime)
    Handlers(
        bus, clock=clock, admission=admission, loader=loader, pools=pools, journal=journal
    ).register(commands)
    relay = PullLoop(
        bus,
        stream=topology.TIMERS,
        consumer=topology.TIMER_RELAY,
        handler=timers.relay,
        dead_letters=dead,
        concurrency=_RELAYS,
        ack_wait_s=settings.ack_wait_s,
    )
    shards = [_shard(engine, runtime, number) for number in range(settings.shard_consumers)]
    return Orchestrator(runtime, shards=shards, relay=relay, commands=commands, pools=pools)


def _shard(engine: Engine, runtime: Runtime, number: int) -> PinnedConsumer:
    """Return the loop over one shard consumer, with a cache that ends with its pin."""
    cache = Cache()
    return PinnedConsumer(
        runtime.bus,
        stream=topology.RUNS,
        consumer=topology.shard_consumer(number),
        group=topology.PIN_GROUP,
        clock=runtime.clock,
        on_batch=partial(engine.on_batch, cache),
        on_takeover=cache.clear,
    )
