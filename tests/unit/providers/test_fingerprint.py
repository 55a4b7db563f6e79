"""Fingerprints: are the same requests the same, and may their answers be shared?"""

import pytest
from msgspec import structs

from segue_contracts.v1.chat import (
    CacheOptions,
    CallAttempt,
    ChatMessage,
    ChatRequest,
    ChatResponse,
    Cost,
    OutputOptions,
    Part,
    Refusal,
    RouteOptions,
    Sampling,
    Stop,
    StopReason,
    StreamOptions,
    Text,
    Usage,
)
from segue_contracts.v1.metering import Allowance
from segue_providers.core.fingerprint import cache_key, fingerprint, may_be_shared, shared

ASKED = ChatRequest(messages=[ChatMessage(role="user", parts=[Text(text="Why?")])], model="m")


def answer(reason: StopReason = "end", part: Part | None = None) -> ChatResponse:
    """Return an answer."""
    return ChatResponse(
        provider="claude",
        message=ChatMessage(role="assistant", parts=[part or Text(text="So.")]),
        stop=Stop(reason=reason),
        usage=Usage(input_total=3),
        cost=Cost(usd="0.1"),
        attempts=[CallAttempt(number=1, provider="claude")],
    )


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(
            structs.replace(ASKED, id="a", run="r", step="s", attempt=2, deadline_ms=9), id="who"
        ),
        pytest.param(structs.replace(ASKED, stream=StreamOptions(on=True)), id="stream"),
        pytest.param(structs.replace(ASKED, metadata={"a": "b"}, budget_usd="1"), id="labels"),
        pytest.param(
            structs.replace(ASKED, allowances=[Allowance(account="run.a", usd="1")]), id="money"
        ),
        pytest.param(structs.replace(ASKED, cache=CacheOptions(mode="auto")), id="cache"),
        pytest.param(structs.replace(ASKED, route=RouteOptions(sticky_key="a")), id="sticky"),
    ],
)
def test_who_asks_and_pays_does_not_matter(other: ChatRequest) -> None:
    """Such requests have the same answer."""
    assert fingerprint(other) == fingerprint(ASKED)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(structs.replace(ASKED, model="n"), id="model"),
        pytest.param(
            structs.replace(ASKED, messages=[*ASKED.messages, *ASKED.messages]), id="messages"
        ),
        pytest.param(structs.replace(ASKED, sampling=Sampling(temperature=0.5)), id="sampling"),
        pytest.param(structs.replace(ASKED, output=OutputOptions(max_tokens=5)), id="output"),
        pytest.param(structs.replace(ASKED, route=RouteOptions(order=["gemini"])), id="route"),
        pytest.param(structs.replace(ASKED, provider_options={"openai": {"a": 1}}), id="options"),
    ],
)
def test_what_changes_the_answer_changes_the_fingerprint(other: ChatRequest) -> None:
    """Such requests must never share one."""
    assert fingerprint(other) != fingerprint(ASKED)


def test_the_order_of_names_does_not_matter() -> None:
    """JSON objects are equal in any order."""
    one = structs.replace(ASKED, provider_options={"openai": {"a": 1, "b": 2}})
    other = structs.replace(ASKED, provider_options={"openai": {"b": 2, "a": 1}})

    assert fingerprint(one) == fingerprint(other)


def test_a_request_may_forbid_the_cache() -> None:
    """Then it has no key; nor has one that wants only a key it does not give."""
    assert cache_key(ASKED) == ""
    assert cache_key(structs.replace(ASKED, cache=CacheOptions(mode="off", key="a"))) == ""
    assert cache_key(structs.replace(ASKED, cache=CacheOptions(mode="explicit"))) == ""


def test_a_key_of_the_callers_own_stands_for_any_request() -> None:
    """It is the same whatever is asked."""
    named = [
        structs.replace(ASKED, model=model, cache=CacheOptions(mode="explicit", key="a b"))
        for model in ("m", "n")
    ]

    assert cache_key(named[0]) == cache_key(named[1])
    assert cache_key(named[0]).startswith("key-")


def test_what_is_asked_is_the_key_otherwise() -> None:
    """Equal requests find each other's answers."""
    asked = structs.replace(ASKED, cache=CacheOptions(mode="auto", key="ignored"))

    assert cache_key(asked) == f"request-{fingerprint(ASKED)}"


@pytest.mark.parametrize("reason", ["end", "stop_sequence", "tool_use"])
def test_a_complete_answer_may_be_shared(reason: StopReason) -> None:
    """It is whole."""
    assert may_be_shared(answer(reason))


@pytest.mark.parametrize(
    "one",
    [
        pytest.param(answer("max_tokens"), id="cut"),
        pytest.param(answer("content_filter"), id="filtered"),
        pytest.param(answer(part=Refusal(text="No.")), id="refused"),
    ],
)
def test_a_cut_or_refused_answer_is_nobody_elses(one: ChatResponse) -> None:
    """Another try may give a better one."""
    assert not may_be_shared(one)


def test_a_shared_answer_costs_nothing() -> None:
    """It was paid for once, by whoever asked first."""
    asked = structs.replace(ASKED, id="mine")

    given = shared(answer(), asked, "exact")

    assert (given.id, given.cached, given.cost, given.usage) == ("mine", "exact", Cost(), Usage())
    assert given.attempts == []
    assert given.message == answer().message
