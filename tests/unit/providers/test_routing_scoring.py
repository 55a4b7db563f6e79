"""Do the policies rank as they say?"""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from unit.providers.routing_support import (
    NOW,
    asking,
    called,
    configured,
    fleet_of,
    names,
    provider,
    reason,
    routed,
)

from segue_providers.core.catalogue import Target
from segue_providers.core.configuration import Configuration
from segue_providers.core.fleet import Admission, Fleet
from segue_providers.core.health import Result
from segue_providers.core.routing import Decision
from segue_providers.core.scoring import Draw

READS = {"input": "2", "output": "10", "cache_read": "0.2"}


def three(**fields: dict[str, object]) -> Configuration:
    """Return three providers of one model each, that differ in these fields."""
    providers = {
        name: provider("gemini", rank, "m") | fields.get(name, {})
        for rank, name in enumerate("abc", start=1)
    }
    return configured(providers=providers, aliases={})


def ranked(
    policy: str, found: Configuration, fleet: Fleet | None = None, **fields: object
) -> Decision:
    """Rank them."""
    draw = fields.pop("draw", 0.5)
    streamed = fields.pop("streamed", False)
    request = asking(policy=policy, **fields)
    request = structs.replace(request, stream=structs.replace(request.stream, on=streamed))
    return routed(request, found, fleet=fleet or fleet_of(found), draw=draw, input_tokens=1_000)


def firsts(policy: str, found: Configuration, fleet: Fleet | None = None) -> Counter[str]:
    """Count who goes first over the whole range of draws."""
    chosen = (ranked(policy, found, fleet, draw=(n + 0.5) / 1_000) for n in range(1_000))
    return Counter(one.targets[0].provider for one in chosen)


def test_weights_are_shares_of_calls() -> None:
    """Three to one is 750 to 250 of a thousand draws; weight 0 goes last."""
    found = three(a={"weight": 3}, b={"weight": 1}, c={"weight": 0})

    counts = firsts("weighted", found)

    assert counts["c"] == 0
    assert abs(counts["a"] - 750) <= 2
    decision = ranked("weighted", found)
    assert names(decision)[-1] == "c/m"
    assert reason(decision, "a") == "by weight 3"
    assert [one.score for one in decision.candidates] == [0, 1, 2]


def test_weights_of_many_are_shares_too() -> None:
    """Each gets its part of all calls, whatever its place in the list."""
    counts = firsts("weighted", three(a={"weight": 2}, b={"weight": 1}, c={"weight": 1}))

    assert abs(counts["b"] - 250) <= 2
    assert abs(counts["c"] - 250) <= 2


def test_the_second_by_weight_is_drawn_by_weight_too() -> None:
    """When the first fails, the rest of the load is shared by weight as well."""
    found = three(a={"weight": 2}, b={"weight": 1}, c={"weight": 1})
    orders = [names(ranked("weighted", found, draw=(n + 0.5) / 800)) for n in range(800)]

    second = Counter(order[1] for order in orders if order[0] == "a/m")

    assert abs(second["b/m"] - second["c/m"]) <= 4


def test_a_sticky_key_always_gets_the_same_by_weight() -> None:
    """Equal keys go to equal providers whatever is drawn, and keys spread by weight."""
    found = three(a={"weight": 3}, b={"weight": 1}, c={"weight": 0})

    def first(key: str, draw: float) -> str:
        return names(ranked("weighted", found, sticky_key=key, draw=draw))[0]

    assert {first("k", draw) for draw in (0.0, 0.3, 0.9)} == {first("k", 0.5)}
    counts = Counter(first(str(n), 0.5) for n in range(400))
    assert 260 < counts["a/m"] < 340


def measured(found: Configuration, **times: float) -> Fleet:
    """Return a fleet whose models took so long."""
    fleet = fleet_of(found)
    for name, time in times.items():
        called(fleet, Target(name, "m"), Result(total_ms=time, first_token_ms=time / 10))
    return fleet


def test_the_fastest_goes_first_by_latency() -> None:
    """Whole answers are compared by their time, streams by their first token."""
    found = three()
    fleet = measured(found, a=300, b=100, c=200)

    assert names(ranked("latency", found, fleet)) == ["b/m", "c/m", "a/m"]
    assert reason(ranked("latency", found, fleet), "b") == "about 100 ms"
    assert reason(ranked("latency", found, fleet, streamed=True), "b") == "about 10 ms"


def test_failures_make_a_model_slower_to_expect() -> None:
    """A call that fails half of the time takes twice as long to succeed."""
    found = three()
    fleet = measured(found, a=150, b=100, c=200)
    called(fleet, Target("b", "m"), Result(error="server_error"))

    assert names(ranked("latency", found, fleet)) == ["a/m", "b/m", "c/m"]


def test_a_model_that_was_not_measured_goes_first_but_not_with_every_call() -> None:
    """One call measures it; while that runs, the others go where the times are known."""
    found = three()
    fleet = measured(found, a=100, b=200)

    assert names(ranked("latency", found, fleet)) == ["c/m", "a/m", "b/m"]
    assert isinstance(fleet.admit(Target("c", "m"), now_ms=NOW), Admission)
    assert names(ranked("latency", found, fleet)) == ["a/m", "c/m", "b/m"]
    assert reason(ranked("latency", found, fleet), "c") == "not measured yet"


def test_latency_explores_now_and_then() -> None:
    """One call in twenty goes to somebody else, evenly, so that old figures are corrected."""
    found = three()
    counts = firsts("latency", found, measured(found, a=100, b=200, c=300))

    assert counts == {"a": 950, "b": 25, "c": 25}


def test_the_cheapest_goes_first_by_cost_and_unknown_prices_last() -> None:
    """The estimate is of this request: its input and what it may write."""
    found = three(
        a={"models": {"m": {"price": {"input": "1", "output": "100"}}}},
        c={"models": {"m": {"price": {"input": "50", "output": "2"}}}},
    )

    assert names(ranked("cost", found, tokens=10)) == ["a/m", "c/m", "b/m"]
    assert names(ranked("cost", found, tokens=1_000)) == ["c/m", "a/m", "b/m"]
    decision = ranked("cost", found, tokens=10)
    assert reason(decision, "a") == "about $0.002000"
    assert reason(decision, "b") == "price unknown, so last"


def test_the_least_busy_goes_first() -> None:
    """Load is calls in flight as a share of what a provider may have."""
    found = three(b={"max_in_flight": 10})
    fleet = fleet_of(found)
    for name in ("a", "a", "b"):
        assert isinstance(fleet.admit(Target(name, "m"), now_ms=NOW), Admission)

    decision = ranked("least_busy", found, fleet)

    assert names(decision) == ["c/m", "a/m", "b/m"]
    assert reason(decision, "a") == "2 calls in flight"


def test_a_sticky_key_keeps_its_provider_where_its_cache_is_worth_it() -> None:
    """Only models whose cache reads are cheaper count, and none that does much worse."""
    reads = {"models": {"m": {"price": READS}}}
    found = three(a=reads, b=reads)
    fleet = measured(found, a=100, b=150, c=120)

    led = {
        key: names(ranked("latency", found, fleet, sticky_key=key))[0]
        for key in map(str, range(40))
    }

    assert set(led.values()) == {"a/m", "b/m"}
    assert (
        "where this sticky key leads"
        in ranked("latency", found, fleet, sticky_key="1").candidates[0].reason
    )
    slow = measured(found, a=100, b=250, c=120)
    assert {names(ranked("latency", found, slow, sticky_key=key))[0] for key in led} == {"a/m"}
    uncached = three()
    plain = measured(uncached, a=100, b=150, c=120)
    assert {names(ranked("latency", uncached, plain, sticky_key=key))[0] for key in led} == {"a/m"}


@given(st.floats(0, 1), st.lists(st.floats(0, 1), max_size=6))
def test_a_draw_never_leaves_its_range(at: float, shares: list[float]) -> None:
    """Certain things are certain however often was drawn, and impossible ones never happen."""
    draw = Draw(at)
    for share in shares:
        draw.chance(share)

    assert draw.chance(1)
    assert not draw.chance(0)


@given(st.floats(0, 1), st.lists(st.floats(0, 10), min_size=1, max_size=5))
def test_a_draw_chooses_one_of_all(at: float, weights: list[float]) -> None:
    """An index is always one of those offered."""
    if not any(weights):
        weights[-1] = 1.0

    assert 0 <= Draw(at).index(weights) < len(weights)


@pytest.mark.parametrize("draw", [-1.0, 0.0, 1.0, 2.0])
def test_a_draw_out_of_range_is_taken_to_its_end(draw: float) -> None:
    """A number that cannot be is no reason to fail a call."""
    assert names(ranked("weighted", three(), draw=draw))
