"""Does the service route, stream and account for what it is asked?"""

import asyncio

import pytest
from msgspec import UNSET, structs
from unit.providers.provider_support import (
    KEYS,
    RUN,
    FakeModelClient,
    Stage,
    a_response,
    a_tool,
    asking,
    failing,
    never,
    text_of,
)

from segue_contracts.v1.chat import ChatRequest, ErrorClass, RouteOptions, StreamOptions
from segue_contracts.v1.commands import ProvidersStatus
from segue_contracts.v1.deltas import (
    AttemptReset,
    DeltaEnd,
    DeltaError,
    DeltaStart,
    PartDelta,
    PartEnd,
    PartStart,
)
from segue_contracts.v1.telemetry import RouteDecided
from segue_providers.settings import Settings
from segue_shared.commands import Context
from segue_shared.errors import BusUnavailableError, RefusedError

CONTEXT = Context(subject="segue.v1.acme.cmd.providers.chat", namespace="acme")


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the machine's own keys away."""
    for key in KEYS:
        monkeypatch.delenv(key, raising=False)


@pytest.fixture
def keyed(monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings with keys for two providers."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-secret-1")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-2")
    return Settings()


def streaming(text: str = "Hello.", **options: object) -> ChatRequest:
    """Return a request whose deltas go to a step."""
    stream = StreamOptions(on=True, **options)  # type: ignore[arg-type]
    return structs.replace(asking(text), run=RUN, step="Sum up", stream=stream)


async def test_a_preferred_provider_without_a_key_falls_back_and_says_so() -> None:
    """The record lists the attempt that was not possible first, then the one that answered."""
    request = structs.replace(asking("Hello."), route=RouteOptions(order=["claude"]))
    response = await Stage(Settings()).chat(request)

    assert [one.provider for one in response.attempts] == ["claude", "offline"]
    assert response.attempts[0].error == "not_configured"
    assert response.attempts[1].error is UNSET
    assert response.warnings == [
        "preferred provider claude has no key (ANTHROPIC_API_KEY); answered by offline"
    ]


async def test_a_key_without_an_adapter_is_never_pretended(keyed: Settings) -> None:
    """This release says that it cannot use the key."""
    stage = Stage(keyed)
    status = await stage.service.status(ProvidersStatus(), CONTEXT)

    assert [(one.name, one.available, one.reason) for one in status.providers] == [
        ("claude", False, "adapter not part of this release"),
        (
            "gemini",
            False,
            "not_configured: no key (GEMINI_API_KEY); adapter not part of this release",
        ),
        ("openai", False, "adapter not part of this release"),
        ("offline", True, ""),
    ]


async def test_nobody_to_serve_is_a_refusal_that_names_the_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With the stand-in turned off and no key, the way out is named."""
    monkeypatch.setenv("SEGUE_PROVIDERS_OFFLINE", "false")
    stage = Stage(Settings())

    with pytest.raises(RefusedError, match="ANTHROPIC_API_KEY") as caught:
        await stage.chat(asking("Hello."))

    assert caught.value.refused.code == "provider_failed"
    assert "set SEGUE_PROVIDERS_OFFLINE=true" in caught.value.refused.message
    assert [one.chosen for one in stage.bus.bodies("*.tel.*") if isinstance(one, RouteDecided)] == [
        ""
    ]


async def test_every_decision_is_told_with_its_candidates() -> None:
    """Telemetry goes to the caller's namespace and names everyone considered."""
    stage = Stage(Settings())
    request = structs.replace(streaming(), route=RouteOptions(order=["openai"]))
    await stage.service.chat(request, CONTEXT)

    [told] = stage.bus.bodies("segue.v1.acme.tel.providers.router.route_decided")
    assert isinstance(told, RouteDecided)
    assert (told.request, told.run, told.step) == ("request", RUN, "Sum up")
    assert (told.chosen, told.requested) == ("offline", ["openai"])
    assert [one.provider for one in told.candidates] == ["openai", "claude", "gemini", "offline"]


async def test_a_lost_telemetry_message_costs_no_answer() -> None:
    """What is told on the side never stops the call, nor does a delta."""
    stage = Stage(Settings())
    stage.bus.publish_error = BusUnavailableError("away")

    assert (await stage.chat(streaming())).provider == "offline"


async def test_an_answer_is_streamed_from_start_to_one_end() -> None:
    """Deltas are numbered without a hole and hold the whole text."""
    stage = Stage(Settings())
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
    stage = Stage(Settings())
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
    stage = Stage(Settings())
    await stage.chat(structs.replace(streaming(), stream=StreamOptions()))

    assert stage.bus.deltas() == []


async def test_a_request_without_an_id_gets_one() -> None:
    """The answer and its deltas share a fresh id."""
    response = await Stage(Settings()).chat(structs.replace(asking("x"), id=""))

    assert response.id.startswith("id")


@pytest.mark.parametrize(
    ("request_", "place"),
    [
        (structs.replace(asking("x"), messages=[]), "messages: at least one"),
        (structs.replace(asking("x"), run="a.>", step="s"), "run, step: run id 'a.>'"),
        (structs.replace(asking("x"), run=RUN, step="s" * 200), "run, step: a step key has"),
    ],
)
async def test_a_request_that_cannot_be_is_refused(request_: ChatRequest, place: str) -> None:
    """The refusal names the field, and nothing is published for it."""
    stage = Stage(Settings())

    with pytest.raises(RefusedError, match=f"^invalid_request: {place}"):
        await stage.chat(request_)

    assert stage.bus.published == []


async def test_an_adapter_answers_with_the_callers_model(keyed: Settings) -> None:
    """The client gets the request with its own model's name."""
    claude = FakeModelClient(a_response())
    request = structs.replace(asking("x"), model="claude/opus")
    response = await Stage(keyed, {"claude": claude}).chat(request)

    assert (response.provider, response.model_requested) == ("claude", "claude/opus")
    assert claude.requests[0].model == "opus"
    assert response.warnings == []


async def test_a_failed_provider_is_followed_by_the_next(keyed: Settings) -> None:
    """Both tries are in the record, and a warning says who stepped in."""
    clients = {
        "claude": FakeModelClient(failing("overloaded")),
        "openai": FakeModelClient(a_response(provider="openai")),
    }
    response = await Stage(keyed, clients).chat(asking("x"))

    assert [(one.provider, one.number) for one in response.attempts] == [
        ("claude", 1),
        ("openai", 2),
    ]
    assert response.warnings == ["claude failed with overloaded (it broke); answered by openai"]


@pytest.mark.parametrize("error", ["bad_request", "context_window"])
async def test_a_bad_request_is_not_taken_elsewhere(keyed: Settings, error: ErrorClass) -> None:
    """The next provider is not even asked."""
    other = FakeModelClient(a_response())
    clients = {"claude": FakeModelClient(failing(error)), "openai": other}

    with pytest.raises(RefusedError, match=error):
        await Stage(keyed, clients).chat(asking("x"))

    assert other.requests == []


async def test_all_failing_is_a_refusal_and_an_error_delta(keyed: Settings) -> None:
    """The stream ends with one error, the reply tells every try."""
    clients = {
        "claude": FakeModelClient(failing("overloaded")),
        "openai": FakeModelClient(failing("auth")),
    }
    stage = Stage(keyed, clients)

    with pytest.raises(RefusedError) as caught:
        await stage.chat(streaming())

    assert caught.value.refused.retryable
    assert "claude failed with overloaded" in caught.value.refused.message
    assert "openai failed with auth" in caught.value.refused.message
    [delta] = stage.bus.deltas()
    assert isinstance(delta, DeltaError)
    assert (delta.error, delta.partial) == ("auth", False)


async def test_what_was_shown_stands_unless_a_restart_is_allowed(keyed: Settings) -> None:
    """By default a broken stream fails, for its reader has seen the beginning."""
    other = FakeModelClient(a_response())
    clients = {"claude": FakeModelClient(failing("truncated"), shows="Once"), "openai": other}
    stage = Stage(keyed, clients)

    with pytest.raises(RefusedError, match="truncated"):
        await stage.chat(streaming())

    assert other.requests == []
    last = stage.bus.deltas()[-1]
    assert isinstance(last, DeltaError)
    assert last.partial


async def test_a_restart_voids_what_was_shown(keyed: Settings) -> None:
    """A reader that allows it is told to discard, and sees the second answer."""
    clients = {
        "claude": FakeModelClient(failing("truncated"), shows="Once"),
        "openai": FakeModelClient(a_response(provider="openai"), shows="done"),
    }
    stage = Stage(keyed, clients)
    await stage.chat(streaming(on_break="restart"))
    deltas = stage.bus.deltas()

    resets = [one for one in deltas if isinstance(one, AttemptReset)]
    assert [(one.attempt, one.reason) for one in resets] == [(2, "truncated")]
    assert [one.attempt for one in deltas if isinstance(one, PartDelta)] == [1, 2]


async def test_a_call_is_bounded_by_its_deadline(keyed: Settings) -> None:
    """A provider that hangs costs no more than the caller's patience."""
    stage = Stage(keyed, {"claude": FakeModelClient(never)})
    request = structs.replace(streaming(), deadline_ms=stage.clock.now_ms() + 20)

    with pytest.raises(RefusedError, match=r"claude failed with timeout_total \(no answer") as hit:
        await stage.chat(request)

    assert hit.value.refused.retryable
    assert isinstance(stage.bus.deltas()[-1], DeltaError)


async def test_a_deadline_that_has_passed_fails_at_once(keyed: Settings) -> None:
    """No time left is told as what it is."""
    stage = Stage(keyed, {"claude": FakeModelClient(never)})

    with pytest.raises(RefusedError, match="timeout_total"):
        await stage.chat(structs.replace(asking("x"), deadline_ms=1))


async def test_a_timeout_inside_an_adapter_is_not_taken_for_ours(keyed: Settings) -> None:
    """A fault of an adapter is a crash that shows, and the stream still ends."""
    stage = Stage(keyed, {"claude": FakeModelClient(TimeoutError("its own"))})

    with pytest.raises(TimeoutError, match="its own"):
        await stage.chat(streaming())

    last = stage.bus.deltas()[-1]
    assert isinstance(last, DeltaError)
    assert last.error == "server_error"


async def test_a_call_that_is_given_up_ends_its_stream(keyed: Settings) -> None:
    """Cancelling passes through, after the reader was told."""
    asked = asyncio.Event()

    async def hang() -> object:
        asked.set()
        return await never()

    stage = Stage(keyed, {"claude": FakeModelClient(hang)})
    call = asyncio.create_task(stage.chat(streaming()))
    await asked.wait()
    call.cancel()

    with pytest.raises(asyncio.CancelledError):
        await call
    last = stage.bus.deltas()[-1]
    assert isinstance(last, DeltaError)
    assert last.error == "cancelled"


async def test_calls_are_counted_by_who_answered(keyed: Settings) -> None:
    """Failures count as nobody's."""
    client = FakeModelClient(a_response(), failing("auth"))
    stage = Stage(keyed, {"claude": client})
    await stage.chat(asking("x"))
    with pytest.raises(RefusedError):
        await stage.chat(asking("x"))

    text = stage.metrics.exposition()[0].decode()
    assert 'segue_model_calls_total{provider="claude"} 1.0' in text
    assert 'segue_model_calls_total{provider="none"} 1.0' in text
