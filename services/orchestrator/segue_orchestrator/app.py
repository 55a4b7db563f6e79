"""The composition root: how is the orchestrator put together?"""

from functools import partial

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

NAME = "orchestrator"

REQUIRES = Requires(
    streams=(topology.RUNS, topology.TIMERS, topology.DEAD),
    buckets=(topology.WORKFLOWS, topology.RUN_KEYS, topology.AGENTS),
    object_buckets=(topology.PAYLOADS,),
)


class Orchestrator:
    """Shard consumers, the timer relay and the command handlers of one process."""

    def __init__(self, settings: Settings, runtime: Runtime) -> None:
        self._settings = settings
        self._runtime = runtime
