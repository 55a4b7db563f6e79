"""Tests of how figures are written for people."""

import pytest

from segue.core.display import add_costs, cost, count, duration, plural


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (-5, "0 ms"),
        (0, "0 ms"),
        (999, "999 ms"),
        (1_000, "1.0 s"),
        (12_345, "12.3 s"),
        (59_999, "59.9 s"),
        (60_000, "1m00s"),
        (125_900, "2m05s"),
        (3_720_000, "1h02m"),
        (90_000_000, "25h00m"),
    ],
)
def test_a_duration_is_written_in_the_unit_that_reads_best(milliseconds: int, text: str) -> None:
    """Milliseconds, seconds, minutes and hours each have their form."""
    assert duration(milliseconds) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (9_999, "9,999"), (12_345, "12.3k"), (999_999, "999.9k"), (4_560_000, "4.5M")],
)
def test_a_count_of_tokens_is_short(number: int, text: str) -> None:
    """Large counts lose digits, small ones do not."""
    assert count(number) == text


@pytest.mark.parametrize(
    ("usd", "text"),
    [("0", "$0"), ("0.00", "$0"), ("0.0042", "$0.0042"), ("1.239", "$1.24"), ("x", "? (x)")],
)
def test_a_cost_shows_what_matters(usd: str, text: str) -> None:
    """Below a cent there are four decimals, above two, and nothing is just zero."""
    assert cost(usd) == text


def test_costs_are_added_without_rounding() -> None:
    """Decimal strings stay exact, and what is no number counts as nothing."""
    assert add_costs("0.1", "0.2") == "0.3"
    assert add_costs("0.1", "much") == "0.1"


def test_a_noun_follows_its_number() -> None:
    """One step, two steps."""
    assert [plural(1, "step"), plural(1_200, "step")] == ["1 step", "1,200 steps"]
