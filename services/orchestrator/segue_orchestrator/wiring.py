"""Wiring: which parts is the orchestrator made of, and what does each need?"""

from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import Final

from segue_contracts.v1 import topology
from segue_contracts.v1.dead import dead_letter
from segue_orchestrator.core.plan import SUPPORTED
from segue_orchestrator.settings import Settings
from segue_orchestrator.shell.admission import Admission
from segue_orchestrator.shell.catalogue import Catalogue
from segue_orchestrator.shell.claims import Claims
from segue_orchestrator.shell.contents import Contents
from segue_orchestrator.shell.definitions import Definitions
from segue_orchestrator.shell.engine import Engine
from segue_orchestrator.shell.intake import Intake
from segue_orchestrator.shell.janitor import Janitor
from segue_orchestrator.shell.leases import Leases
from segue_orchestrator.shell.live import Loader
from segue_orchestrator.shell.neighbours import Neighbours
from segue_orchestrator.shell.outputs import Outputs
from segue_orchestrator.shell.pools import Pools
from segue_orchestrator.shell.snapshots import Snapshots
from segue_orchestrator.shell.timers import Timers
from segue_orchestrator.shell.wait_index import WaitIndex
from segue_orchestrator.shell.window import Window
from segue_orchestrator.shell.work import Ports
from segue_orchestrator.shell.writer import Writer
from segue_shared.clock import rfc3339
from segue_shared.dead import DeadLetters
from segue_shared.journal import Journal
from segue_shared.keyvalue import KeyValue
from segue_shared.layouts import settled_up_to
from segue_shared.members import Member, Members, common_features
from segue_shared.payloads import Payloads
from segue_shared.service import Runtime

NAME: Final = "orchestrator"


@dataclass(frozen=True, slots=True)
class Parts:
    """What commands, shards and relays are made of."""

    journal: Journal
    payloads: Payloads
    outputs: Outputs
    snapshots: Snapshots
    loader: Loader
    writer: Writer
    waits: WaitIndex
    pools: Pools
    timers: Timers
    catalogue: Catalogue
    admission: Admission
    dead: DeadLetters
    intake: Intake
    engine: Engine
    window: Window
    janitor: Janitor
    members: Members


def wire(settings: Settings, runtime: Runtime, *, features: frozenset[str] = SUPPORTED) -> Parts:
    """Make the parts.

    Args:
        settings: What can be configured.
        runtime: What every service is built on.
        features: The constructs of the language that this instance runs.
    """
    bus, clock = runtime.bus, runtime.clock
    journal, payloads = Journal(bus, topology.RUNS), Payloads(bus, topology.PAYLOADS)
    definitions = Definitions(KeyValue(bus, topology.WORKFLOWS))
    outputs = Outputs(journal, payloads)
    snapshots = Snapshots(KeyValue(bus, topology.SNAPSHOTS), payloads, outputs)
    loader = Loader(journal, definitions, payloads, outputs, snapshots)
    writer = Writer(bus, clock)
    members = _members(runtime, features)
    waits = WaitIndex(KeyValue(bus, topology.WAITS), Journal(bus, f"KV_{topology.WAITS}"))
    catalogue = Catalogue(
        KeyValue(bus, topology.WORKFLOWS), Journal(bus, f"KV_{topology.WORKFLOWS}"), clock
    )
    ports = Ports(
        loader=loader,
        contents=Contents(payloads, outputs),
        pools=Pools(bus, clock, ack_wait_s=settings.ack_wait_s),
        timers=Timers(bus, clock),
        leases=Leases(KeyValue(bus, topology.LEASES), journal, writer, clock),
        waits=waits,
        neighbours=Neighbours(
            writer,
            outputs=outputs,
            payloads=payloads,
            definitions=definitions,
            snapshots=snapshots,
        ),
        window=_window(settings, runtime, members),
        writer=writer,
        dead=DeadLetters(bus, service=NAME, clock=clock, framer=dead_letter),
    )
    return Parts(
        journal=journal,
        payloads=payloads,
        outputs=outputs,
        snapshots=snapshots,
        loader=loader,
        writer=writer,
        waits=waits,
        pools=ports.pools,
        timers=ports.timers,
        catalogue=catalogue,
        admission=_admission(settings, runtime, loader, catalogue, members),
        dead=ports.dead,
        intake=Intake(waits, payloads, writer),
        engine=Engine(ports),
        window=ports.window,
        janitor=_janitor(settings, runtime, ports),
        members=members,
    )


def _members(runtime: Runtime, features: frozenset[str]) -> Members:
    me = Member(
        service=NAME,
        instance=runtime.settings.instance,
        version=version("segue-orchestrator"),
        features=tuple(sorted(features)),
        started_at=rfc3339(runtime.clock.now_ms()),
    )
    return Members(KeyValue(runtime.bus, topology.MEMBERS), me=me, clock=runtime.clock)


def _window(settings: Settings, runtime: Runtime, members: Members) -> Window:
    def size_of(pool: str) -> int:
        return settings.pool_windows.get(pool, settings.pool_window)

    return Window(runtime.bus, runtime.clock, size_of=size_of, share=lambda: len(members.live))


def _admission(
    settings: Settings, runtime: Runtime, loader: Loader, catalogue: Catalogue, members: Members
) -> Admission:
    bus, clock = runtime.bus, runtime.clock
    keys = KeyValue(bus, topology.RUN_KEYS)

    return Admission(
        bus,
        clock=clock,
        ids=runtime.ids,
        definitions=loader.definitions,
        catalogue=catalogue,
        payloads=loader.payloads,
        journal=loader.journal,
        claims=Claims(keys, clock, window_s=settings.retention_window_s),
        agents=Journal(bus, f"KV_{topology.AGENTS}"),
        supported=lambda: common_features(members.live),
        own=frozenset(members.me.features),
    )


def _janitor(settings: Settings, runtime: Runtime, ports: Ports) -> Janitor:
    loader = ports.loader
    return Janitor(
        journal=loader.journal,
        loader=loader,
        snapshots=loader.snapshots,
        payloads=loader.payloads,
        turns=KeyValue(runtime.bus, topology.LEASES),
        writer=ports.writer,
        clock=runtime.clock,
        window_s=settings.retention_window_s,
        every_s=settings.janitor_every_s,
        settled=partial(settled_up_to, runtime.bus, topology.shard_layout()),
        sweep_timers=ports.timers.sweep,
    )
