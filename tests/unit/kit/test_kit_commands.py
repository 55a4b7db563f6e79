"""Commands: does every request get a typed answer?"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest
import structlog.testing
from msgspec import Raw

from segue_contracts.envelope import Message, decode_body
from segue_contracts.reply import Refused, Reply
from segue_shared.bus import Bus
from segue_shared.commands import Context, Endpoint
from segue_shared.errors import NotFoundError, RefusedError, TimedOutError
from segue_shared.health import Health
from segue_shared.metrics import Metrics
from segue_shared.runtime import Runtime
from segue_shared.settings import ServiceSettings
from segue_shared.tracing import TraceContext, current
from segue_testing.fakes import FakeClock, FakeIds

PATTERN = "segue.v1.*.cmd.greeter.greet"
SUBJECT = "segue.v1.acme.cmd.greeter.greet"


class Greet(Message, frozen=True, kw_only=True):
    """A request in these tests."""

    name: str = "you"


class Greeting(Message, frozen=True, kw_only=True):
    """A result in these tests."""

    text: str


@dataclass
class GreetCommand:
    """The command of these tests."""

    service: str = "greeter"
    verb: str = "greet"
    request: type = Greet
    result: type = Greeting


async def greet(request: Greet, context: Context) -> Greeting:
    """Greet."""
    return Greeting(text=f"hello {request.name} of {context.namespace}")


@pytest.fixture
def runtime() -> Runtime:
    """What an endpoint needs of its process."""
    return Runtime(
        settings=ServiceSettings(namespace="home", instance="greeter-1"),
        bus=Bus(),
        clock=FakeClock(),
        ids=FakeIds(),
        metrics=Metrics("greeter"),
        health=Health(),
    )


Ask = Callable[..., Awaitable[Reply]]


@pytest.fixture
def ask(runtime: Runtime) -> Ask:
    """Ask an endpoint with a handler of the test's own."""

    async def ask_once(
        handler: Callable[[Greet, Context], Awaitable[object]] = greet,
        data: bytes = b"{}",
        headers: dict[str, str] | None = None,
        pattern: str = PATTERN,
    ) -> Reply:
        endpoint = Endpoint(GreetCommand(), pattern, handler, runtime=runtime, concurrency=2)
        return decode_body(await endpoint.answer(SUBJECT, data, headers or {}), Reply)

    return ask_once


def result_of(reply: Reply) -> Greeting:
    """Return the result of a reply."""
    assert isinstance(reply.result, Raw), reply.refused
    return decode_body(reply.result, Greeting)


def refusal_of(reply: Reply) -> Refused:
    """Return the refusal of a reply."""
    assert isinstance(reply.refused, Refused), reply
    return reply.refused


async def test_a_request_is_answered_with_the_handlers_result(ask: Ask) -> None:
    """Bare JSON in, a reply out; the tenant comes from the subject."""
    reply = await ask(data=b'{"name":"Ada","unknown":1}')

    assert result_of(reply) == Greeting(text="hello Ada of acme")


async def test_an_empty_body_is_a_request_without_fields(ask: Ask) -> None:
    """`nats request <subject> ''` works from any terminal."""
    assert result_of(await ask(data=b"")).text == "hello you of acme"


async def test_a_subject_without_namespace_means_the_services_own(ask: Ask) -> None:
    """A pattern with no star serves one tenant."""
    assert result_of(await ask(pattern=SUBJECT)).text == "hello you of home"


async def test_a_body_that_does_not_fit_is_refused_with_the_field(ask: Ask) -> None:
    """The handler never sees it."""
    refused = refusal_of(await ask(data=b'{"name":1}'))

    assert refused.code == "invalid_request"
    assert refused.message == "greeter.greet: Expected `str`, got `int` at /name"


async def test_a_handlers_refusal_is_the_answer(ask: Ask) -> None:
    """With everything it says."""
    wanted = Refused(code="conflict", message="taken", details={"run": "r1"})

    async def refuse(request: Greet, context: Context) -> Greeting:
        raise RefusedError(wanted)

    assert refusal_of(await ask(refuse)) == wanted


@pytest.mark.parametrize(
    ("error", "code", "retryable"),
    [(NotFoundError("no run"), "not_found", False), (TimedOutError("late"), "unavailable", True)],
)
async def test_an_error_of_ours_is_answered_with_the_refusal_that_it_means(
    ask: Ask,
    error: Exception,
    code: str,
    retryable: bool,  # noqa: FBT001 - a parameter of the table
) -> None:
    """Handlers let errors pass."""

    async def fail(request: Greet, context: Context) -> Greeting:
        raise error

    refused = refusal_of(await ask(fail))

    assert (refused.code, refused.retryable) == (code, retryable)


async def test_an_unexpected_error_is_logged_and_never_put_on_the_bus(ask: Ask) -> None:
    """The caller hears whose log tells more."""

    async def crash(request: Greet, context: Context) -> Greeting:
        raise ZeroDivisionError("the secret formula")

    with structlog.testing.capture_logs() as logged:
        refused = refusal_of(await ask(crash))

    assert refused.code == "internal"
    assert "greeter-1" in refused.message
    assert "formula" not in str(refused)
    assert [line["event"] for line in logged] == ["command_failed"]


async def test_a_result_of_another_type_is_a_fault_of_ours(ask: Ask) -> None:
    """What is promised is kept, or refused."""

    async def wrong(request: Greet, context: Context) -> object:
        return Greet(name="x")

    with structlog.testing.capture_logs():
        refused = refusal_of(await ask(wrong))

    assert refused.code == "internal"


async def test_a_handler_sees_headers_and_trace(ask: Ask) -> None:
    """The caller's trace goes on."""
    seen: list[Context] = []

    async def look(request: Greet, context: Context) -> Greeting:
        seen.append(context)
        return Greeting(text="")

    trace, span = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    await ask(look, headers={"traceparent": f"00-{trace}-{span}-01", "x": "y"})

    [context] = seen
    assert context.subject == SUBJECT
    assert context.headers["x"] == "y"
    assert context.trace is not None
    assert context.trace.trace_id == trace
    assert context.trace.span_id != span


async def test_a_call_without_a_trace_begins_one(ask: Ask) -> None:
    """Its handler's own calls go on with it."""
    seen: list[TraceContext | None] = []

    async def look(request: Greet, context: Context) -> Greeting:
        seen.extend((context.trace, current()))
        return Greeting(text="")

    await ask(look)

    assert isinstance(seen[0], TraceContext)
    assert seen[0] == seen[1]
    assert current() is None


async def test_a_call_above_the_bound_is_refused_at_once(runtime: Runtime) -> None:
    """And the next one after a free place is served."""
    entered, leave = asyncio.Semaphore(0), asyncio.Event()

    async def wait(request: Greet, context: Context) -> Greeting:
        entered.release()
        await leave.wait()
        return Greeting(text="done")

    endpoint = Endpoint(GreetCommand(), PATTERN, wait, runtime=runtime, concurrency=1)
    first = asyncio.create_task(endpoint.answer(SUBJECT, b"{}", {}))
    await entered.acquire()

    refused = refusal_of(decode_body(await endpoint.answer(SUBJECT, b"{}", {}), Reply))
    leave.set()
    await first
    again = decode_body(await endpoint.answer(SUBJECT, b"{}", {}), Reply)

    assert (refused.code, refused.retryable) == ("unavailable", True)
    assert result_of(again).text == "done"


async def test_a_cancelled_call_frees_its_place(runtime: Runtime) -> None:
    """Cancellation passes through, and nothing leaks."""
    entered = asyncio.Event()

    async def wait(request: Greet, context: Context) -> Greeting:
        if not entered.is_set():
            entered.set()
            await asyncio.Event().wait()
        return Greeting(text="done")

    endpoint = Endpoint(GreetCommand(), PATTERN, wait, runtime=runtime, concurrency=1)
    first = asyncio.create_task(endpoint.answer(SUBJECT, b"{}", {}))
    await entered.wait()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first

    again = decode_body(await endpoint.answer(SUBJECT, b"{}", {}), Reply)

    assert result_of(again).text == "done"


async def test_calls_are_counted(ask: Ask, runtime: Runtime) -> None:
    """By template, as all messages are."""
    await ask()

    labels = {"subject": "<any>"}
    value = runtime.metrics.registry.get_sample_value
    assert value("segue_messages_received_total", labels) == 1
    assert value("segue_message_seconds_count", labels) == 1
