"""Does the router choose, refuse and explain as it should?"""

from dataclasses import replace

import pytest
from msgspec import structs
from unit.providers.provider_support import asking

from segue_contracts.v1.chat import RouteOptions
from segue_providers.core.route import (
    NO_ADAPTER,
    NOT_NEEDED,
    Decision,
    Provider,
    Target,
    decide,
    obstacle,
    way_out,
)

CLAUDE = Provider(
    name="claude",
    aliases=frozenset({"anthropic"}),
    key_variable="CLAUDE_KEY",
    has_key=True,
    has_adapter=True,
    capabilities=frozenset({"tools", "vision"}),
)
GEMINI = Provider(name="gemini", key_variable="GEMINI_KEY", has_key=True, has_adapter=True)
OFFLINE = Provider(
    name="offline",
    has_adapter=True,
    stand_in=True,
    switch="OFFLINE=true",
    capabilities=frozenset({"tools"}),
)
KEYLESS = replace(CLAUDE, has_key=False)
UNBUILT = replace(GEMINI, has_adapter=False)
TURNED_OFF = replace(OFFLINE, off_by="OFFLINE=false")
EVERYONE = (CLAUDE, GEMINI, OFFLINE)
NOBODY_BUT_OFFLINE = (KEYLESS, UNBUILT, OFFLINE)


def routed(
    providers: tuple[Provider, ...], route: RouteOptions | None = None, model: str = ""
) -> Decision:
    """Decide on a request with these options."""
    request = structs.replace(asking("hello"), model=model, route=route or RouteOptions())
    return decide(request, providers)


def names(decision: Decision) -> list[str]:
    """Return the targets in order."""
    return [target.provider for target in decision.targets]


def reason(decision: Decision, provider: str) -> str:
    """Return what was said of a candidate."""
    return next(one.reason for one in decision.candidates if one.provider == provider)


def test_without_a_preference_the_priority_decides() -> None:
    """All usable providers are targets, in their own order."""
    assert names(routed(EVERYONE)) == ["claude", "gemini"]


def test_a_preferred_provider_comes_first() -> None:
    """The caller's order goes before the priority."""
    decision = routed(EVERYONE, RouteOptions(order=["gemini"]))

    assert names(decision) == ["gemini", "claude"]
    assert reason(decision, "gemini") == "preferred by the caller"
    assert reason(decision, "claude") == "by priority"
    assert decision.requested == ("gemini",)
    assert not decision.warnings


def test_an_alias_means_its_provider() -> None:
    """`anthropic` is `claude`, in any case of letters."""
    assert names(routed((GEMINI, CLAUDE), RouteOptions(order=["Anthropic"]))) == [
        "claude",
        "gemini",
    ]


def test_a_provider_named_twice_is_one_target() -> None:
    """Repeating a preference changes nothing."""
    order = ["claude", "anthropic", "claude/opus"]

    assert names(routed(EVERYONE, RouteOptions(order=order))) == ["claude", "gemini"]


def test_a_model_with_its_provider_is_a_preference() -> None:
    """`gemini/pro` asks gemini for pro, and the fallback for its default."""
    decision = routed(EVERYONE, model="gemini/pro")

    assert decision.targets == (
        Target(provider="gemini", model="pro"),
        Target(provider="claude", model=""),
    )


def test_a_model_may_stand_in_the_order() -> None:
    """Each entry of the order may name a model of its provider."""
    decision = routed(EVERYONE, RouteOptions(order=["gemini", "claude/opus"]))

    assert decision.targets == (
        Target(provider="gemini", model=""),
        Target(provider="claude", model="opus"),
    )


def test_a_bare_model_goes_to_the_first_choice_only() -> None:
    """A model name means nothing to the providers that are fallen back on."""
    decision = routed(EVERYONE, RouteOptions(order=["gemini"]), model="pro")

    assert [target.model for target in decision.targets] == ["pro", ""]


def test_an_unknown_preference_is_told() -> None:
    """A provider that does not exist is named together with those that do."""
    decision = routed(EVERYONE, RouteOptions(order=["mystery"]))

    assert names(decision) == ["claude", "gemini"]
    assert decision.warnings == (
        "preferred 'mystery' is no provider here (there are claude, gemini, offline)",
    )


def test_a_stand_in_stays_aside_while_a_model_can_serve() -> None:
    """The stand-in is no silent fallback of a real model."""
    assert reason(routed(EVERYONE), "offline") == NOT_NEEDED


def test_a_stand_in_serves_when_it_is_asked_for() -> None:
    """Preferring the stand-in is enough to get it, with no warning."""
    decision = routed(EVERYONE, RouteOptions(order=["offline"]))

    assert names(decision)[0] == "offline"
    assert not decision.warnings


def test_a_stand_in_serves_when_no_model_can() -> None:
    """The answer is labelled with why no model gave it."""
    decision = routed(NOBODY_BUT_OFFLINE)

    assert names(decision) == ["offline"]
    [warning] = decision.warnings
    assert warning == (
        "no model provider can serve (claude has no key (CLAUDE_KEY); gemini cannot serve: "
        f"{NO_ADAPTER}); answered by offline"
    )
    assert not decision.impossible


def test_a_preferred_provider_without_a_key_is_recorded_and_told() -> None:
    """The attempt that could not be made comes first, and a warning names the variable."""
    decision = routed(NOBODY_BUT_OFFLINE, RouteOptions(order=["claude"]))

    [attempt] = decision.impossible
    assert (attempt.number, attempt.provider, attempt.error) == (1, "claude", "not_configured")
    assert decision.warnings == (
        "preferred provider claude has no key (CLAUDE_KEY); answered by offline",
    )


def test_a_preferred_provider_without_an_adapter_is_never_pretended() -> None:
    """A key alone does not make a provider usable."""
    decision = routed(NOBODY_BUT_OFFLINE, RouteOptions(order=["gemini"]))

    assert reason(decision, "gemini") == NO_ADAPTER
    assert decision.impossible[0].message == NO_ADAPTER
    assert decision.warnings == (
        f"preferred provider gemini cannot serve: {NO_ADAPTER}; answered by offline",
    )


def test_only_what_was_preferred_before_the_winner_is_told() -> None:
    """A second choice that is not needed leaves no trace."""
    decision = routed((KEYLESS, GEMINI, OFFLINE), RouteOptions(order=["gemini", "claude"]))

    assert not decision.impossible
    assert not decision.warnings


@pytest.mark.parametrize(
    ("provider", "expected"),
    [
        (CLAUDE, ""),
        (OFFLINE, ""),
        (KEYLESS, "not_configured: no key (CLAUDE_KEY)"),
        (UNBUILT, NO_ADAPTER),
        (replace(KEYLESS, has_adapter=False), f"not_configured: no key (CLAUDE_KEY); {NO_ADAPTER}"),
        (TURNED_OFF, "turned off by OFFLINE=false"),
    ],
)
def test_an_obstacle_names_all_that_is_missing(provider: Provider, expected: str) -> None:
    """A provider tells everything that keeps it from serving."""
    assert obstacle(provider) == expected


@pytest.mark.parametrize(
    ("route", "expected"),
    [
        (RouteOptions(allow=["gemini"]), "not in route.allow"),
        (RouteOptions(deny=["anthropic"]), "in route.deny"),
        (RouteOptions(require=["tools", "video", "audio"]), "lacks audio, video"),
    ],
)
def test_the_requests_own_conditions_rule_a_provider_out(
    route: RouteOptions, expected: str
) -> None:
    """Allow, deny and required capabilities are hard filters with their reason."""
    assert reason(routed(EVERYONE, route), "claude") == expected


def test_a_provider_that_is_ruled_out_is_no_failed_attempt() -> None:
    """A caller who denies its own preference is warned, but nothing was missing."""
    decision = routed(EVERYONE, RouteOptions(order=["claude"], deny=["claude"]))

    assert not decision.impossible
    assert decision.warnings == (
        "preferred provider claude cannot serve: in route.deny; answered by gemini",
    )


def test_allowed_and_able_providers_stay() -> None:
    """What fits all conditions may serve."""
    assert names(routed(EVERYONE, RouteOptions(allow=["anthropic"], require=["vision"]))) == [
        "claude"
    ]


def test_nobody_left_gives_no_target_and_a_way_out() -> None:
    """The way out names every obstacle, and only settings that would help."""
    everyone = (KEYLESS, UNBUILT, TURNED_OFF)
    decision = routed(everyone)

    assert decision.targets == ()
    assert decision.warnings == ()
    assert way_out(decision, everyone) == (
        "no provider can serve this call (claude: not_configured: no key (CLAUDE_KEY); "
        f"gemini: {NO_ADAPTER}; offline: turned off by OFFLINE=false); "
        "set CLAUDE_KEY or OFFLINE=true"
    )


def test_no_setting_is_named_when_none_would_help() -> None:
    """A request that rules everybody out is told just that."""
    everyone = (CLAUDE, OFFLINE)
    decision = routed(everyone, RouteOptions(allow=["nobody"]))

    assert way_out(decision, everyone) == (
        "no provider can serve this call (claude: not in route.allow; offline: not in route.allow)"
    )
