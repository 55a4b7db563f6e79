"""The command server on a real broker: does it answer whatever else waits?"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace

from segue_contracts.envelope import Message
from segue_contracts.v1 import subjects
from segue_shared.bus import Bus
from segue_shared.clock import SystemClock
from segue_shared.commands import CommandServer, Context
from segue_shared.errors import BusUnavailableError, RefusedError, TimedOutError
from segue_shared.health import Health
from segue_shared.ids import SystemIds
from segue_shared.metrics import Metrics
from segue_shared.runtime import Runtime
from segue_shared.settings import ServiceSettings
from segue_shared.tracing import TraceContext, Tracer, span
from segue_testing.broker import Broker, running_broker


class Greet(Message, frozen=True, kw_only=True):
    """A request in these tests."""

    size: int = 0


class Greeting(Message, frozen=True, kw_only=True):
    """A result in these tests."""

    text: str
    who: str = ""


@dataclass
class Verb:
    """A command of these tests."""

    verb: str
    service: str = "greeter"
    request: type = Greet
    result: type = Greeting

    @property
    def everywhere(self) -> str:
        """The pattern it is asked on."""
        return f"segue.v1.*.cmd.greeter.{self.verb}"

    @property
    def subject(self) -> str:
        """Where a tenant asks."""
        return f"segue.v1.acme.cmd.greeter.{self.verb}"


QUICK, SLOW, TRACED = Verb("quick"), Verb("slow"), Verb("traced")


@dataclass
class Greeter:
    """A service with a quick and a slow command."""

    bus: Bus
    metrics: Metrics
    name: str = "greeter-1"
    drain_s: float = 5.0
    tracer: Tracer | None = None
    entered: int = 0
    leave: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.runtime = Runtime(
            settings=ServiceSettings(instance=self.name, drain_s=self.drain_s),
            bus=self.bus,
            clock=SystemClock(),
            ids=SystemIds(),
            metrics=self.metrics,
            health=Health(),
            tracer=self.tracer,
        )
        self.server = CommandServer(self.runtime)
        self.server.add(QUICK, QUICK.everywhere, self.quick)
        self.server.add(SLOW, SLOW.everywhere, self.slow)

    @classmethod
    async def at(cls, url: str, *, inbox_prefix: str = "", **options: Any) -> "Greeter":
        """Return one on a connection of its own, as a process has it."""
        metrics = Metrics("greeter", template=subjects.template)
        bus = await Bus.connect(
            url, name="greeter", inbox_prefix=inbox_prefix, max_wait_s=10, observer=metrics
        )
        return cls(bus, metrics, **options)

    async def stop(self) -> None:
        """Stop as a process does."""
        await self.server.stop()
        await self.bus.drain()

    async def quick(self, request: Greet, context: Context) -> Greeting:
        """Answer at once."""
        self.entered += 1
        return Greeting(text=context.namespace + "x" * request.size, who=self.name)

    async def slow(self, request: Greet, context: Context) -> Greeting:
        """Answer when told to."""
        self.entered += 1
        await self.leave.wait()
        return Greeting(text="done", who=self.name)


@pytest.fixture
async def greeter(broker: Broker) -> AsyncIterator[Greeter]:
    """A running service."""
    running = await Greeter.at(broker.url)
    await running.server.start()
    yield running
    running.leave.set()
    await running.stop()


async def until(condition: Callable[[], bool]) -> None:
    """Let messages arrive until something holds."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - counts tell of themselves to nobody
            await asyncio.sleep(0.005)


async def ask_for_ever(bus: Bus) -> None:
    """Ask again and again until it fails."""
    while True:
        await bus.call(QUICK.subject, Greet(), Greeting, timeout_s=5)


async def test_a_command_is_answered(greeter: Greeter, bus: Bus) -> None:
    """Over the same call that every client uses."""
    greeting = await bus.call(QUICK.subject, Greet(), Greeting)

    assert greeting == Greeting(text="acme", who="greeter-1")
    assert greeter.runtime.health.ready() == {}


async def test_commands_are_answered_while_a_thousand_calls_wait(
    greeter: Greeter, bus: Bus
) -> None:
    """256 of them run, the others are refused at once, and another command does not notice."""
    calls = [
        asyncio.create_task(bus.call(SLOW.subject, Greet(), Greeting, timeout_s=30))
        for _ in range(1_000)
    ]
    await until(lambda: sum(call.done() for call in calls) == 1_000 - 256)

    greeting = await bus.call(QUICK.subject, Greet(), Greeting, timeout_s=2)
    greeter.leave.set()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)

    assert greeting.text == "acme"
    assert greeter.entered == 256 + 1
    assert sum(isinstance(outcome, Greeting) for outcome in outcomes) == 256
    refusals = [outcome.refused for outcome in outcomes if isinstance(outcome, RefusedError)]
    assert {(refused.code, refused.retryable) for refused in refusals} == {("unavailable", True)}


async def test_calls_and_replies_are_counted_by_the_kind_of_their_subject(
    greeter: Greeter, bus: Bus
) -> None:
    """Whoever asks, the label is that of the command."""
    await bus.call(QUICK.subject, Greet(), Greeting)

    value = greeter.metrics.registry.get_sample_value
    labels = {"subject": "segue.v1.<ns>.cmd.greeter.quick"}
    assert value("segue_messages_received_total", labels) == 1
    assert value("segue_published_total", {**labels, "result": "sent"}) == 1


async def test_a_result_that_the_broker_would_not_carry_is_refused(
    greeter: Greeter, bus: Bus
) -> None:
    """Instead of silence."""
    with pytest.raises(RefusedError) as caught:
        await bus.call(QUICK.subject, Greet(size=2_000_000), Greeting, timeout_s=5)

    assert caught.value.refused.code == "too_large"


async def test_a_stopping_server_answers_what_it_has_taken(broker: Broker, bus: Bus) -> None:
    """New calls are not sent to it any more."""
    greeter = await Greeter.at(broker.url)
    await greeter.server.start()
    call = asyncio.create_task(bus.call(SLOW.subject, Greet(), Greeting, timeout_s=10))
    await until(lambda: greeter.entered == 1)

    stop = asyncio.create_task(greeter.stop())
    with pytest.raises(BusUnavailableError):
        await ask_for_ever(bus)
    greeter.leave.set()

    assert (await call).text == "done"
    await stop


async def test_a_call_that_outlives_the_drain_is_told_to_ask_again(
    broker: Broker, bus: Bus
) -> None:
    """A caller never waits for a server that is gone."""
    greeter = await Greeter.at(broker.url, drain_s=0.05)
    await greeter.server.start()
    call = asyncio.create_task(bus.call(SLOW.subject, Greet(), Greeting, timeout_s=10))
    await until(lambda: greeter.entered == 1)

    await greeter.stop()

    with pytest.raises(RefusedError) as caught:
        await call
    assert (caught.value.refused.code, caught.value.refused.retryable) == ("unavailable", True)


async def test_no_call_is_lost_when_one_of_two_instances_stops(broker: Broker, bus: Bus) -> None:
    """A rolling restart is not noticed."""
    first = await Greeter.at(broker.url, name="one")
    second = await Greeter.at(broker.url, name="two")
    await first.server.start()
    await second.server.start()
    calls = [
        asyncio.create_task(bus.call(QUICK.subject, Greet(), Greeting, timeout_s=10))
        for _ in range(500)
    ]
    await until(lambda: any(call.done() for call in calls))
    await first.stop()
    calls += [
        asyncio.create_task(bus.call(QUICK.subject, Greet(), Greeting, timeout_s=10))
        for _ in range(100)
    ]

    answers = await asyncio.gather(*calls)
    await second.stop()

    assert {answer.who for answer in answers[:500]} == {"one", "two"}
    assert {answer.who for answer in answers[500:]} == {"two"}


async def test_a_call_is_answered_by_one_of_two_instances(broker: Broker, bus: Bus) -> None:
    """They form one queue group, so that no work is done twice."""
    first = await Greeter.at(broker.url, name="one")
    second = await Greeter.at(broker.url, name="two")
    await first.server.start()
    await second.server.start()

    async with asyncio.TaskGroup() as calls:
        for _ in range(100):
            calls.create_task(bus.call(QUICK.subject, Greet(), Greeting, timeout_s=10))
    await first.stop()
    await second.stop()

    assert first.entered + second.entered == 100


async def test_a_server_answers_again_after_the_broker_was_killed(fresh_broker: Broker) -> None:
    """It connects for ever, and says meanwhile that it is not ready."""
    greeter = await Greeter.at(fresh_broker.url)
    await greeter.server.start()
    fresh_broker.kill()
    await until(lambda: greeter.runtime.health.ready() != {})
    fresh_broker.restart()

    caller = await Bus.connect(fresh_broker.url, name="test", max_wait_s=10)
    await until(lambda: greeter.runtime.health.ready() == {})
    try:
        greeting = await caller.call(QUICK.subject, Greet(), Greeting)
    except (BusUnavailableError, TimedOutError):
        pytest.fail("the server did not come back")
    await caller.close()
    await greeter.stop()

    assert greeting.text == "acme"


async def test_a_server_is_asked_from_the_moment_it_has_started(broker: Broker, bus: Bus) -> None:
    """`start` returns once the broker knows; repeated, since a race shows only sometimes."""
    for number in range(40):
        greeter = await Greeter.at(broker.url, name=f"greeter-{number}")
        await greeter.server.start()
        greeting = await bus.call(QUICK.subject, Greet(), Greeting)
        await greeter.stop()

        assert greeting.who == f"greeter-{number}"


async def test_a_server_stops_at_once_while_the_broker_is_away(fresh_broker: Broker) -> None:
    """There is nobody to say goodbye to."""
    greeter = await Greeter.at(fresh_broker.url, drain_s=600)
    await greeter.server.start()
    fresh_broker.kill()
    await until(lambda: greeter.runtime.health.ready() != {})

    async with asyncio.timeout(5):
        await greeter.stop()


async def test_a_stopped_server_is_not_asked_when_the_broker_comes_back(
    fresh_broker: Broker,
) -> None:
    """Its subscriptions are not renewed, though the connection is."""
    greeter = await Greeter.at(fresh_broker.url)
    await greeter.server.start()
    fresh_broker.kill()
    await until(lambda: not greeter.bus.connected)
    await greeter.server.stop()

    fresh_broker.restart()
    await greeter.bus.settle()

    with pytest.raises(BusUnavailableError):
        await greeter.bus.call(QUICK.subject, Greet(), Greeting)
    await greeter.bus.close()


async def test_a_server_cannot_start_on_a_closed_bus(fresh_broker: Broker) -> None:
    """A service that will never be asked does not take itself for started."""
    greeter = await Greeter.at(fresh_broker.url)
    await greeter.bus.close()

    with pytest.raises(BusUnavailableError):
        await greeter.server.start()


async def test_a_server_that_never_started_can_be_stopped() -> None:
    """A service whose start failed half-way is stopped as a whole."""
    greeter = Greeter(Bus(), Metrics("greeter"))

    await greeter.server.stop()

    assert greeter.runtime.health.ready() == {"commands": "commands are not answered yet"}


class StubTracer:
    """A tracer whose spans are numbered and keep their parent."""

    def __init__(self) -> None:
        self.begun: list[tuple[str, trace.SpanKind, trace.SpanContext, trace.SpanContext]] = []

    @contextmanager
    def start_as_current_span(
        self,
        name: str,
        context: trace.Context | None = None,
        *,
        kind: trace.SpanKind = trace.SpanKind.INTERNAL,
        attributes: object = None,
    ) -> Iterator[trace.Span]:
        """Begin a span that ends with the block."""
        above = trace.get_current_span(context).get_span_context()
        number = len(self.begun) + 1
        own = trace.SpanContext(
            above.trace_id or 0xABC, number, is_remote=False, trace_flags=trace.TraceFlags(1)
        )
        self.begun.append((name, kind, above, own))
        with trace.use_span(trace.NonRecordingSpan(own)) as running:
            yield running


async def test_a_trace_travels_from_a_call_to_its_handler_and_on(broker: Broker, bus: Bus) -> None:
    """Each service's span is a child of its caller's; the header carries it over the bus."""
    tracer, ids = StubTracer(), SystemIds()
    far, near = await Greeter.at(broker.url, tracer=tracer), Verb("relay")
    seen: list[TraceContext | None] = []

    async def relay(request: Greet, context: Context) -> Greeting:
        seen.append(context.trace)
        return await bus.call(TRACED.subject, request, Greeting)

    async def end(request: Greet, context: Context) -> Greeting:
        seen.append(context.trace)
        return Greeting(text=context.headers["traceparent"])

    far.server.add(near, near.everywhere, relay)
    far.server.add(TRACED, TRACED.everywhere, end)
    await far.server.start()
    with span("caller", ids=ids, tracer=tracer) as caller:
        greeting = await bus.call(near.subject, Greet(), Greeting)
    await far.stop()

    names = [(name, kind, above.span_id) for name, kind, above, _ in tracer.begun]
    assert names == [
        ("caller", trace.SpanKind.INTERNAL, 0),
        ("greeter.relay", trace.SpanKind.SERVER, 1),
        ("greeter.traced", trace.SpanKind.SERVER, 2),
    ]
    assert seen == [TraceContext(caller.trace_id, f"{number:016x}") for number in (2, 3)]
    assert greeting.text == f"00-{caller.trace_id}-{2:016x}-01"


async def test_a_call_outside_of_any_span_carries_no_trace(broker: Broker, bus: Bus) -> None:
    """The service that answers begins one."""
    greeter, headers = await Greeter.at(broker.url), list[Mapping[str, str]]()

    async def look(request: Greet, context: Context) -> Greeting:
        headers.append(context.headers)
        return Greeting(text="")

    greeter.server.add(TRACED, TRACED.everywhere, look)
    await greeter.server.start()
    await bus.call(TRACED.subject, Greet(), Greeting)
    await greeter.stop()

    assert headers == [{}]


PERMISSIONS = """
accounts { A { jetstream: enabled, users: [
  {user: greeter, password: pw, permissions: {
    publish: ["_INBOX_caller.>"], subscribe: ["segue.v1.*.cmd.greeter.>", "_INBOX_greeter.>"] }}
  {user: caller, password: pw, permissions: {
    publish: ["segue.v1.*.cmd.>"], subscribe: ["_INBOX_caller.>"] }}
  {user: stranger, password: pw, permissions: {
    publish: ["_INBOX_caller.>"], subscribe: ["_INBOX_stranger.>"] }}
] } }
"""


async def test_a_server_works_with_no_more_permissions_than_it_needs(tmp_path: Path) -> None:
    """Its commands to receive, and callers' inboxes to answer."""
    with running_broker(tmp_path, extra=PERMISSIONS) as broker:
        address = broker.url.removeprefix("nats://")
        greeter = await Greeter.at(f"nats://greeter:pw@{address}", inbox_prefix="_INBOX_greeter")
        await greeter.server.start()
        caller = await Bus.connect(
            f"nats://caller:pw@{address}",
            name="caller",
            inbox_prefix="_INBOX_caller",
            max_wait_s=10,
        )

        greeting = await caller.call(QUICK.subject, Greet(), Greeting)
        await caller.close()
        await greeter.stop()

    assert greeting.text == "acme"
    value = greeter.runtime.metrics.registry.get_sample_value
    assert value("segue_permission_violations_total") == 0


async def test_a_refused_subscription_is_counted(tmp_path: Path) -> None:
    """A wrong permission shows in the metrics instead of as silence."""
    with running_broker(tmp_path, extra=PERMISSIONS) as broker:
        address = broker.url.removeprefix("nats://")
        greeter = await Greeter.at(f"nats://stranger:pw@{address}", inbox_prefix="_INBOX_stranger")
        await greeter.server.start()
        value = greeter.runtime.metrics.registry.get_sample_value

        await until(lambda: value("segue_permission_violations_total") == 2)
        await greeter.stop()
