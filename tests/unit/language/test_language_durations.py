"""Durations: are they read and written as people mean them?"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue_language.durations import MAX_MS, DurationError, format_duration, parse_duration


@pytest.mark.parametrize(
    ("written", "milliseconds"),
    [
        ("250ms", 250),
        ("30s", 30_000),
        ("5m", 300_000),
        ("1h30m", 5_400_000),
        ("2d", 172_800_000),
        ("1m500ms", 60_500),
        ("1.5s", 1_500),
        (1_500, 1_500),
        (2.0, 2),
        (0, 0),
    ],
)
def test_a_duration_is_read_as_milliseconds(written: object, milliseconds: int) -> None:
    """Units add up, and a bare number is milliseconds already."""
    assert parse_duration(written) == milliseconds


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("5 minutes", "'5 minutes' is no duration"),
        ("", "'' is no duration"),
        ("90", "'90' is no duration"),
        ("1m1h", "'1m1h' is no duration"),
        ("-1s", "'-1s' is no duration"),
        ("0.5ms", "'0.5ms' is no whole number of milliseconds"),
        (1.5, "1.5 is no whole number of milliseconds"),
        (-1, "cannot be negative"),
        (True, "'true' is no duration"),
        (float("nan"), "'nan' is no duration"),
        (float("inf"), "'inf' is no duration"),
        (10**400, "cannot exceed ten years"),
        ("999999d", "cannot exceed ten years"),
        (None, "this is no duration"),
    ],
)
def test_what_is_no_duration_is_refused_with_its_reason(written: object, reason: str) -> None:
    """The message says what is wrong with the value."""
    with pytest.raises(DurationError, match=reason):
        parse_duration(written)


@pytest.mark.parametrize(
    ("milliseconds", "written"),
    [(0, "0s"), (250, "250ms"), (5_400_000, "1h30m"), (90_061_001, "1d1h1m1s1ms")],
)
def test_milliseconds_are_written_with_the_largest_units(milliseconds: int, written: str) -> None:
    """The text is the shortest that people would write."""
    assert format_duration(milliseconds) == written


@given(st.integers(min_value=0, max_value=MAX_MS))
def test_what_is_written_is_read_back_as_the_same(milliseconds: int) -> None:
    """Writing and reading lose nothing."""
    assert parse_duration(format_duration(milliseconds)) == milliseconds
