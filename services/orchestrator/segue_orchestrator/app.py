"""The composition root: how is the orchestrator put together?"""

from functools import partial
from typing import Final, Protocol

from segue_contracts.v1 import topology
from segue_orchestrator.core.plan import SUPPORTED
from segue_orchestrator.settings import Settings
from segue_orchestrator.shell.catalogue_handlers import CatalogueHandlers
from segue_orchestrator.shell.checkpoints import Checkpoints
from segue_orchestrator.shell.control_handlers import ControlHandlers
from segue_orchestrator.shell.diffs import Diffs
from segue_orchestrator.shell.engine import Engine
from segue_orchestrator.shell.forks import Forks
from segue_orchestrator.shell.fsck import Fsck
from segue_orchestrator.shell.fsck_handlers import FsckHandlers
from segue_orchestrator.shell.handlers import Handlers
from segue_orchestrator.shell.history_handlers import HistoryHandlers
from segue_orchestrator.shell.listing import Listing
from segue_orchestrator.shell.replays import Replays
from segue_orchestrator.shell.shards import Shards
from segue_orchestrator.shell.standing import Standing
from segue_orchestrator.shell.wait_handlers import WaitHandlers
from segue_orchestrator.wiring import NAME, Parts, wire
from segue_shared.commands import CommandServer
from segue_shared.journal import Journal
from segue_shared.keyvalue import KeyValue
from segue_shared.pinned import PinnedConsumer
from segue_shared.pull import Handler, PullLoop
from segue_shared.service import Requires, Runtime

__all__ = ["NAME", "REQUIRES", "Orchestrator", "build"]

REQUIRES: Final = Requires(
    streams=(topology.RUNS, topology.TIMERS, topology.INTAKE, topology.DEAD),
    consumers=(
        f"{topology.TIMERS}.{topology.TIMER_RELAY}",
        f"{topology.INTAKE}.{topology.INTAKE_RELAY}",
    ),
    buckets=(
        topology.WORKFLOWS,
        topology.RUN_KEYS,
        topology.AGENTS,
        topology.SNAPSHOTS,
        topology.LEASES,
        topology.WAITS,
        topology.MEMBERS,
        topology.LAYOUTS,
    ),
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
        shards: Shards,
        relays: tuple[PullLoop, ...],
        commands: CommandServer,
        parts: Parts,
    ) -> None:
        self._runtime = runtime
        self._shards = shards
        self._relays = relays
        self._commands = commands
        self._parts = parts
        runtime.health.add("consumers", self._stalled)
        runtime.health.add("shards", shards.problem)

    async def start(self) -> None:
        """Own shards, relay timers, answer commands."""
        for pool in (topology.AGENTS_POOL, topology.LLM_POOL):
            await self._parts.pools.made(pool, self._runtime.settings.namespace)
        self._runtime.spawn(self._parts.members.run(), name="members")
        self._runtime.spawn(self._shards.run(), name="shards")
        for relay in self._relays:
            self._runtime.spawn(relay.run(), name="relay")
        self._runtime.spawn(self._parts.janitor.run(), name="janitor")
        await self._commands.start()

    async def stop(self) -> None:
        """Answer what was asked, give back unrelayed timers; shards are simply left."""
        await self._commands.stop()
        for relay in self._relays:
            await relay.stop(self._runtime.settings.drain_s)
        await self._parts.window.close()

    def _stalled(self) -> str | None:
        if max(relay.silent for relay in self._relays) < _STALLED:
            return None
        return "a consumer does not answer; 'segue bus apply' makes it if it is missing"


def build(
    settings: Settings, runtime: Runtime, *, features: frozenset[str] = SUPPORTED
) -> Orchestrator:
    """Wire the orchestrator; `features` are the constructs of the language that it runs."""
    parts = wire(settings, runtime, features=features)
    commands = CommandServer(runtime)
    for group in _groups(parts, runtime):
        group.register(commands)
    shards = Shards(
        runtime.bus,
        members=parts.members,
        clock=runtime.clock,
        read=partial(_shard, parts.engine, runtime),
    )
    return Orchestrator(
        runtime,
        shards=shards,
        relays=_relays(settings, runtime, parts),
        commands=commands,
        parts=parts,
    )


def _fsck(parts: Parts, runtime: Runtime) -> Fsck:
    bus = runtime.bus
    return Fsck(
        loader=parts.loader,
        waits=parts.waits,
        pools=parts.pools,
        timers=Journal(bus, topology.TIMERS),
        leases=Journal(bus, f"KV_{topology.LEASES}"),
        clock=runtime.clock,
    )


class Group(Protocol):
    """Handlers that belong together."""

    def register(self, server: CommandServer) -> None:
        """Serve their commands."""
        ...


def _groups(parts: Parts, runtime: Runtime) -> tuple[Group, ...]:
    """Return the handlers of all commands."""
    bus, journal, loader = runtime.bus, parts.journal, parts.loader
    standing = Standing(bus, loader, parts.writer, runtime.ids)
    checkpoints = Checkpoints(journal, loader)
    return (
        Handlers(
            admission=parts.admission,
            standing=standing,
            pools=parts.pools,
            journal=journal,
            listing=Listing(journal, loader, parts.snapshots),
        ),
        CatalogueHandlers(parts.admission, parts.catalogue),
        ControlHandlers(standing, journal=journal, snapshots=KeyValue(bus, topology.SNAPSHOTS)),
        WaitHandlers(
            standing,
            writer=parts.writer,
            payloads=parts.payloads,
            ids=runtime.ids,
            journal=journal,
            waits=parts.waits,
            leases=Journal(bus, f"KV_{topology.LEASES}"),
        ),
        HistoryHandlers(
            Forks(
                parts.admission,
                checkpoints=checkpoints,
                outputs=parts.outputs,
                payloads=parts.payloads,
            ),
            Diffs(checkpoints, parts.outputs),
            Replays(parts.admission, checkpoints=checkpoints, loader=loader, journal=journal),
        ),
        FsckHandlers(_fsck(parts, runtime), journal),
    )


def _relays(settings: Settings, runtime: Runtime, parts: Parts) -> tuple[PullLoop, ...]:
    """Return the loops that bring timers and users' events into journals."""

    def relay(stream: str, consumer: str, handler: Handler) -> PullLoop:
        return PullLoop(
            runtime.bus,
            stream=stream,
            consumer=consumer,
            handler=handler,
            dead_letters=parts.dead,
            concurrency=_RELAYS,
            ack_wait_s=settings.ack_wait_s,
        )

    return (
        relay(topology.TIMERS, topology.TIMER_RELAY, parts.timers.relay),
        relay(topology.INTAKE, topology.INTAKE_RELAY, parts.intake.relay),
    )


def _shard(engine: Engine, runtime: Runtime, consumer: str) -> PinnedConsumer:
    """Return the loop over one shard consumer, with a cache that ends with its pin."""
    cache = engine.new_cache()
    return PinnedConsumer(
        runtime.bus,
        stream=topology.RUNS,
        consumer=consumer,
        group=topology.PIN_GROUP,
        clock=runtime.clock,
        on_batch=partial(engine.on_batch, cache),
        on_takeover=cache.clear,
    )
