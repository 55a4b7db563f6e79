"""Does the router choose, refuse and explain as it should?"""

import pytest
from msgspec import structs
from unit.providers.routing_support import (
    CLAUDE,
    GEMINI,
    NOW,
    OPUS,
    asking,
    called,
    configured,
    fleet_of,
    names,
    provider,
    reason,
    routed,
    said,
)

from segue_contracts.v1.chat import ChatMessage, ErrorClass, Fallback, Media, Source, Tool
from segue_providers.core.catalogue import Found, Target
from segue_providers.core.filters import InvalidRouteError
from segue_providers.core.fleet import Admission
from segue_providers.core.health import Result
from segue_providers.core.routing import NOT_NEEDED, PREFERRED, after

NO_KEY = Found(obstacle="not_configured: no key (KEY)", missing="KEY", keyless=True)
OFF = Found(obstacle="turned off by OFFLINE=false", missing="OFFLINE=true")
DOWN = Result(error="transport")


def test_without_a_preference_the_priority_decides() -> None:
    """Each provider's default model is a target, in order of priority."""
    decision = routed()

    assert names(decision) == ["claude/sonnet", "gemini/pro"]
    assert (decision.policy, decision.requested, decision.warnings) == ("priority", (), ())
    assert [one.score for one in decision.candidates[:2]] == [1, 2]
    assert reason(decision, "claude") == "by priority"


@pytest.mark.parametrize(
    ("model", "order", "expected"),
    [
        ("", ["gemini"], ["gemini/pro", "claude/sonnet"]),
        ("", ["Google", "gemini"], ["gemini/pro", "claude/sonnet"]),
        ("gemini/flash", [], ["gemini/flash", "claude/sonnet"]),
        ("", ["gemini", "claude/opus"], ["gemini/pro", "claude/opus"]),
        ("", ["claude", "claude/opus"], ["claude/sonnet", "claude/opus", "gemini/pro"]),
        ("strong", [], ["claude/opus", "gemini/pro"]),
        ("strong", ["gemini"], ["gemini/pro", "claude/opus"]),
        ("strong", ["claude", "gemini"], ["claude/opus", "gemini/pro"]),
        ("opus", ["gemini"], ["claude/opus", "gemini/pro"]),
        ("claude", [], ["claude/sonnet", "gemini/pro"]),
        ("", ["offline"], ["offline/extractive", "claude/sonnet", "gemini/pro"]),
    ],
)
def test_what_the_caller_prefers_goes_first(
    model: str, order: list[str], expected: list[str]
) -> None:
    """The model goes before the order, an alias follows the order, and others come after."""
    decision = routed(asking(model, order=order))

    assert names(decision) == expected
    assert decision.candidates[0].reason == PREFERRED
    assert not decision.warnings


def test_a_model_that_nobody_lists_is_asked_of_the_first_choice() -> None:
    """It may be new, so it is tried as it is, and the caller is told."""
    decision = routed(asking("brand-new", order=["gemini"]))

    assert names(decision) == ["gemini/brand-new", "claude/sonnet"]
    assert decision.warnings == (
        "model 'brand-new' is not known to any provider here; asked of gemini as it is",
    )
    assert names(routed(asking("brand-new")))[0] == "claude/brand-new"


def test_a_model_that_nobody_lists_is_not_asked_of_a_stand_in() -> None:
    """With no model provider the stand-in serves as itself, with both warnings."""
    decision = routed(asking("brand-new"), found={"claude": NO_KEY, "gemini": NO_KEY})

    assert names(decision) == ["offline/extractive"]
    assert "is no provider, model or alias here" in decision.warnings[0]
    assert "no model provider can serve" in decision.warnings[1]


def test_a_compatible_server_is_asked_for_a_model_that_another_lists() -> None:
    """A local server may have any model, so a preferred one is asked first."""
    local = provider("openai-chat", 5, "tiny", base_url="http://127.0.0.1:1/v1")
    found = configured(providers={"local": local, "claude": provider("anthropic", 1, "sonnet")})

    assert names(routed(asking("sonnet", order=["local"]), found)) == [
        "local/sonnet",
        "claude/sonnet",
    ]
    # An alias has its own meaning, whoever is preferred.
    aliased = configured(
        providers={"local": local, "claude": provider("anthropic", 1, "sonnet")},
        aliases={"good": ["claude/sonnet"]},
    )
    assert names(routed(asking("good", order=["local"]), aliased))[0] == "claude/sonnet"


def test_a_preference_that_nobody_knows_is_told() -> None:
    """A name without meaning is passed over, together with a list of those that have one."""
    decision = routed(asking(order=["mystery"]))

    assert names(decision)[0] == "claude/sonnet"
    [warning] = decision.warnings
    assert warning == (
        "preferred 'mystery' is no provider, model or alias here "
        "(there are claude, gemini, offline, strong)"
    )


def test_a_stand_in_stays_aside_while_a_model_can_serve() -> None:
    """The stand-in is no silent fallback of a real model."""
    assert reason(routed(), "offline") == NOT_NEEDED


def test_a_stand_in_serves_when_no_model_can_and_says_why() -> None:
    """The answer is labelled with why no model gave it."""
    decision = routed(found={"claude": NO_KEY, "gemini": Found(obstacle="no library")})

    assert names(decision) == ["offline/extractive"]
    [warning] = decision.warnings
    assert warning == (
        "no model provider can serve (claude has no key (KEY); "
        "gemini cannot serve: no library); answered by offline"
    )
    assert not decision.impossible


def test_a_preferred_provider_without_a_key_is_recorded_and_told() -> None:
    """The attempt that could not be made comes first, and a warning names the variable."""
    decision = routed(asking("opus"), found={"claude": NO_KEY})

    [attempt] = decision.impossible
    assert (attempt.number, attempt.provider, attempt.model) == (1, "claude", "opus")
    assert attempt.error == "not_configured"
    assert decision.warnings == ("preferred provider claude has no key (KEY); answered by gemini",)


def test_a_preferred_provider_behind_a_usable_one_is_not_told() -> None:
    """Who was not needed needs no excuse."""
    decision = routed(asking(order=["claude", "gemini"]), found={"gemini": NO_KEY})

    assert not decision.impossible
    assert not decision.warnings


def test_when_nobody_can_serve_the_way_out_names_what_to_set() -> None:
    """The reasons of all and the settings that help are one sentence."""
    decision = routed(found={"claude": NO_KEY, "gemini": NO_KEY, "offline": OFF})

    assert decision.targets == ()
    assert decision.way_out.startswith("no provider can serve this call (claude: not_configured")
    assert decision.way_out.endswith("; set KEY or OFFLINE=true")
    assert not decision.retry_at_ms


@pytest.mark.parametrize(
    ("route", "expected"),
    [
        ({"allow": ["gemini"]}, "not in route.allow"),
        ({"allow": ["claude/opus"]}, "not in route.allow"),
        ({"deny": ["Anthropic"]}, "in route.deny"),
        ({"deny": ["sonnet"]}, "in route.deny"),
        ({"require": ["telepathy"]}, "lacks telepathy"),
        ({"max_price_usd": "3"}, "its price is unknown, and route.max_price_usd is set"),
    ],
)
def test_a_request_rules_models_out(route: dict[str, object], expected: str) -> None:
    """Conditions of the request are filters, each with its reason."""
    decision = routed(asking(**route))

    assert reason(decision, "claude") == expected
    assert CLAUDE not in decision.targets


def test_a_namespace_rules_models_out() -> None:
    """What a namespace may use is not for its callers to say."""
    rules = {"a": {"allow": ["gemini"]}, "b": {"deny": ["strong"]}}
    found = configured(namespaces=rules)

    assert reason(routed(None, found, namespace="a"), "claude") == "not allowed in this namespace"
    assert reason(routed(None, found, namespace="b"), "gemini") == "denied in this namespace"
    assert names(routed(None, found, namespace="c")) == ["claude/sonnet", "gemini/pro"]


def priced(**models: dict[str, object]) -> dict[str, object]:
    """Return a provider of models that are known in full."""
    return provider("anthropic", 1, models=models)


BIG = {"context_window": 1_000, "max_output": 100, "price": {"input": "10", "output": "20"}}


@pytest.mark.parametrize(
    ("tokens", "route", "moment", "expected"),
    [
        (0, {}, {"input_tokens": 1_001}, "its context window of 1000 is less than about 1001"),
        (90, {}, {"input_tokens": 950}, "less than about 1040 tokens"),
        (101, {}, {}, "writes 100 tokens at most, 101 are asked for"),
        (0, {"max_price_usd": "19.5"}, {}, "costs $20 for a million tokens of output, above"),
        (
            0,
            {},
            {"input_tokens": 1_000, "budget_left_usd": 0.001},
            "its input alone costs about $0.0100, and $0.0010 are left",
        ),
    ],
)
def test_a_model_that_is_too_small_or_too_dear_is_ruled_out(
    tokens: int, route: dict[str, object], moment: dict[str, object], expected: str
) -> None:
    """Window, output, price and what is left of a budget are hard limits."""
    found = configured(providers={"claude": priced(big=BIG) | {"default_model": "big"}}, aliases={})

    assert expected in reason(routed(asking(tokens=tokens, **route), found, **moment), "claude")
    fits = routed(
        asking(tokens=100, max_price_usd="20"), found, input_tokens=900, budget_left_usd=1.0
    )
    assert names(fits) == ["claude/big"]


def test_what_a_request_holds_is_a_demand_too() -> None:
    """Tools and media need models that take them, without anybody having to say so."""
    deaf = {"capabilities": ["tools"], **BIG}
    found = configured(
        providers={"claude": priced(big=deaf) | {"default_model": "big"}}, aliases={}
    )

    def seen(mime: str) -> str:
        part = Media(kind="image", source=Source(url="https://x/y"), mime=mime)
        message = ChatMessage(role="user", parts=[part])
        request = structs.replace(asking(), messages=[said("look"), message])
        return reason(routed(request, found), "claude")

    assert seen("image/png") == "lacks vision"
    assert seen("audio/wav") == "lacks audio"
    assert seen("video/mp4") == "lacks video"
    assert seen("application/pdf") == "lacks documents"
    toolless = configured(
        providers={"claude": priced(big=BIG | {"capabilities": []}) | {"default_model": "big"}},
        aliases={},
    )
    request = structs.replace(asking(), tools=[Tool(name="search", description="Search.")])
    assert reason(routed(request, toolless), "claude") == "lacks tools"


def test_a_provider_without_a_default_serves_only_models_that_are_named() -> None:
    """A call that names no model cannot go there."""
    local = provider("openai-chat", 1, base_url="http://127.0.0.1:1/v1")
    found = configured(providers={"local": local}, aliases={})

    assert reason(routed(None, found), "local").startswith("has no default_model")
    assert names(routed(asking("local/any"), found)) == ["local/any"]


def test_a_model_that_is_too_slow_is_ruled_out_once_that_was_seen() -> None:
    """A limit on the first token holds against what was measured."""
    fleet = fleet_of()
    called(fleet, CLAUDE, Result(total_ms=900, first_token_ms=400))

    slow = routed(asking(max_first_token_ms=300), fleet=fleet)

    assert "about 400 ms, above route.max_first_token_ms 300" in reason(slow, "claude")
    assert names(slow) == ["gemini/pro"]
    assert names(routed(asking(max_first_token_ms=500), fleet=fleet))[0] == "claude/sonnet"


def test_an_open_breaker_rules_its_model_out_and_says_until_when() -> None:
    """Other models of the provider stay eligible, and waiting has a known end."""
    fleet = fleet_of()
    called(fleet, CLAUDE, *[DOWN] * 5)

    decision = routed(fleet=fleet, found={"gemini": NO_KEY, "offline": OFF})

    assert reason(decision, "claude") == "its breaker is open, next try in 15 s"
    assert decision.retry_at_ms == NOW + 15_000
    assert names(routed(asking("opus"), fleet=fleet))[0] == "claude/opus"


def test_keys_that_rest_rule_their_provider_out() -> None:
    """Without a key that may be used nothing is asked."""
    fleet = fleet_of()
    called(fleet, CLAUDE, Result(error="rate_limited", retry_after_s=7))
    called(fleet, GEMINI, Result(error="auth"))

    decision = routed(fleet=fleet)

    assert reason(decision, "claude") == "every key rests (rate_limited) for 7 s"
    assert reason(decision, "gemini") == "every key was refused (auth); set a new one"


def test_a_provider_with_enough_calls_in_flight_is_ruled_out() -> None:
    """The limit of calls at once holds for all models of a provider together."""
    fleet = fleet_of()
    fleet.renew({"claude": {"env:KEY": "1"}}, most={"claude": 1})
    admission = fleet.admit(OPUS, now_ms=NOW)
    assert isinstance(admission, Admission)

    assert reason(routed(fleet=fleet), "claude") == "1 calls are in flight, the most allowed"
    fleet.record(admission, Result(), now_ms=NOW, jitter=0.5)
    assert names(routed(fleet=fleet))[0] == "claude/sonnet"


def ramping() -> object:
    """Return a fleet in which claude's breaker is on its first stage of the ramp."""
    fleet = fleet_of()
    called(fleet, CLAUDE, *[DOWN] * 5)
    called(fleet, CLAUDE, *[Result()] * 4, now_ms=NOW + 20_000)
    return fleet


def test_a_ramping_model_goes_first_for_its_share_of_calls_only() -> None:
    """One call in ten goes there by rank; the others go there last."""
    fleet = ramping()
    at = NOW + 20_000

    first = sum(
        names(routed(fleet=fleet, now_ms=at, draw=n / 100))[0] == "claude/sonnet"  # type: ignore[arg-type]
        for n in range(100)
    )

    assert first == 10
    late = routed(fleet=fleet, now_ms=at, draw=0.9)  # type: ignore[arg-type]
    assert names(late) == ["gemini/pro", "claude/sonnet"]
    assert reason(late, "claude") == "by priority, last while its breaker is ramping"


@pytest.mark.parametrize(
    ("route", "field"),
    [
        ({"policy": "magic"}, "route.policy: 'magic' is no policy; there are priority"),
        ({"max_price_usd": "cheap"}, "route.max_price_usd: 'cheap' is no amount"),
        ({"max_price_usd": "-1"}, "route.max_price_usd: '-1' is no amount"),
        ({"max_price_usd": "NaN"}, "route.max_price_usd: 'NaN' is no amount"),
    ],
)
def test_an_option_that_cannot_be_is_refused(route: dict[str, object], field: str) -> None:
    """A request with a nonsensical route is told which field is wrong."""
    with pytest.raises(InvalidRouteError) as refused:
        routed(asking(**route))

    assert field in str(refused.value)


# Where it goes on.


def test_after_an_error_the_next_target_follows() -> None:
    """Nobody is asked twice, and the end is the end."""
    decision = routed()

    assert after(decision, "overloaded", {CLAUDE}) == GEMINI
    assert after(decision, "auth", {CLAUDE}) == GEMINI
    assert after(decision, "overloaded", {CLAUDE, GEMINI}) is None


@pytest.mark.parametrize("error", ["bad_request", "cancelled", "budget_exceeded", "content_policy"])
def test_an_error_of_the_request_ends_the_call(error: ErrorClass) -> None:
    """Another provider would meet it too, or was not asked for by policy."""
    assert after(routed(), error, {CLAUDE}) is None


def test_a_stand_in_never_replaces_a_model_that_failed() -> None:
    """It is no target beside models, so no error leads to it."""
    decision = routed(asking(allow=["claude", "offline"]))

    assert after(decision, "server_error", {CLAUDE}) is None


def test_a_chain_is_followed_for_its_errors_only() -> None:
    """The request's chains go before the configured ones; a chain's end is the end."""
    found = configured(
        fallbacks=[
            {"on": ["content_policy"], "chain": ["gemini/flash"]},
            {"on": ["auth"], "chain": []},
        ]
    )
    own = [Fallback(on=["overloaded"], chain=["strong", "nobody"])]
    decision = routed(asking(fallback=own), found)

    assert after(decision, "overloaded", {CLAUDE}) == OPUS
    assert after(decision, "overloaded", {CLAUDE, OPUS}) == GEMINI
    assert after(decision, "overloaded", {CLAUDE, OPUS, GEMINI}) is None
    assert after(decision, "content_policy", {CLAUDE}) == Target("gemini", "flash")
    assert after(decision, "auth", {CLAUDE}) is None
    assert after(decision, "transport", {CLAUDE}) == GEMINI
    assert after(routed(asking(fallback=[Fallback(chain=["opus"])])), "auth", {CLAUDE}) == OPUS


def test_a_chain_leads_to_nobody_who_is_unfit() -> None:
    """The request's filters hold for its fallbacks too."""
    own = [Fallback(chain=["claude/opus", "gemini/flash"])]
    decision = routed(asking(fallback=own, deny=["opus"]))

    assert after(decision, "overloaded", {CLAUDE}) == Target("gemini", "flash")


def test_after_a_full_context_window_a_larger_one_follows() -> None:
    """Smaller windows are passed over when the one that was too small is known."""

    def windows(**sizes: int) -> object:
        providers = {
            name: provider("gemini", rank, models={"m": {"context_window": size}})
            | {"default_model": "m"}
            for rank, (name, size) in enumerate(sizes.items())
        }
        return configured(providers=providers, aliases={})

    known = routed(None, windows(a=200, b=100, c=300))  # type: ignore[arg-type]
    assert after(known, "context_window", {Target("a", "m")}) == Target("c", "m")
    unknown = routed(None, windows(a=0, b=100))  # type: ignore[arg-type]
    assert after(unknown, "context_window", {Target("a", "m")}) == Target("b", "m")
