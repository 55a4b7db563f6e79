"""`segue providers`: are providers shown as they stand, and does a failed test fail?"""

import json

import pytest
from unit.client.client_world import World

from segue_contracts.reply import Refused
from segue_contracts.v1.metering import Cost
from segue_contracts.v1.providers import (
    CheckProvider,
    ExplainRoute,
    GetSpending,
    KeyState,
    ModelHealth,
    ProviderChecked,
    ProviderList,
    ProviderState,
    RouteExplained,
    Spending,
)
from segue_contracts.v1.telemetry import RouteCandidate

CLAUDE = ProviderState(
    name="claude",
    available=True,
    default_model="sonnet",
    models=[
        ModelHealth(
            model="sonnet",
            breaker="half_open",
            latency_ms=1_234.5,
            first_token_ms=321,
            error_rate=0.25,
            requests_per_minute=12.34,
        ),
        ModelHealth(model="opus"),
    ],
    keys=[
        KeyState(ref="env:ANTHROPIC_API_KEY", usable=True),
        KeyState(ref="file:/keys/two", usable=False, reason="auth"),
    ],
)
GEMINI = ProviderState(name="gemini", available=False, reason="no key (GOOGLE_API_KEY)")
LISTED = ProviderList(
    providers=[CLAUDE, GEMINI], policy="priority", configuration="c" * 64, instance="host-1"
)


def row_of(text: str, name: str) -> list[str]:
    """Return the cells of the table's first row that names something."""
    line = next(line for line in text.splitlines() if name in line)
    return [cell.strip() for cell in line.split("│")[1:-1]]


def test_providers_are_shown_with_their_models_and_keys(world: World) -> None:
    """The default model first, then others that were called."""
    world.facts.answers["status"] = LISTED
    shown = world.run("providers", "status")

    assert shown.exit_code == 0
    for word in ("claude", "ready", "sonnet", "half_open", "1.2 s", "321 ms", "25%", "12.3"):
        assert word in shown.stdout
    assert row_of(shown.stdout, "opus")[3:8] == ["closed", "-", "-", "0%", "0.0"]
    assert row_of(shown.stdout, "gemini")[3:] == ["-", "-", "-", "-", "-", "-"]
    assert "policy priority" in shown.stderr


def test_the_status_is_data_too(world: World) -> None:
    """As it travels on the bus."""
    world.facts.answers["status"] = LISTED
    shown = world.run("providers", "status", "-o", "json")

    assert json.loads(shown.stdout)["providers"][0]["name"] == "claude"


def test_a_configuration_that_is_not_in_use_is_shown(world: World) -> None:
    """With all that is wrong with it."""
    flaws = ["providers.yaml:3: providers.claude.rpm: unknown field"]
    world.facts.answers["status"] = ProviderList(providers=[], refused=flaws)
    shown = world.run("providers", "status")

    assert "not in use" in shown.stderr
    assert flaws[0] in shown.stderr


def test_a_provider_that_answers_passes_its_test(world: World) -> None:
    """With what the test took and cost."""
    world.facts.answers["test"] = ProviderChecked(
        provider="claude", model="opus", ok=True, total_ms=812, cost=Cost(usd="0.0004")
    )
    shown = world.run("providers", "test", "claude", "--model", "opus")

    assert (shown.exit_code, shown.stdout) == (0, "claude/opus answers, 812 ms, $0.0004\n")
    assert world.facts.requests == [CheckProvider(provider="claude", model="opus")]


@pytest.mark.parametrize("output", ["text", "json"])
def test_a_provider_that_does_not_answer_fails_its_test(world: World, output: str) -> None:
    """Exit code 1, for scripts."""
    world.facts.answers["test"] = ProviderChecked(
        provider="claude", model="", ok=False, error="auth", message="the key is refused"
    )
    shown = world.run("providers", "test", "claude", "-o", output)

    assert shown.exit_code == 1
    assert "the key is refused" in shown.stdout


def test_a_route_is_explained(world: World) -> None:
    """Who would answer comes first, with score and reason; who would not has none."""
    world.facts.answers["route"] = RouteExplained(
        policy="cost",
        candidates=[
            RouteCandidate(
                provider="gemini", eligible=True, model="pro", score=1.5, reason="cheap"
            ),
            RouteCandidate(provider="claude", eligible=False, reason="in route.deny"),
        ],
        warnings=["one warning"],
    )
    shown = world.run(
        *("providers", "route", "--explain", "Hello", "--model", "fast"),
        *("--policy", "cost", "--prefer", "gemini", "--prefer", "claude"),
    )
    [asked] = world.facts.requests

    assert shown.exit_code == 0
    assert row_of(shown.stdout, "gemini") == ["1", "gemini", "pro", "1.5", "cheap"]
    assert row_of(shown.stdout, "claude") == ["-", "claude", "-", "-", "in route.deny"]
    assert "one warning" in shown.stderr
    assert isinstance(asked, ExplainRoute)
    assert (asked.request.model, asked.request.route.policy) == ("fast", "cost")
    assert asked.request.route.order == ["gemini", "claude"]


def test_a_policy_that_cannot_be_is_a_mistake_of_use(world: World) -> None:
    """In the router's own words."""
    refused = Refused(code="invalid_request", message="route.policy: 'x' is no policy")
    world.facts.answers["route"] = refused
    shown = world.run("providers", "route", "--explain", "Hello", "--policy", "x")

    assert (shown.exit_code, "is no policy" in shown.stderr) == (2, True)


def test_a_route_is_data_too(world: World) -> None:
    """As it travels on the bus."""
    world.facts.answers["route"] = RouteExplained(policy="cost", candidates=[])
    shown = world.run("providers", "route", "--explain", "Hello", "-o", "json")

    assert json.loads(shown.stdout)["policy"] == "cost"


def test_spending_is_shown_beside_its_limit(world: World) -> None:
    """Dollars and tokens, settled and set aside."""
    world.facts.answers["spending"] = Spending(
        account="run.abc",
        settled_usd="1.25",
        settled_tokens=12_345,
        reserved_usd="0.5",
        limit_usd="5",
    )
    shown = world.run("providers", "spending", "run.abc")

    assert row_of(shown.stdout, "run.abc") == ["run.abc", "US dollars", "$1.25", "$0.50", "$5.00"]
    assert row_of(shown.stdout, "tokens") == ["", "tokens", "12.3k", "0", "-"]
    assert world.facts.requests == [GetSpending(account="run.abc")]


def test_spending_of_the_namespace_is_the_default(world: World) -> None:
    """Without limits, and as data too."""
    world.facts.answers["spending"] = Spending(account="", limit_tokens=9)
    shown = world.run("providers", "spending")
    data = world.run("providers", "spending", "-o", "json")

    assert row_of(shown.stdout, "the namespace")[4] == "-"
    assert row_of(shown.stdout, "tokens")[4] == "9"
    assert "limitTokens" in data.stdout


def test_without_a_providers_service_that_is_told(world: World) -> None:
    """Exit code 6, as for any other service."""
    shown = world.run("providers", "status")

    assert (shown.exit_code, "no providers service answers" in shown.stderr) == (6, True)
