"""A world for the agents service: bus, journal, tools and a model in memory."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar, cast

import msgspec
from unit.agents.agent_support import AT, RUN, LookArgs
from unit.worker.worker_world import FakeBus

from segue_agents.app import Agents, Stores, build
from segue_agents.core.calls import Invocation, ToolSpec
from segue_agents.core.findings import ToolReport
from segue_agents.settings import Settings
from segue_contracts.envelope import Event, Message
from segue_contracts.payload import Value
from segue_contracts.v1 import subjects
from segue_contracts.v1.chat import ChatRequest, ChatResponse
from segue_contracts.v1.events import frame
from segue_contracts.v1.steps import StepCompleted, StepFailed, StepScheduled
from segue_shared.bus import Bus
from segue_shared.delivery import Delivery
from segue_shared.errors import PayloadMissingError
from segue_shared.health import Health
from segue_shared.keyvalue import Entry
from segue_shared.metrics import Metrics
from segue_shared.pull import Verdict
from segue_shared.runtime import Runtime
from segue_testing.fakes import FakeClock, FakeIds

T = TypeVar("T")

PREFIX = subjects.run_prefix("default", RUN)
TASK = subjects.scheduled(PREFIX, "scan", 1, pool="agents", priority="p2")
COMPLETED = subjects.outcome(PREFIX, "scan", 1, "completed")
STARTED = subjects.step_started(PREFIX, "scan", 1)
TURN_1 = subjects.turn(PREFIX, "scan", 1, 1)
TOOLS = (
    "lint_code",
    "measure_complexity",
    "find_secrets",
    "find_dangerous_calls",
    "list_dependencies",
    "import_graph",
    "outline",
    "rank_hot_spots",
    "find_slow_patterns",
    "merge_findings",
)

Answer = ChatResponse | Exception | Callable[[ChatRequest], Coroutine[Any, Any, ChatResponse]]


class Killed(BaseException):
    """The process ended here."""


class ModelBus(FakeBus):
    """A journal, and a model that answers by script."""

    def __init__(self, script: Sequence[Answer] = ()) -> None:
        super().__init__()
        self.requests: list[ChatRequest] = []
        self.script = list(script)

    async def call(
        self,
        subject: str,
        request: object,
        result: type[T],
        *,
        timeout_s: float = 5,
        silence_s: float = 0,
    ) -> T:
        """Answer by script: responses in order, by position in the conversation."""
        assert subject == subjects.command("default", "providers", "chat")
        assert isinstance(request, ChatRequest)
        self.requests.append(request)
        answer = self.script.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return cast("T", answer if isinstance(answer, ChatResponse) else await answer(request))


class FakePayloads:
    """Values inline; a reference points at nothing."""

    async def wrap(self, value: object) -> Value:
        """Return the value as it travels."""
        return Value(inline=msgspec.json.decode(msgspec.json.encode(value)))

    async def unwrap(self, value: Value) -> object:
        """Return the value itself."""
        if not isinstance(value.ref, msgspec.UnsetType):
            raise PayloadMissingError(f"payload {value.ref.sha256} is not stored")
        return None if isinstance(value.inline, msgspec.UnsetType) else value.inline


class FakeBucket:
    """Keys and values that count their writes."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}
        self.writes = 0

    async def get(self, key: str) -> Entry | None:
        """Return a key's value."""
        return Entry(self.values[key], 1) if key in self.values else None

    async def put(self, key: str, value: bytes) -> int:
        """Set a key."""
        self.values[key] = value
        self.writes += 1
        return self.writes

    async def keys(self, prefix: str = "") -> list[str]:
        """Return the keys below a prefix, and one that was deleted."""
        return [f"{prefix}.gone", *(key for key in self.values if key.startswith(f"{prefix}."))]


class FakeToolbox:
    """Tools that return a scripted report, raise, or wait."""

    def __init__(self) -> None:
        self.names = frozenset(TOOLS)
        self.runs: list[str] = []
        self.results: dict[str, ToolReport | Exception | asyncio.Event] = {}
        self.bound: Exception | None = None

    async def bind(self, names: Sequence[str], given: Mapping[str, object]) -> "FakeBench":
        """Lay out tools."""
        if self.bound is not None:
            raise self.bound
        return FakeBench(self, names)


class FakeBench:
    """Tools for one task."""

    def __init__(self, toolbox: FakeToolbox, names: Sequence[str]) -> None:
        self.specs = {name: ToolSpec(name=name, description=name, args=LookArgs) for name in names}
        self.repository = "/src/app"
        self.branch = "main"
        self._toolbox = toolbox

    async def run(self, call: Invocation) -> ToolReport:
        """Do as the script says."""
        self._toolbox.runs.append(call.name)
        result = self._toolbox.results.get(call.name, ToolReport(tool=call.name, summary="Fine."))
        if isinstance(result, Exception):
            raise result
        if isinstance(result, asyncio.Event):
            await result.wait()
            return ToolReport(tool=call.name, summary="Late.")
        return result


class World:
    """The service, built on fakes."""

    def __init__(self, *script: Answer, **settings: Any) -> None:
        self.bus = ModelBus(script)
        self.clock = FakeClock()
        self.ids = FakeIds()
        self.toolbox = FakeToolbox()
        self.bucket = FakeBucket()
        self._settings = Settings(instance="here", **settings)
        self.agents = self.rebuilt()

    def rebuilt(self) -> Agents:
        """Build the service anew on the same bus, as after a restart."""
        runtime = Runtime(
            settings=self._settings,
            bus=cast("Bus", self.bus),
            clock=self.clock,
            ids=self.ids,
            metrics=Metrics("agents"),
            health=Health(),
        )
        stores = Stores(journal=self.bus, payloads=FakePayloads(), agents=self.bucket)
        self.agents = build(self._settings, runtime, toolbox=self.toolbox, stores=stores)
        return self.agents

    async def handle(self, *, delivered: int = 1, age_ms: int = 0, **task: Any) -> Verdict:
        """Hand a task to the worker."""
        return await self.agents.worker.handle(
            self.delivery(a_task(**task), delivered=delivered, age_ms=age_ms)
        )

    def delivery(self, data: bytes, *, delivered: int = 1, age_ms: int = 0) -> Delivery:
        """Return a delivery of the pool."""
        return Delivery(TASK, data, 7, self.clock.now_ms() - age_ms, delivered, "$JS.ACK", {})

    def put(self, subject: str, body: Message) -> None:
        """Store an event as somebody else."""
        self.bus.put(subject, body)

    def event(self, subject: str) -> Event:
        """Return a stored event's frame."""
        return self.bus.event(subject)

    def body(self, subject: str) -> Message:
        """Return a stored event's body."""
        return self.bus.body(subject)

    @property
    def outcomes(self) -> list[Message]:
        """All outcomes in the journal."""
        return self.bus.outcomes

    @property
    def turns(self) -> list[int]:
        """The numbers of the turns in the journal."""
        return [int(subject[-1]) for subject in self.bus.stored if ".turn." in subject]


def a_task(*, given: object = None, **fields: Any) -> bytes:
    """Return a framed task for the agent `quality`."""
    task = {
        "run": RUN,
        "namespace": "default",
        "workflow": "review",
        "step": "scan",
        "attempt": 1,
        "pool": "agents",
        "kind": "agent",
        "agent": "quality",
        "input": Value(inline={"repository": "/src/app"} if given is None else given),
    }
    return frame(
        StepScheduled(**{**task, **fields}),
        subject=TASK,
        source="segue/orchestrator",
        about=f"{RUN}/scan",
        time=AT,
        startseq=3,
    )


async def settled(world: World, work: "asyncio.Task[T]") -> T:
    """Move the clock until the work is done."""
    async with asyncio.timeout(10):
        while not work.done():
            await world.clock.advance(0.1)
            await asyncio.sleep(0)
    return work.result()


def completed(world: World) -> StepCompleted:
    """Return the one outcome, a success."""
    [outcome] = world.outcomes
    assert isinstance(outcome, StepCompleted), outcome
    return outcome


def failed(world: World) -> StepFailed:
    """Return the one outcome, a failure."""
    [outcome] = world.outcomes
    assert isinstance(outcome, StepFailed), outcome
    return outcome
