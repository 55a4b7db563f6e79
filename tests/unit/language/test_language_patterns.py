"""Patterns: are regular expressions matched like everywhere, but in bounded time?"""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue_language.json_schemas import schema_problems
from segue_language.patterns import MAX_STEPS, PatternError, pattern_of

PIECES = ["a", "b", ".", "[ab]", "[^a]", r"\d", r"\w", r"\s", r"\b", r"\B", "^", "$", "(a|b1)"]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(PIECES), st.sampled_from(["", "*", "+", "?", "{2}", "{1,3}", "{2,}"])
        )
    ),
    st.text("ab1 \u00e9_-", min_size=1, max_size=12),
)
def test_a_pattern_finds_what_the_library_finds(pieces: list[tuple[str, str]], text: str) -> None:
    """The automaton and the backtracking search agree."""
    source = "".join(f"(?:{piece}){often}" if often else piece for piece, often in pieces)
    assert pattern_of(source).is_in(text) == bool(re.search(source, text)), source


@pytest.mark.parametrize(
    ("source", "text", "found"),
    [
        (r"^[a-z0-9]+(-[a-z0-9]+)*$", "kebab-case-1", True),
        (r"^[a-z0-9]+(-[a-z0-9]+)*$", "kebab--case", False),
        (r"^\d{4}-\d\d$", "2030-01\n", False),
        (r"^\D\W\S$", "a-b", True),
        (r"[^\s,]", " ,", False),
        ("", "anything", True),
    ],
)
def test_common_patterns_are_matched(source: str, text: str, found: bool) -> None:  # noqa: FBT001 - a parameter of the table
    """`$` is the end of the text only."""
    assert pattern_of(source).is_in(text) == found


@pytest.mark.parametrize("source", ["^(a+)+$", "^(a|a)*$", "^(a|aa)+$", "^(.*a){20}$"])
def test_no_pattern_explodes(source: str) -> None:
    """Backtracking would take longer than the world has stood."""
    begin = time.perf_counter()
    assert schema_problems({"pattern": source}, "a" * 2_000 + "!") != []
    assert time.perf_counter() - begin < 20


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("(", "this is no regular expression"),
        ("a{1000}{1000}", "no regular expression|too large"),
        ("(?:a{100}){100}", "too large"),
        ("x" * 1_001, "longer than 1,000 characters"),
        (r"(a)\1", "'groupref' is not available"),
        ("(?!a)", "'assert not' is not available"),
        ("(?i)a", "flags are not available"),
    ],
)
def test_what_no_automaton_knows_is_refused(source: str, message: str) -> None:
    """The message says what it is."""
    with pytest.raises(PatternError, match=message):
        pattern_of(source)


def test_a_text_too_long_for_a_pattern_is_a_problem() -> None:
    """Its end is not looked at."""
    text = "a" * (MAX_STEPS // 3)
    assert "too long" in schema_problems({"pattern": "b+"}, text)[0].message
