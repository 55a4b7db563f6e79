"""The composition root: how is the agents service put together?"""

from typing import Final

import msgspec

from segue_agents.core.catalogue import Catalogue
from segue_agents.settings import Settings
from segue_agents.shell.agent_step import AgentStep
from segue_agents.shell.attempt import Equipment
from segue_agents.shell.builtin import builtin_manifests
from segue_agents.shell.model import ModelCaller
from segue_agents.shell.ports import AgentBucket, Toolbox
from segue_agents.shell.registry import Registry
from segue_agents.shell.tool_runner import ToolRunner
from segue_agents.shell.toolbox import RepositoryToolbox
from segue_agents.shell.tools import REPOSITORY_TOOLS
from segue_agents.shell.turn_log import TurnLog
from segue_contracts.v1 import subjects, topology
from segue_contracts.v1.commands import AgentList, ListAgents
from segue_contracts.v1.registry import LIST_AGENTS
from segue_shared.bus import Bus
from segue_shared.commands import CommandServer, Context
from segue_shared.journal import Journal
from segue_shared.keyvalue import KeyValue
from segue_shared.payloads import Payloads
from segue_shared.service import Requires, Runtime
from segue_worker.cancellations import Cancellations
from segue_worker.pool import Pool
from segue_worker.ports import JournalReader, PayloadStore
from segue_worker.publisher import Publisher
from segue_worker.worker import Worker

NAME: Final = "agents"
SOURCE: Final = f"segue/{NAME}"

REQUIRES: Final = Requires(
    streams=(topology.RUNS, topology.DEAD),
    buckets=(topology.AGENTS,),
    object_buckets=(topology.PAYLOADS,),
)


class Stores(msgspec.Struct, frozen=True, kw_only=True):
    """What the service reads and writes beside plain events."""

    journal: JournalReader
    """The journal of runs."""
    payloads: PayloadStore
    """Values of any size."""
    agents: AgentBucket
    """The published manifests."""


class Agents:
    """The pool's worker, the registry and the command handlers of one process."""

    def __init__(
        self, settings: Settings, runtime: Runtime, *, toolbox: Toolbox, stores: Stores
    ) -> None:
        self._settings = settings
        self._runtime = runtime
        self._catalogue = Catalogue(builtin_manifests(), tools=toolbox.names)
        self.cancellations: Final = Cancellations()
        """Hints that work is no longer wanted."""
        self._registry = Registry(stores.agents)
        self._commands = CommandServer(runtime)
        self._commands.add(
            LIST_AGENTS, subjects.command("*", NAME, LIST_AGENTS.verb), self._list_agents
        )
        publisher = Publisher(runtime.bus, clock=runtime.clock, ids=runtime.ids, source=SOURCE)
        self.equipment: Final = self._equip(publisher, toolbox, stores)
        """What attempts are carried out with."""
        self.worker: Final = Worker(
            AgentStep(self.equipment),
            runtime=runtime,
            publisher=publisher,
            journal=stores.journal,
            cancellations=self.cancellations,
            check_s=settings.settled_check_s,
        )
        """Who settles tasks."""
        self._pool = Pool(
            runtime,
            name=topology.AGENTS_POOL,
            service=NAME,
            worker=self.worker,
            concurrency=settings.concurrency,
        )

    async def start(self) -> None:
        """Register the agents, answer commands, and take tasks as soon as there is a pool."""
        await self._registry.publish(self._settings.namespace, self._catalogue)
        await self._runtime.bus.subscribe(subjects.controls("cancel"), self.cancellations.on_hint)
        await self._commands.start()
        self._pool.start()

    async def stop(self) -> None:
        """Take nothing new, and finish or give back what runs."""
        await self._pool.stop()
        await self._commands.stop()

    async def _list_agents(self, _request: ListAgents, context: Context) -> AgentList:
        return await self._registry.listed(context.namespace)

    def _equip(self, publisher: Publisher, toolbox: Toolbox, stores: Stores) -> Equipment:
        runtime, settings = self._runtime, self._settings
        return Equipment(
            catalogue=self._catalogue,
            toolbox=toolbox,
            payloads=stores.payloads,
            turns=TurnLog(stores.journal, payloads=stores.payloads, publisher=publisher),
            model=ModelCaller(
                runtime.bus,
                payloads=stores.payloads,
                ids=runtime.ids,
                source=SOURCE,
                clock=runtime.clock,
                timeout_s=settings.model_timeout_s,
                silence_s=settings.model_silence_s,
            ),
            tools=ToolRunner(publisher, concurrency=settings.tool_concurrency),
        )


def build(
    settings: Settings,
    runtime: Runtime,
    *,
    toolbox: Toolbox | None = None,
    stores: Stores | None = None,
) -> Agents:
    """Wire the service.

    Args:
        settings: What the operator chose.
        runtime: Bus, clock, ids, metrics and health.
        toolbox: The tools; those on repositories by default.
        stores: Journal, payloads and manifests; the bus's own by default.
    """
    return Agents(
        settings,
        runtime,
        toolbox=toolbox or RepositoryToolbox(REPOSITORY_TOOLS),
        stores=stores or _stores_on(runtime.bus),
    )


def _stores_on(bus: Bus) -> Stores:
    return Stores(
        journal=Journal(bus, topology.RUNS),
        payloads=Payloads(bus, topology.PAYLOADS),
        agents=KeyValue(bus, topology.AGENTS),
    )
