"""Support: a gateway over a bus and an events service in memory."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, TypeVar, cast

import httpx
from nats.aio.msg import Msg

from segue_contracts.envelope import Message, decode_event
from segue_contracts.v1.commands import CancelAccepted, RunAccepted, RunList
from segue_contracts.v1.registry import decode
from segue_contracts.v1.runs import RunSummary, RunView
from segue_gateway.app import Gateway, build
from segue_gateway.settings import Settings
from segue_shared.bus import Bus
from segue_shared.health import Health
from segue_shared.metrics import Metrics
from segue_shared.runtime import Runtime
from segue_testing.fakes import FakeClock, FakeIds

T = TypeVar("T")
Hear = Callable[[Msg], Awaitable[None]]

RUN = "run00000000000000000000001"
CURSOR = "e1-41"
ACCEPTED = RunAccepted(run=RUN, workflow="review", definition="d" * 64, cursor=CURSOR)
VIEW = RunView(
    run=RUN,
    namespace="default",
    workflow="review",
    definition="d" * 64,
    status="running",
    started_ms=1,
    cursor=CURSOR,
)
LISTED = RunList(runs=[RunSummary(run=RUN, workflow="review", status="running", started_ms=1)])


class FakeBus:
    """Answers commands by their subject, and remembers what it was asked."""

    def __init__(self) -> None:
        self.connected = True
        self.asked: list[tuple[str, object]] = []
        self.told: list[tuple[str, Message]] = []
        self.hearing: dict[str, Hear] = {}
        self.answers: dict[str, object] = {
            "segue.v1.default.cmd.orchestrator.start_run": ACCEPTED,
            "segue.v1.default.cmd.orchestrator.get_run": VIEW,
            "segue.v1.default.cmd.orchestrator.list_runs": LISTED,
            "segue.v1.default.cmd.orchestrator.cancel_run": CancelAccepted(run=RUN),
        }

    def answer(self, verb: str, what: object) -> None:
        """Choose what a command of the orchestrator answers, or raises."""
        self.answers[f"segue.v1.default.cmd.orchestrator.{verb}"] = what

    async def call(
        self,
        subject: str,
        request: object,
        result: type[T],
        *,
        timeout_s: float = 5,
        silence_s: float = 0,
    ) -> T:
        """Answer a command."""
        self.asked.append((subject, request))
        answer = self.answers[subject]
        if isinstance(answer, Exception):
            raise answer
        if callable(answer):
            answer = await answer(request)
        assert isinstance(answer, result)
        return answer

    async def publish(self, subject: str, data: bytes) -> None:
        """Remember what was told to nobody in particular."""
        body = decode(decode_event(data))
        assert body is not None
        self.told.append((subject, body))

    async def subscribe(self, subject: str, handler: Hear) -> SimpleNamespace:
        """Take who hears what is said on a subject."""
        self.hearing[subject] = handler

        async def unsubscribe() -> None:
            del self.hearing[subject]

        return SimpleNamespace(unsubscribe=unsubscribe)

    async def say(self, data: bytes) -> None:
        """Say something on the subject that the gateway listens to."""
        [hear] = self.hearing.values()
        await hear(cast("Msg", SimpleNamespace(data=data)))


class FakeEvents(httpx.AsyncBaseTransport, httpx.AsyncByteStream):
    """An events service whose one stream is written by the test."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []
        self.error: Exception | None = None
        self.refusal: httpx.Response | None = None
        self.chunks: asyncio.Queue[bytes | Exception | None] = asyncio.Queue()
        self.closed = asyncio.Event()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer with the stream, or with what the test prefers."""
        self.requests.append(request)
        if self.error is not None:
            raise self.error
        headers = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-store"}
        return self.refusal or httpx.Response(200, headers=headers, stream=self)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Give what the test writes, as it comes."""
        while (chunk := await self.chunks.get()) is not None:
            if isinstance(chunk, Exception):
                raise chunk
            yield chunk

    async def aclose(self) -> None:
        """Remember that the gateway has closed the stream."""
        self.closed.set()


class Stage:
    """The gateway on fakes."""

    def __init__(self, **settings: Any) -> None:
        self.bus = FakeBus()
        self.events = FakeEvents()
        values = Settings(**({"events_url": "http://events.test"} | settings))
        runtime = Runtime(
            settings=values,
            bus=cast("Bus", self.bus),
            clock=FakeClock(),
            ids=FakeIds(),
            metrics=Metrics("gateway"),
            health=Health(),
        )
        self.gateway: Gateway = build(values, runtime, self.events)
        transport = httpx.ASGITransport(cast("Any", self.gateway.asgi), raise_app_exceptions=False)
        self.http = httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080")

    @property
    def command(self) -> object:
        """The last command that was sent."""
        return self.bus.asked[-1][1]


@asynccontextmanager
async def staged(**settings: Any) -> AsyncIterator[Stage]:
    """Run the gateway."""
    stage = Stage(**settings)
    await stage.gateway.start()
    async with stage.http:
        yield stage
    await stage.gateway.stop()


def code_of(response: httpx.Response, status: int) -> str:
    """Check that an answer is a problem, and return its code."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document = response.json()
    assert document["status"] == status
    assert document["type"] == f"urn:segue:problem:{document['code']}"
    assert document["title"]
    assert document["detail"]
    return str(document["code"])
