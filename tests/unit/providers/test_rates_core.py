"""Rates: does a shared bucket keep its limit, whoever draws from it?"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segue_providers.core.rates import (
    Allowed,
    Bucket,
    Pace,
    Piece,
    Told,
    draw,
    give_back,
    tightened,
    told_by,
)

NOW = 1_800_000_000_000
ONE = Piece(requests=1)
RPM = Allowed(rpm=600)


def drawn(pace: Pace, need: Piece, allowed: Allowed, now_ms: int = NOW) -> tuple[Pace, Piece]:
    """Return the pace after something was drawn, and what it was."""
    changed, piece = draw(pace, need, allowed, now_ms=now_ms)
    assert isinstance(piece, Piece)
    return changed, piece


def wait_s(pace: Pace, need: Piece, allowed: Allowed, now_ms: int = NOW) -> float:
    """Return how long nothing can be drawn."""
    changed, wait = draw(pace, need, allowed, now_ms=now_ms)
    assert isinstance(wait, float)
    assert changed is pace
    return wait


def test_a_fresh_bucket_gives_at_once() -> None:
    """The first request waits for nothing."""
    assert drawn(Pace(), ONE, RPM)[1] == ONE


def test_an_empty_bucket_says_when_there_is_more() -> None:
    """At ten a second the next one is there after a tenth."""
    pace = Pace(requests=Bucket(0, NOW))

    assert wait_s(pace, ONE, RPM) == pytest.approx(0.1, abs=1e-4)
    assert drawn(pace, ONE, RPM, NOW + 100)[1] == ONE


def test_a_busy_replica_takes_a_piece_at_once() -> None:
    """A tenth of a second's worth, so that not every request asks."""
    assert drawn(Pace(), ONE, Allowed(rpm=6_000))[1] == Piece(requests=10)


def test_no_piece_is_larger_than_what_is_there() -> None:
    """Others find no debt because one was greedy."""
    pace = Pace(requests=Bucket(3, NOW))

    assert drawn(pace, ONE, Allowed(rpm=6_000))[1] == Piece(requests=3)


def test_a_request_larger_than_the_bucket_goes_when_it_is_full() -> None:
    """It is never refused for good, and those after it wait the longer."""
    allowed = Allowed(tpm=600)

    pace, _ = drawn(Pace(), Piece(tokens=900), allowed)

    assert wait_s(pace, Piece(tokens=300), allowed) == pytest.approx(60)


def test_both_limits_must_have_room() -> None:
    """The longer wait counts."""
    pace = Pace(requests=Bucket(0, NOW), tokens=Bucket(0, NOW))

    wait = wait_s(pace, Piece(requests=1, tokens=300), Allowed(rpm=60, tpm=600))

    assert wait == pytest.approx(30)


def test_what_was_not_used_comes_back() -> None:
    """The estimate was high, and the next request need not wait."""
    allowed = Allowed(tpm=600)
    pace, _ = drawn(Pace(), Piece(tokens=600), allowed)

    pace = give_back(pace, Piece(tokens=500), allowed, now_ms=NOW)

    assert drawn(pace, Piece(tokens=500), allowed)[1] == Piece(tokens=500)


def test_what_comes_back_never_overfills() -> None:
    """Nobody can save up more than a burst."""
    pace = give_back(Pace(), Piece(requests=1_000), RPM, now_ms=NOW)

    assert pace.requests.level == 20


def test_a_clock_that_goes_back_fills_nothing() -> None:
    """Replicas whose clocks differ do not refill the bucket twice."""
    pace, _ = drawn(Pace(requests=Bucket(1, NOW)), ONE, RPM)

    assert drawn(pace, ONE, RPM, NOW + 100)[0].requests.at_ms == NOW + 100
    assert wait_s(pace, ONE, RPM, NOW - 60_000) == pytest.approx(0.1, abs=1e-4)


def test_each_replica_has_its_part_of_a_limit() -> None:
    """Three share it evenly; none counts as one."""
    assert Allowed(rpm=60, tpm=600).divided(3) == Allowed(rpm=20, tpm=200)
    assert RPM.divided(0) == RPM


def test_a_piece_covers_a_need_as_far_as_there_are_limits() -> None:
    """What is not limited need not be had."""
    assert Piece(requests=1).covers(Piece(requests=1, tokens=9), RPM)
    assert not Piece(requests=1).covers(Piece(requests=1, tokens=9), Allowed(rpm=1, tpm=1))
    assert not Piece(tokens=9).covers(Piece(requests=1, tokens=9), Allowed(rpm=1, tpm=1))


def test_pieces_add_up() -> None:
    """What one owes, another may have."""
    both = Piece(requests=1, tokens=9).plus(Piece(tokens=-4))

    assert both == Piece(requests=1, tokens=5)
    assert both.minus(Piece(requests=1)) == Piece(tokens=5)


@pytest.mark.parametrize(
    ("allowed", "bounded"), [(Allowed(), False), (RPM, True), (Allowed(tpm=1), True)]
)
def test_a_limit_of_nothing_is_none(allowed: Allowed, bounded: bool) -> None:  # noqa: FBT001 - a case of the table
    """Zero limits nothing."""
    assert allowed.bounded is bounded


def test_a_provider_that_has_less_left_is_believed() -> None:
    """Somebody else uses the same key."""
    pace = tightened(Pace(), Told(requests=0, tokens=5), Allowed(rpm=600, tpm=600), now_ms=NOW)

    assert (pace.requests.level, pace.tokens.level) == (0, 5)


def test_a_provider_that_has_more_left_changes_nothing() -> None:
    """The configured limit is the lower one."""
    pace = Pace(requests=Bucket(3, NOW))

    assert tightened(pace, Told(requests=4), RPM, now_ms=NOW) is pace


def test_a_provider_that_wants_a_pause_gets_it() -> None:
    """Nothing goes out until then, whatever is in the bucket."""
    pace = tightened(Pace(), Told(wait_s=7), RPM, now_ms=NOW)

    assert wait_s(pace, ONE, RPM) == pytest.approx(7)
    assert drawn(pace, ONE, RPM, NOW + 7_000)[1] == ONE


def test_a_shorter_pause_never_ends_a_longer_one() -> None:
    """The later end counts."""
    pace = tightened(Pace(), Told(wait_s=7), RPM, now_ms=NOW)

    assert tightened(pace, Told(wait_s=1), RPM, now_ms=NOW) is pace


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        (
            {"x-ratelimit-remaining-requests": "59", "x-ratelimit-remaining-tokens": "149984"},
            Told(requests=59, tokens=149_984),
        ),
        (
            {
                "Anthropic-RateLimit-Requests-Remaining": "3",
                "anthropic-ratelimit-input-tokens-remaining": "9000",
                "anthropic-ratelimit-output-tokens-remaining": "800",
                "anthropic-ratelimit-requests-reset": "2027-01-15T08:00:30Z",
            },
            Told(requests=3, tokens=800),
        ),
        ({"retry-after": "2.5"}, Told(wait_s=2.5)),
        ({"retry-after": "999999"}, Told(wait_s=3600)),
        ({"retry-after": "-1"}, Told()),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, Told()),
        ({"x-ratelimit-remaining-requests": "soon"}, Told()),
    ],
)
def test_headers_are_read_in_every_dialect(headers: dict[str, str], told: Told) -> None:
    """What is no number says nothing."""
    assert told_by(headers) == told


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    rpm=st.integers(1, 6_000),
    asks=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2_000)), max_size=200),
)
def test_no_minute_holds_more_than_the_limit_and_a_burst(
    rpm: int, asks: list[tuple[int, int]]
) -> None:
    """Whoever draws, with whatever clock, a minute never gives away more than it has."""
    pace, allowed, now_ms = Pace(), Allowed(rpm=rpm), NOW
    given: list[tuple[int, float]] = []
    for skew_s, later_ms in asks:
        now_ms += later_ms
        pace, piece = draw(pace, ONE, allowed, now_ms=now_ms - skew_s * 1000)
        if isinstance(piece, Piece):
            given.append((now_ms, piece.requests))
    most = rpm + max(1.0, rpm / 30) + rpm * 3 / 60
    for start_ms, _ in given:
        window = [n for at_ms, n in given if start_ms <= at_ms < start_ms + 60_000]
        assert sum(window) <= most + 1e-3


@settings(max_examples=60, deadline=None, derandomize=True)
@given(rpm=st.integers(1, 6_000), need=st.integers(1, 5))
def test_after_the_wait_there_is_what_was_asked_for(rpm: int, need: int) -> None:
    """Whoever waits as long as it was told does not wait again."""
    pace, allowed = Pace(requests=Bucket(-3, NOW)), Allowed(rpm=rpm)

    wait = wait_s(pace, Piece(requests=need), allowed)

    later_ms = NOW + int(wait * 1000) + 1
    assert isinstance(draw(pace, Piece(requests=need), allowed, now_ms=later_ms)[1], Piece)
