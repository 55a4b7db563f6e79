"""A site: which processes does a test under faults run, and which faults hit them?"""

import asyncio
import json
import random
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, Literal, NamedTuple

import msgspec
from support.faults_parts import ACK_WAIT_S, Part, Server, service
from support.wait import until

from segue_contracts.topology import Topology
from segue_contracts.v1.topology import PIN_TIMEOUT_S, RUNS, topology
from segue_shared.bootstrap import apply
from segue_shared.bus import Bus
from segue_shared.errors import SegueError
from segue_testing.cluster import cluster_configs

ORCHESTRATORS: Final = 2
WORKERS: Final = 2
_UP_S: Final = 60.0

What = Literal["kill", "freeze"]


class Fault(NamedTuple):
    """Something that happens to a part."""

    what: What
    part: str
    """The first letters of its name."""


SINGLE: Final = tuple(
    Fault(what, part) for part in ("orchestrator", "worker", "nats") for what in ("kill", "freeze")
)
"""Each kind of fault once."""

_FROZEN_S: Final = {
    "orchestrator": PIN_TIMEOUT_S + 1.5,
    "worker": ACK_WAIT_S + 1.5,
    "nats": PIN_TIMEOUT_S + 1.5,
}
"""How long each part stays frozen: longer than others wait for it."""


_AWAY_S: Final = (0.0, 3.0)
"""How long a part stays dead, at least and at most."""


class Site:
    """Brokers, orchestrators and workers as processes."""

    def __init__(self, folder: Path, servers: Sequence[Server], settings: dict[str, str]) -> None:
        self.servers: Final = servers
        self.url: Final = ",".join(server.url for server in servers)
        names = [("segue_orchestrator", f"orchestrator-{i}") for i in range(ORCHESTRATORS)]
        names += [("support.faults_worker", f"worker-{i}") for i in range(WORKERS)]
        self.services: Final = [
            service(module, name, url=self.url, folder=folder, **settings) for module, name in names
        ]

    @property
    def parts(self) -> list[Part]:
        """All processes."""
        return [*self.servers, *self.services]

    def find(self, name: str) -> list[Part]:
        """Return the parts whose names begin so."""
        return [part for part in self.parts if part.name.startswith(name)]

    async def connect(self) -> Bus:
        """Connect as a client does."""
        return await Bus.connect(self.url, name="faults", max_wait_s=20)

    async def apply_topology(self, replicas: int) -> None:
        """Give the brokers what Segue needs, however long they take to agree."""

        async def applied() -> bool:
            try:
                await apply(bus, _small(topology()), replicas=replicas)
            except SegueError:
                return False
            return True

        bus = await self.connect()
        await until(applied, patience_s=_UP_S)
        await bus.close()

    def problems(self) -> list[str]:
        """Return how parts ended that nobody killed."""
        return [problem for part in self.parts if (problem := part.problem())]


_SMALL: Final = 2 * 1024 * 1024


def _small(wanted: Topology) -> Topology:
    """Return a topology that fits a small disk.

    What reserves space reserves little of it, and relays wait for a dead reader no longer than
    pools do.
    """
    streams = tuple(
        msgspec.structs.replace(one, max_bytes=_SMALL) if one.max_bytes > 0 else one
        for one in wanted.streams
    )
    consumers = tuple(
        one if one.pinned_group else msgspec.structs.replace(one, ack_wait_s=ACK_WAIT_S)
        for one in wanted.consumers
    )
    return msgspec.structs.replace(wanted, streams=streams, consumers=consumers)


@contextmanager
def site(folder: Path, *, servers: Sequence[Server], **settings: str) -> Iterator[Site]:
    """Run a site for the length of a block; its broker has as many replicas as servers.

    Args:
        folder: Where its files go.
        servers: The broker.
        settings: Further settings of the services, by the names of their fields.
    """
    made = Site(folder, servers, settings)
    with ExitStack() as stack:
        for part in made.parts:
            stack.callback(part.kill)
        for server in servers:
            server.start()
        for server in servers:
            server.greet()
        asyncio.run(made.apply_topology(len(servers)))
        for part in made.services:
            part.start()
        yield made


def single(folder: Path, *, limits: str = "", extra: str = "", store: Path | None = None) -> Server:
    """Return a broker of one server."""
    return Server("nats-0", folder=folder, limits=limits, extra=extra, store=store)


def cluster(folder: Path, *, size: int = 3) -> list[Server]:
    """Return the servers of a cluster."""
    return [
        Server(f"nats-{i}", folder=folder, extra=extra)
        for i, extra in enumerate(cluster_configs(size))
    ]


async def leader_of(bus: Bus) -> str:
    """Return the name of the server that leads the journal, once there is one."""

    async def ask() -> str:
        try:
            answer = json.loads(await bus.request(f"$JS.API.STREAM.INFO.{RUNS}", b"", timeout_s=2))
        except SegueError:
            return ""
        leader: str = answer.get("cluster", {}).get("leader", "")
        return leader

    return await until(ask, patience_s=_UP_S)


class Striker:
    """Lets faults happen, several at once, though never two to one part."""

    def __init__(self, site: Site, chance: random.Random) -> None:
        self._site = site
        self._chance = chance
        self._hit: dict[Part, asyncio.Task[None]] = {}

    def strike(self, fault: Fault) -> Part:
        """Let a fault begin, and return what it hits."""
        part = self._chance.choice(self._site.find(fault.part))
        before = self._hit.get(part)
        away_s = self._chance.uniform(*_AWAY_S) if fault.what == "kill" else _FROZEN_S[fault.part]
        self._hit[part] = asyncio.create_task(_suffer(part, fault.what, away_s, before))
        return part

    async def settle(self) -> None:
        """Wait until everything is up again."""
        await asyncio.gather(*self._hit.values())


async def _suffer(part: Part, what: What, away_s: float, before: asyncio.Task[None] | None) -> None:
    """Go through a fault, and come back as under a supervisor."""
    if before is not None:
        await before
    getattr(part, what)()
    await asyncio.sleep(away_s)  # being away for so long is what the fault is
    if what == "kill":
        part.start()
    else:
        part.thaw()
