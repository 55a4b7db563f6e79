"""Does health remember what matters, for as long as it matters, and no more?"""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.providers.routing_support import CLAUDE, GEMINI, NOW, OPUS

from segue_contracts.v1.chat import ErrorClass
from segue_providers.core.catalogue import Target
from segue_providers.core.health import IDLE_MS, MOST_MODELS, Health, Result, Vital
from segue_providers.core.window import BUCKETS, SPAN_MS, Window


def ended(health: Health, target: Target, *results: Result, now_ms: int = NOW) -> Vital:
    """Let calls end so."""
    for result in results:
        health.began(target, now_ms=now_ms)
        health.record(target, result, now_ms=now_ms)
    vital = health.of(target)
    assert vital is not None
    return vital


@pytest.mark.parametrize(
    ("error", "total_ms", "blamed"),
    [
        (None, 0, False),
        ("overloaded", 0, True),
        ("truncated", 0, True),
        ("transport", 0, True),
        ("timeout_idle", 0, True),
        ("timeout_total", 9_999, False),
        ("timeout_total", 10_000, True),
        ("bad_request", 0, False),
        ("auth", 0, False),
        ("quota_exhausted", 0, False),
        ("rate_limited", 0, False),
        ("content_policy", 0, False),
        ("context_window", 0, False),
        ("model_not_found", 0, False),
        ("cancelled", 0, False),
    ],
)
def test_a_provider_is_blamed_for_its_own_faults_only(
    error: ErrorClass | None, total_ms: float, *, blamed: bool
) -> None:
    """A wrong request, a spent key or a caller in a hurry says nothing of a provider."""
    assert Result(error=error, total_ms=total_ms).fault is blamed


def test_averages_move_with_each_answer() -> None:
    """The latest call counts a fifth; a failed call tells nothing of how long answers take."""
    health = Health()
    vital = ended(
        health,
        CLAUDE,
        Result(total_ms=100, first_token_ms=10),
        Result(total_ms=200, first_token_ms=20),
        Result(error="truncated", total_ms=9_000, first_token_ms=12),
        Result(error="overloaded", total_ms=1),
    )

    assert vital.latency_ms == pytest.approx(120)
    assert vital.first_token_ms == pytest.approx(12)
    assert vital.window.fault_rate(NOW) == 0.5
    assert vital.window.errors(NOW) == {"truncated": 1, "overloaded": 1}
    assert vital.per_minute(NOW) == 4


def test_a_call_that_was_given_up_counts_as_none() -> None:
    """Cancelling says nothing of a provider; the call is no longer in flight all the same."""
    health = Health()
    vital = ended(health, CLAUDE, Result(error="cancelled", total_ms=5, first_token_ms=1))

    assert (vital.window.calls(NOW), vital.first_token_ms, vital.in_flight) == (0, 0, 0)


def test_calls_in_flight_are_counted_by_provider() -> None:
    """All models of a provider share its connections."""
    health = Health()
    health.began(CLAUDE, now_ms=NOW)
    health.began(OPUS, now_ms=NOW)

    assert (health.in_flight("claude"), health.in_flight("gemini")) == (2, 0)
    health.record(CLAUDE, Result(), now_ms=NOW)
    health.record(OPUS, Result(), now_ms=NOW)
    assert health.in_flight("claude") == 0


def test_slow_first_tokens_are_known_by_the_latest() -> None:
    """Nineteen in twenty are faster; nothing is claimed before the first."""
    assert Vital().slow_first_token_ms() == 0
    results = [Result(first_token_ms=ms) for ms in range(1, 101)]

    assert ended(Health(), CLAUDE, *results).slow_first_token_ms() == 97


def test_an_idle_model_is_forgotten_and_a_busy_one_is_not() -> None:
    """A quarter of an hour without a call ends the memory, unless a call runs."""
    health = Health()
    ended(health, CLAUDE, Result())
    health.began(OPUS, now_ms=NOW)
    ended(health, GEMINI, Result(), now_ms=NOW + IDLE_MS)

    assert health.of(CLAUDE) is None
    assert [target for target, _ in health.known("claude")] == [OPUS]


def test_invented_models_do_not_fill_the_memory() -> None:
    """However many names callers think of, only so many are kept, the latest."""
    health = Health()
    for n in range(MOST_MODELS + 5):
        ended(health, Target("claude", f"m{n}"), Result(), now_ms=NOW + n)

    assert len(health.known("claude")) <= MOST_MODELS
    assert health.of(Target("claude", f"m{MOST_MODELS + 4}")) is not None
    assert health.of(Target("claude", "m0")) is None


@given(st.lists(st.tuples(st.integers(0, 20_000), st.booleans()), max_size=60))
def test_the_window_holds_the_last_minute(steps: list[tuple[int, bool]]) -> None:
    """Its counts are those of a list of all calls, to the precision of a bucket."""
    window, calls, now = Window(), [], NOW
    for wait, fault in steps:
        now += wait
        window.add(now, error="transport" if fault else "", fault=fault)
        calls.append((now, fault))
        piece = SPAN_MS // BUCKETS
        recent = [bad for at, bad in calls if at // piece > now // piece - BUCKETS]

        assert window.calls(now) == len(recent)
        assert window.faults(now) == sum(recent)
        assert window.errors(now) == ({"transport": sum(recent)} if any(recent) else {})


def test_an_empty_window_has_no_faults() -> None:
    """Nothing called is nothing failed."""
    window = Window()
    window.add(NOW, fault=True)

    assert window.fault_rate(NOW + SPAN_MS) == 0
    window.add(NOW + SPAN_MS, fault=True)
    window.clear()
    assert window.calls(NOW + SPAN_MS) == 0
