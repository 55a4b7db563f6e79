"""What do the tests of the providers service have in common?"""

import asyncio
import fnmatch
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from typing import TypeVar, cast

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg
from pydantic import SecretStr

from segue_contracts.envelope import Message, decode_event
from segue_contracts.v1 import subjects
from segue_contracts.v1.chat import (
    ChatMessage,
    ChatRequest,
    ChatResponse,
    Cost,
    Part,
    Role,
    Stop,
    StopReason,
    Text,
    Tool,
    ToolResult,
    Usage,
)
from segue_contracts.v1.deltas import Delta, StepDelta
from segue_contracts.v1.events import frame
from segue_contracts.v1.registry import decode
from segue_contracts.v1.steps import StepScheduled
from segue_contracts.v1.values import Value
from segue_providers.app import Providers, build
from segue_providers.core.answer import (
    AnswerEvent,
    Began,
    Closed,
    Grew,
    Metered,
    Opened,
    Stopped,
)
from segue_providers.core.configuration import Provider
from segue_providers.settings import Settings
from segue_providers.shell.adapters.offline import OfflineModelClient
from segue_providers.shell.completions import Claim, Completions
from segue_providers.shell.ports import Embedded, ModelCallError, ModelClient
from segue_shared.bus import Bus, Stored
from segue_shared.delivery import Delivery
from segue_shared.health import Health
from segue_shared.metrics import Metrics
from segue_shared.runtime import Runtime
from segue_shared.tracing import Tracer
from segue_testing.fakes import FakeClock, FakeIds

T = TypeVar("T")

RUN = "01hzy0000000000000000000aa"
AT = "2027-01-15T08:00:00.000Z"
KEYS = ("ANTHROPIC_API_KEY", "GEMINI_API_KEY", "GOOGLE_API_KEY", "OPENAI_API_KEY")


def said(text: str, role: Role = "user") -> ChatMessage:
    """Return a message of text."""
    return ChatMessage(role=role, parts=[Text(text=text)])


def asking(*texts: str) -> ChatRequest:
    """Return a request of user messages."""
    return ChatRequest(id="request", messages=[said(text) for text in texts])


def a_tool(name: str, *required: str, **properties: object) -> Tool:
    """Return a tool with required parameters; those without a schema take anything."""
    parameters = {"type": "object", "required": list(required), "properties": properties}
    return Tool(name=name, description="A tool.", parameters=parameters)


def answered(name: str, content: object, *, is_error: bool = False) -> ChatMessage:
    """Return a tool's answer."""
    text = content if isinstance(content, str) else msgspec.json.encode(content).decode()
    part = ToolResult(tool_call_id=f"call-{name}", name=name, content=text, is_error=is_error)
    return ChatMessage(role="tool", parts=[part])


def text_of(response: ChatResponse) -> str:
    """Return an answer's text."""
    return "".join(part.text for part in response.message.parts if isinstance(part, Text))


def a_response(*parts: Part, provider: str = "claude", text: str = "done") -> ChatResponse:
    """Return what a model might answer."""
    return ChatResponse(
        provider=provider,
        message=ChatMessage(role="assistant", parts=list(parts) or [Text(text=text)]),
        stop=Stop(reason="end"),
        model_served="model-1",
        usage=Usage(input_total=7, output_total=3),
        cost=Cost(usd="0.02"),
    )


def speaking(text: str = "done", *, reason: StopReason = "end") -> list[AnswerEvent]:
    """Return what a provider says that answers with a text."""
    return [
        Began(model="model-1"),
        Opened(index=0, kind="text"),
        Grew(index=0, text=text),
        Closed(index=0),
        Metered(usage=Usage(input_total=7, input_uncached=7, output_total=3)),
        Stopped(stop=Stop(reason=reason)),
    ]


class FakeModelClient:
    """Answers by a script, one entry a call: events, errors in their place, or what to wait for."""

    def __init__(self, *script: Iterable[object]) -> None:
        self._script = [list(steps) for steps in script]
        self.requests: list[ChatRequest] = []
        self.open = 0
        """Calls that were begun and not ended."""

    async def answer(self, request: ChatRequest) -> AsyncGenerator[AnswerEvent, None]:
        """Do what comes next in the script."""
        self.requests.append(request)
        steps = self._script.pop(0) if self._script else speaking()
        self.open += 1
        try:
            for step in steps:
                if isinstance(step, Exception):
                    raise step
                if isinstance(step, asyncio.Event):
                    await step.wait()
                else:
                    yield cast("AnswerEvent", step)
        finally:
            self.open -= 1

    async def embed(self, texts: Sequence[str], *, model: str, dimensions: int) -> Embedded:
        """Return a vector of each text's length."""
        width = dimensions or 2
        usage = Usage(input_total=len(texts), input_uncached=len(texts))
        vectors = [[float(len(text))] * width for text in texts]
        return Embedded(vectors=vectors, model=model, usage=usage)

    async def count(self, request: ChatRequest) -> int | None:
        """Count messages for tokens."""
        return len(request.messages)

    async def probe(self) -> None:
        """Be there."""


class FakeCompletions:
    """Answers by the ids of their requests, in memory."""

    def __init__(self) -> None:
        self.kept: dict[str, ChatResponse] = {}
        self.released: list[str] = []
        self.failure: Exception | None = None
        """What claiming raises."""

    async def claim(
        self, namespace: str, request: ChatRequest, *, deadline_ms: int
    ) -> Claim | ChatResponse:
        """Return the answer that is kept, or the right to give one."""
        if self.failure is not None:
            raise self.failure
        key = f"{namespace}/{request.id}"
        return self.kept.get(key) or Claim(key=key, holder=str(deadline_ms), fingerprint="")

    async def keep(self, _claim: Claim) -> None:
        """Wait until cancelled."""
        await asyncio.Event().wait()

    async def store(self, claim: Claim, response: ChatResponse, *, ttl_s: int) -> ChatResponse:
        """Keep an answer."""
        assert ttl_s > 0
        self.kept[claim.key] = response
        return response

    async def release(self, claim: Claim) -> None:
        """Note that a claim was given up."""
        self.released.append(claim.key)


async def becomes(true: Callable[[], bool]) -> None:
    """Let others run until something is so."""
    async with asyncio.timeout(20):
        while not true():  # noqa: ASYNC110 - fakes have no event for it
            await asyncio.sleep(0)


def failing(error: str, message: str = "it broke") -> ModelCallError:
    """Return a provider's error."""
    return ModelCallError(error, message)  # type: ignore[arg-type]


class FakeBus:
    """A broker in memory, as far as the service uses one."""

    def __init__(self) -> None:
        self.published: list[tuple[str, bytes]] = []
        self.stored: dict[str, bytes] = {}
        self.calls: list[tuple[str, object]] = []
        self.answers: list[object] = []
        self.publish_error: Exception | None = None
        self.reads = 0

    async def publish(
        self, subject: str, data: bytes, *, headers: Mapping[str, str] | None = None
    ) -> None:
        """Note a plain message."""
        if self.publish_error is not None:
            raise self.publish_error
        self.published.append((subject, data))

    async def create(self, subject: str, data: bytes, *, guard: str = "") -> Stored:
        """Store an event unless its group has one."""
        if any(_fits(taken, guard or subject) for taken in self.stored):
            return Stored(0, created=False)
        self.stored[subject] = data
        return Stored(len(self.stored), created=True)

    async def call(
        self, subject: str, request: object, result: type[T], *, timeout_s: float = 5
    ) -> T:
        """Give the next answer, or raise it."""
        self.calls.append((subject, request))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return cast("T", answer)

    async def exchange(
        self,
        subject: str,
        data: bytes,
        *,
        timeout_s: float = 5,
        headers: dict[str, str] | None = None,
        done: Callable[[Msg], bool] | None = None,
    ) -> list[Msg]:
        """Answer the direct get of the newest messages."""
        self.reads += 1
        patterns = msgspec.json.decode(data)["multi_last"]
        hits = [s for s in self.stored if any(_fits(s, pattern) for pattern in patterns)]
        places = {"Nats-Sequence": "1", "Nats-Time-Stamp": "2027-01-15T08:00:00Z"}
        found = [self._message({**places, "Nats-Subject": hit}) for hit in hits]
        return [*found, self._message({"Status": "204"})]

    def bodies(self, pattern: str) -> list[Message]:
        """Return the decoded plain messages on a pattern."""
        return [body_of(data) for subject, data in self.published if _fits(subject, pattern)]

    def deltas(self) -> list[Delta]:
        """Return the deltas that were published."""
        return [one.delta for one in self.bodies("*.delta.*") if isinstance(one, StepDelta)]

    def _message(self, headers: dict[str, str]) -> Msg:
        return Msg(_client=Client(), subject="", headers=headers)


def _fits(subject: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(subject, pattern)


def body_of(data: bytes) -> Message:
    """Decode a framed event's body."""
    body = decode(decode_event(data))
    assert body is not None
    return body


class Stage:
    """The service on fakes."""

    def __init__(
        self,
        settings: Settings | None = None,
        clients: Mapping[str, ModelClient] | None = None,
        *,
        environ: Mapping[str, str] | None = None,
        draw: float = 0.0,
        tracer: Tracer | None = None,
    ) -> None:
        self.bus = FakeBus()
        self.clock = FakeClock()
        self.health = Health()
        self.metrics = Metrics("providers", template=subjects.template)
        self.completions = FakeCompletions()
        used = settings or Settings()
        self.runtime = Runtime(
            settings=used,
            bus=cast("Bus", self.bus),
            clock=self.clock,
            ids=FakeIds(),
            metrics=self.metrics,
            health=self.health,
            tracer=tracer,
        )
        self.clients = clients or {}
        self.service: Providers = build(
            used,
            self.runtime,
            connect=self._connect if clients is not None else None,
            environ=environ or {},
            draw=lambda: draw,
            completions=cast("Completions", self.completions),
        )

    def _connect(self, provider: Provider, _key: SecretStr | None) -> ModelClient:
        """Return the fake of a provider by its wire, or the stand-in."""
        if provider.wire == "offline":
            return OfflineModelClient()
        return self.clients.get(provider.wire, FakeModelClient())

    async def chat(self, request: ChatRequest) -> ChatResponse:
        """Ask for an answer."""
        return await self.service.parts.router.chat(request, namespace="default")

    def outcome(self) -> tuple[str, Message]:
        """Return the one outcome that was stored: its status and its body."""
        [subject] = [subject for subject in self.stored_subjects() if ".outcome." in subject]
        return subject.rpartition(".")[2], body_of(self.bus.stored[subject])

    def stored_subjects(self) -> list[str]:
        """Return the subjects of all stored events."""
        return list(self.bus.stored)


def a_task(given: object = None, **fields: object) -> StepScheduled:
    """Return an LLM step's task."""
    task = StepScheduled(
        run=RUN,
        namespace="default",
        workflow="w",
        step="Sum up",
        attempt=1,
        pool="llm",
        kind="llm",
        input=Value(inline=given if given is not None else {"prompt": "Say it. Twice."}),
    )
    return msgspec.structs.replace(task, **fields)


PREFIX = subjects.run_prefix("default", RUN)
TOKEN = subjects.escape_key("Sum up")


def delivered(
    task: StepScheduled | bytes, *, times: int = 1, time_ms: int = 1_800_000_000_000
) -> Delivery:
    """Return a delivery of a task, fresh by the fake clock."""
    subject = subjects.scheduled(PREFIX, TOKEN, 1, pool="llm", priority="p2")
    data = (
        task
        if isinstance(task, bytes)
        else frame(task, subject=subject, source="segue/orchestrator", about=RUN, time=AT)
    )
    return Delivery(
        subject=subject,
        data=data,
        stream="RUNS",
        sequence=5,
        time_ms=time_ms,
        delivered=times,
        reply="reply",
        headers={},
    )


def hint(body: Message) -> Msg:
    """Return a hint as it arrives."""
    data = frame(body, subject="s", source="segue/orchestrator", about=RUN, time=AT)
    return Msg(_client=Client(), subject="s", data=data)
