"""Does the service route, stream and account for what it is asked?"""

import asyncio
from collections.abc import Iterable
from typing import cast

import pytest
from msgspec import UNSET, structs
from unit.providers.provider_support import (
    RUN,
    FakeModelClient,
    Stage,
    a_tool,
    asking,
    becomes,
    failing,
    hint,
    speaking,
    text_of,
)

from segue_contracts.v1 import subjects
from segue_contracts.v1.chat import ChatRequest, ErrorClass, Hedge, RouteOptions, StreamOptions
from segue_contracts.v1.control import CancelCall, GrantCredit
from segue_contracts.v1.deltas import (
    AttemptReset,
    DeltaEnd,
    DeltaError,
    DeltaStart,
    PartDelta,
    PartEnd,
    PartStart,
)
from segue_contracts.v1.providers import ProvidersStatus
from segue_contracts.v1.telemetry import BreakerChanged, ModelCalled, RouteDecided
from segue_providers.core.answer import Began, Closed, Grew, Opened
from segue_providers.settings import Settings
from segue_shared.commands import Context
from segue_shared.errors import BusUnavailableError, RefusedError
from segue_shared.tracing import Tracer

CONTEXT = Context(subject="segue.v1.acme.cmd.providers.chat", namespace="acme")
KEYED = {"ANTHROPIC_API_KEY": "sk-secret-1", "OPENAI_API_KEY": "sk-secret-2"}
MINE = subjects.call_deltas("default", "mine")
BROKEN = [Began(model="model-1"), Opened(index=0, kind="text"), Grew(index=0, text="Once ")]
"""The beginning of an answer that breaks off."""


def keyed(claude: FakeModelClient | None = None, openai: FakeModelClient | None = None) -> Stage:
    """Return the service with keys for two providers."""
    clients = {
        "anthropic": claude or FakeModelClient(),
        "openai-responses": openai or FakeModelClient(),
    }
    return Stage(clients=clients, environ=KEYED)


def scripted(*script: Iterable[object]) -> FakeModelClient:
    """Return a model that does one thing after the other."""
    return FakeModelClient(*script)


def streaming(text: str = "Hello.", **options: object) -> ChatRequest:
    """Return a request whose deltas go to a step."""
    stream = StreamOptions(on=True, **options)  # type: ignore[arg-type]
    return structs.replace(asking(text), run=RUN, step="Sum up", stream=stream)


async def test_a_preferred_provider_without_a_key_falls_back_and_says_so() -> None:
    """The record lists the attempt that was not possible first, then the one that answered."""
    request = structs.replace(asking("Hello."), route=RouteOptions(order=["claude"]))
    response = await Stage().chat(request)

    assert [one.provider for one in response.attempts] == ["claude", "offline"]
    assert response.attempts[0].error == "not_configured"
    assert response.attempts[1].error is UNSET
    assert response.warnings == [
        "preferred provider claude has no key (ANTHROPIC_API_KEY); answered by offline"
    ]


async def test_the_status_says_what_each_provider_lacks() -> None:
    """A provider without a key is not available, and the way out is named."""
    status = await keyed().service.parts.handlers.status(ProvidersStatus(), CONTEXT)

    assert [(one.name, one.available, one.reason) for one in status.providers] == [
        ("claude", True, ""),
        ("gemini", False, "not_configured: no key (GEMINI_API_KEY or GOOGLE_API_KEY)"),
        ("openai", True, ""),
        ("offline", True, ""),
    ]


async def test_nobody_to_serve_is_a_refusal_that_names_the_settings() -> None:
    """With the stand-in turned off and no key, the way out is named."""
    stage = Stage(Settings(providers_offline=False))

    with pytest.raises(RefusedError, match="ANTHROPIC_API_KEY") as caught:
        await stage.chat(asking("Hello."))

    assert caught.value.refused.code == "provider_failed"
    assert "SEGUE_PROVIDERS_OFFLINE=true" in caught.value.refused.message
    assert [one.chosen for one in stage.bus.bodies("*.tel.*") if isinstance(one, RouteDecided)] == [
        ""
    ]


async def test_every_decision_is_told_with_its_candidates() -> None:
    """Telemetry goes to the caller's namespace and names everyone considered."""
    stage = Stage()
    request = structs.replace(streaming(), route=RouteOptions(order=["openai"]))
    await stage.service.parts.router.chat(request, namespace="acme")

    [told] = stage.bus.bodies("segue.v1.acme.tel.providers.router.route_decided")
    assert isinstance(told, RouteDecided)
    assert (told.request, told.run, told.step) == ("request", RUN, "Sum up")
    assert (told.chosen, told.requested) == ("offline", ["openai"])
    assert [one.provider for one in told.candidates] == ["offline", "openai", "claude", "gemini"]


async def test_a_lost_telemetry_message_costs_no_answer() -> None:
    """What is told on the side never stops the call, nor does a delta."""
    stage = Stage()
    stage.bus.publish_error = BusUnavailableError("away")

    assert (await stage.chat(streaming())).provider == "offline"


async def test_an_answer_is_streamed_from_start_to_one_end() -> None:
    """Deltas are numbered without a hole and hold the whole text."""
    stage = Stage()
    response = await stage.chat(streaming("Hello there. " * 40))
    deltas = stage.bus.deltas()

    assert [delta.seq for delta in deltas] == list(range(len(deltas)))
    assert {delta.request for delta in deltas} == {"request"}
    assert isinstance(deltas[0], DeltaStart)
    assert isinstance(deltas[1], PartStart)
    assert isinstance(deltas[-2], PartEnd)
    assert isinstance(deltas[-1], DeltaEnd)
    shown = [one.text for one in deltas if isinstance(one, PartDelta) and isinstance(one.text, str)]
    assert "".join(shown) == text_of(response)
    assert len(shown) > 1


@pytest.mark.parametrize(("include", "expected"), [([], []), (["tool_args"], ['{"path":"/src"}'])])
async def test_tool_calls_are_streamed_and_their_arguments_when_wanted(
    include: list[str], expected: list[str]
) -> None:
    """A call has its name and id; arguments come only to who asked for them."""
    stage = Stage()
    request = structs.replace(
        streaming('{"path": "/src"}', include=include), tools=[a_tool("lint", "path")]
    )
    await stage.chat(request)
    deltas = stage.bus.deltas()

    starts = [one for one in deltas if isinstance(one, PartStart) and one.kind == "tool_call"]
    assert [(one.index, one.id, one.name) for one in starts] == [(1, "offline-1", "lint")]
    assert [
        one.args for one in deltas if isinstance(one, PartDelta) and isinstance(one.args, str)
    ] == expected


async def test_nothing_is_streamed_unless_asked() -> None:
    """A caller that does not stream gets its reply only."""
    stage = Stage()
    await stage.chat(structs.replace(streaming(), stream=StreamOptions()))

    assert stage.bus.deltas() == []


async def test_a_request_without_an_id_gets_one() -> None:
    """The answer and its deltas share a fresh id."""
    response = await Stage().chat(structs.replace(asking("x"), id=""))

    assert response.id.startswith("id")


@pytest.mark.parametrize(
    ("request_", "place"),
    [
        (structs.replace(asking("x"), messages=[]), "messages: at least one"),
        (structs.replace(asking("x"), run="a.>", step="s"), "run, step: run id 'a.>'"),
        (structs.replace(asking("x"), run=RUN, step="s" * 200), "run, step: a step key has"),
        (
            structs.replace(asking("x"), stream=StreamOptions(on=True, to=f"segue.v1.run.{RUN}")),
            "stream.to: 'segue.v1.run",
        ),
    ],
)
async def test_a_request_that_cannot_be_is_refused(request_: ChatRequest, place: str) -> None:
    """The refusal names the field, and nothing is published for it."""
    stage = Stage()

    with pytest.raises(RefusedError, match=f"^invalid_request: {place}"):
        await stage.chat(request_)

    assert stage.bus.published == []


async def test_an_adapter_answers_with_the_callers_model() -> None:
    """The client gets the request with its own model's name."""
    claude = scripted(speaking())
    request = structs.replace(asking("x"), model="claude/opus")
    response = await keyed(claude).chat(request)

    assert (response.provider, response.model_requested) == ("claude", "claude/opus")
    assert (response.model_served, response.key_ref) == ("model-1", "env:ANTHROPIC_API_KEY")
    assert claude.requests[0].model == "opus"
    assert text_of(response) == "done"


@pytest.mark.parametrize("error", ["overloaded", "server_error"])
async def test_what_may_pass_is_tried_again_before_the_next_is_asked(error: ErrorClass) -> None:
    """The preferred provider is asked as often as it may be, and then its neighbour."""
    claude = scripted(*([failing(error)] for _ in range(3)))
    openai = scripted(speaking())
    stage = keyed(claude, openai)
    response = await stage.chat(asking("x"))

    assert [(one.provider, one.error) for one in response.attempts] == [
        ("claude", error),
        ("claude", error),
        ("claude", error),
        ("openai", UNSET),
    ]
    assert response.warnings == [
        *(f"claude failed with {error} (it broke); answered by openai" for _ in range(3)),
    ]


@pytest.mark.parametrize("error", ["transport", "timeout_connect", "auth", "quota_exhausted"])
async def test_what_will_not_pass_leads_to_the_next_at_once(error: ErrorClass) -> None:
    """One try is enough, and both tries are in the record."""
    claude, openai = scripted([failing(error)]), scripted(speaking())
    response = await keyed(claude, openai).chat(asking("x"))

    assert [(one.provider, one.number) for one in response.attempts] == [
        ("claude", 1),
        ("openai", 2),
    ]


@pytest.mark.parametrize("error", ["bad_request", "cancelled"])
async def test_a_bad_request_is_not_taken_elsewhere(error: ErrorClass) -> None:
    """The next provider is not even asked."""
    other = scripted(speaking())

    with pytest.raises(RefusedError, match=error):
        await keyed(scripted([failing(error)]), other).chat(asking("x"))

    assert other.requests == []


async def test_the_tries_of_a_call_are_told_step_by_step() -> None:
    """Each try is an event that says how it went and what follows."""
    claude = scripted([failing("overloaded")], [failing("transport")])
    stage = keyed(claude, scripted(speaking()))
    await stage.chat(asking("x"))
    told = [one for one in stage.bus.bodies("*.model_called") if isinstance(one, ModelCalled)]

    assert [(one.call.provider, one.call.error, one.then) for one in told] == [
        ("claude", "overloaded", "again in 0.00 s"),
        ("claude", "transport", "next: openai"),
        ("openai", UNSET, ""),
    ]


async def test_all_failing_is_a_refusal_and_an_error_delta() -> None:
    """The stream ends with one error, the reply tells every try and what it cost."""
    stage = keyed(scripted([failing("transport")]), scripted([failing("auth")]))

    with pytest.raises(RefusedError) as caught:
        await stage.chat(streaming())

    refused = caught.value.refused
    assert refused.retryable
    assert "claude failed with transport" in refused.message
    assert "openai failed with auth" in refused.message
    assert (refused.details["error"], refused.details["costUsd"]) == ("auth", "0")
    [delta] = stage.bus.deltas()
    assert isinstance(delta, DeltaError)
    assert (delta.error, delta.partial) == ("auth", False)


async def test_an_end_without_proof_is_no_answer() -> None:
    """A stream that just ends was cut, and its words are not passed off as the whole."""
    stage = keyed(scripted([*BROKEN, Closed(index=0)]), scripted(speaking()))
    response = await stage.chat(asking("x"))

    assert [one.error for one in response.attempts] == ["truncated", UNSET]
    assert text_of(response) == "done"


async def test_what_was_shown_stands_unless_a_restart_is_allowed() -> None:
    """By default a broken stream fails, for its reader has seen the beginning."""
    other = scripted(speaking())
    stage = keyed(scripted([*BROKEN, failing("transport")]), other)

    with pytest.raises(RefusedError, match="transport"):
        await stage.chat(streaming())

    assert other.requests == []
    last = stage.bus.deltas()[-1]
    assert isinstance(last, DeltaError)
    assert last.partial


async def test_what_was_not_shown_yet_is_replaced_unnoticed() -> None:
    """A stream that fails before its first word leaves no trace in what readers see."""
    stage = keyed(scripted([*BROKEN[:2], failing("transport")]), scripted(speaking()))
    await stage.chat(streaming())
    deltas = stage.bus.deltas()

    assert {one.provider for one in deltas if isinstance(one, DeltaStart)} == {"openai"}
    assert not any(isinstance(one, AttemptReset | DeltaError) for one in deltas)
    assert [one.seq for one in deltas] == list(range(len(deltas)))


async def test_a_restart_voids_what_was_shown() -> None:
    """A reader that allows it is told to discard, and sees the second answer."""
    stage = keyed(scripted([*BROKEN, failing("truncated")]), scripted(speaking()))
    await stage.chat(streaming(on_break="restart"))
    deltas = stage.bus.deltas()

    resets = [one for one in deltas if isinstance(one, AttemptReset)]
    assert [(one.attempt, one.reason) for one in resets] == [(2, "truncated")]
    assert [one.attempt for one in deltas if isinstance(one, PartDelta)] == [1, 2]
    assert isinstance(deltas[-1], DeltaEnd)


async def test_a_broken_text_is_gone_on_with_by_the_next() -> None:
    """The next provider is given what was said, and both halves are one answer."""
    openai = scripted(speaking("upon a time."))
    stage = keyed(scripted([*BROKEN, failing("transport")]), openai)
    response = await stage.chat(streaming(on_break="continue"))
    deltas = stage.bus.deltas()

    assert text_of(response) == "Once upon a time."
    assert [one.role for one in openai.requests[0].messages] == ["user", "assistant", "user"]
    assert {one.attempt for one in deltas} == {1}
    shown = [one.text for one in deltas if isinstance(one, PartDelta) and isinstance(one.text, str)]
    assert "".join(shown) == "Once upon a time."
    assert [type(one) for one in deltas].count(PartStart) == 1


async def test_what_cannot_be_gone_on_with_fails() -> None:
    """Half a JSON value and somebody else's other half are no JSON value."""
    request = streaming(on_break="continue")
    shape = structs.replace(request.output.format, type="json")
    request = structs.replace(request, output=structs.replace(request.output, format=shape))
    stage = keyed(scripted([*BROKEN, failing("transport")]), scripted(speaking()))

    with pytest.raises(RefusedError, match="transport"):
        await stage.chat(request)


async def test_a_call_is_bounded_by_its_deadline() -> None:
    """A provider that hangs costs no more than the caller's patience."""
    stage = keyed(scripted([asyncio.Event()]))
    request = structs.replace(streaming(), deadline_ms=stage.clock.now_ms() + 20)

    with pytest.raises(RefusedError, match="timeout_total") as hit:
        await stage.chat(request)

    assert hit.value.refused.retryable
    assert isinstance(stage.bus.deltas()[-1], DeltaError)


async def test_a_fault_of_an_adapter_is_its_providers_fault() -> None:
    """Whatever an adapter raises, the next provider is asked."""
    claude = scripted(*([TimeoutError("its own")] for _ in range(3)))
    response = await keyed(claude, scripted(speaking())).chat(asking("x"))

    assert {one.message for one in response.attempts[:-1]} == {
        "its adapter broke down (TimeoutError)"
    }
    assert response.provider == "openai"


async def test_a_call_that_is_given_up_ends_its_stream() -> None:
    """Cancelling passes through to the provider, after the reader was told."""
    claude = scripted([asyncio.Event()])
    stage = keyed(claude)
    call = asyncio.create_task(stage.chat(streaming()))
    await becomes(lambda: claude.open == 1)
    call.cancel()

    with pytest.raises(asyncio.CancelledError):
        await call
    last = stage.bus.deltas()[-1]
    assert isinstance(last, DeltaError)
    assert (last.error, claude.open) == ("cancelled", 0)


async def test_a_caller_takes_its_call_back() -> None:
    """A hint ends the call at the provider, and the refusal says so."""
    claude = scripted([asyncio.Event()])
    stage = keyed(claude)
    call = asyncio.create_task(stage.chat(asking("x")))
    await becomes(lambda: claude.open == 1)
    await stage.service.parts.controls.on_hint(hint(CancelCall(request="request", reason="bored")))

    with pytest.raises(RefusedError, match="given up: bored") as caught:
        await call
    assert (caught.value.refused.details["error"], claude.open) == ("cancelled", 0)


async def test_a_slow_caller_is_waited_for() -> None:
    """Without credit nothing more is sent to its own subject, nor read from the provider."""
    pieces = [Grew(index=0, text="x" * 600) for _ in range(5)]
    claude = scripted([*BROKEN[:2], *pieces, *speaking()[3:]])
    stage = keyed(claude)
    request = asking("x")
    request = structs.replace(request, stream=StreamOptions(on=True, to=MINE, credit=3))
    call = asyncio.create_task(stage.chat(request))
    await becomes(lambda: len(stage.bus.bodies(MINE)) == 3)
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(stage.bus.bodies(MINE)) == 3
    assert claude.open == 1

    await stage.service.parts.controls.on_hint(hint(GrantCredit(request="request", credit=50)))

    assert len(text_of(await call)) == 3_000
    assert len(stage.bus.bodies(MINE)) == 9


async def test_a_caller_that_reads_nothing_ends_with_its_deadline() -> None:
    """It is told of the end without credit, and nobody waits for it for ever."""
    pieces = [Grew(index=0, text="x" * 600) for _ in range(9)]
    claude = scripted([*BROKEN[:2], *pieces, asyncio.Event()])
    stage = keyed(claude)
    stream = StreamOptions(on=True, to=MINE, credit=2)
    request = structs.replace(asking("x"), stream=stream, deadline_ms=stage.clock.now_ms() + 50)

    with pytest.raises(RefusedError, match="timeout_total"):
        await stage.chat(request)

    assert claude.open == 0
    assert len(stage.bus.bodies(MINE)) == 3


async def test_a_slow_provider_is_hedged_and_the_loser_is_told_of() -> None:
    """The second provider answers, and the first is closed."""
    claude, openai = scripted([asyncio.Event()]), scripted(speaking())
    stage = keyed(claude, openai)
    request = structs.replace(asking("x"), route=RouteOptions(hedge=Hedge(after_ms=1)))
    response = await stage.chat(request)

    assert response.provider == "openai"
    assert claude.open == 0
    assert [(one.provider, one.error) for one in response.attempts] == [
        ("claude", "cancelled"),
        ("openai", UNSET),
    ]


async def test_a_fast_provider_is_not_hedged() -> None:
    """Nobody else is asked."""
    openai = scripted(speaking())
    request = structs.replace(asking("x"), route=RouteOptions(hedge=Hedge(after_ms=10_000)))
    response = await keyed(scripted(speaking()), openai).chat(request)

    assert (response.provider, openai.requests) == ("claude", [])


async def test_an_open_breaker_is_told_and_passed_over() -> None:
    """After repeated failures to connect the provider is not asked for a while."""
    claude = scripted(*([failing("transport")] for _ in range(5)))
    stage = keyed(claude)
    for number in range(6):
        await stage.chat(structs.replace(asking("x"), id=str(number)))

    assert len(claude.requests) == 5
    [told] = [one for one in stage.bus.bodies("*.breaker.*") if isinstance(one, BreakerChanged)]
    assert (told.provider, told.before, told.state) == ("claude", "closed", "open")


async def test_a_repeated_request_is_answered_once() -> None:
    """The provider is asked once, and both callers get its answer."""
    claude = scripted(speaking("first"), speaking("second"))
    stage = keyed(claude)
    first, second = [await stage.chat(asking("x")) for _ in range(2)]

    assert len(claude.requests) == 1
    assert text_of(first) == text_of(second) == "first"


async def test_a_failed_request_may_be_asked_again() -> None:
    """Its claim is given up, so that a repetition is answered."""
    stage = keyed(scripted([failing("bad_request")], speaking()))
    with pytest.raises(RefusedError):
        await stage.chat(asking("x"))

    assert stage.completions.released == ["default/request"]
    assert (await stage.chat(asking("x"))).provider == "claude"


async def test_a_call_that_could_cost_too_much_is_not_made() -> None:
    """The refusal has a code of its own, so that a run can wait for a larger budget."""
    claude, openai = scripted(speaking()), scripted(speaking())
    request = structs.replace(asking("x"), budget_usd="0.000001")

    with pytest.raises(RefusedError, match=r"its budget is 0\.000001") as caught:
        await keyed(claude, openai).chat(request)

    assert caught.value.refused.code == "budget_exceeded"
    assert claude.requests == openai.requests == []


class Spans:
    """A tracer that keeps the names of spans and how they went."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.failed: list[object] = []

    def start_span(self, name: str, **_more: object) -> "Spans":
        """Begin a span."""
        self.names.append(name)
        return self

    def set_status(self, _code: object, reason: str) -> None:
        """Keep why one failed."""
        self.failed.append(reason)

    def end(self, _time: int) -> None:
        """End it."""


async def test_each_try_is_a_span() -> None:
    """A trace shows who was asked, in which order, and why it was not enough."""
    spans = Spans()
    clients = {
        "anthropic": scripted([failing("transport")]),
        "openai-responses": scripted(speaking()),
    }
    stage = Stage(clients=clients, environ=KEYED, tracer=cast("Tracer", spans))
    await stage.chat(asking("x"))

    assert spans.names == ["chat claude-sonnet-5-5", "chat model-1"]
    assert spans.failed == ["transport"]


async def test_no_key_is_in_what_is_told() -> None:
    """Whatever happens, keys are named by where they come from."""
    stage = keyed(scripted([failing("auth", "who are you?")]), scripted(speaking()))
    response = await stage.chat(streaming())
    seen = repr((response, stage.bus.published, stage.metrics.exposition()))

    assert not any(key in seen for key in KEYED.values())


async def test_calls_are_counted_by_who_answered() -> None:
    """Failures count as nobody's."""
    stage = keyed(scripted(speaking(), [failing("bad_request")]))
    await stage.chat(asking("x"))
    with pytest.raises(RefusedError):
        await stage.chat(structs.replace(asking("x"), id="other"))

    text = stage.metrics.exposition()[0].decode()
    assert 'segue_model_calls_total{provider="claude"} 1.0' in text
    assert 'segue_model_calls_total{provider="none"} 1.0' in text
    assert 'segue_model_tries_total{provider="claude",result="bad_request"} 1.0' in text
    assert 'segue_model_tokens_total{direction="output",provider="claude"} 3.0' in text
