"""Is what stands in a text found as it stands there?"""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue_providers.core.extract import (
    MAX_CHARACTERS,
    Fact,
    facts,
    mappings,
    one_line,
    parse_json,
    read,
    sentences,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=12,
)


def test_json_between_words_is_taken_out() -> None:
    """Objects are values; what stands around them is prose."""
    material = read('Look at {"a": 1} and then at [{"b": 2}] please.')

    assert material.values == ({"a": 1}, [{"b": 2}])
    assert material.prose.split() == ["Look", "at", "and", "then", "at", "please."]
    assert not material.cut


def test_a_fence_around_json_is_no_prose() -> None:
    """The marks of a code block go with the JSON inside it."""
    material = read('Input:\n```json\n{"a": 1}\n```\n')

    assert material.prose == "Input:"


@pytest.mark.parametrize("text", ["see [1]", "call f() {", "a {b} c", "[]", "{}", '{"a": NaN}'])
def test_brackets_that_hold_no_data_stay_prose(text: str) -> None:
    """References, code and empty brackets are words."""
    assert read(text).values == ()
    assert read(text).prose == text


def test_json_after_broken_json_is_found() -> None:
    """A broken beginning does not hide what follows."""
    assert read('{"a": {"b": 1}').values == ({"b": 1},)


def test_a_long_text_is_cut_and_says_so() -> None:
    """Only the beginning of a very long text is read."""
    material = read("x" * (MAX_CHARACTERS + 1))

    assert material.cut
    assert len(material.prose) == MAX_CHARACTERS


def test_very_deep_nesting_is_no_value() -> None:
    """Nesting beyond any use is left alone instead of breaking the reader."""
    deep = "[" * 100_000

    assert read(deep).values == ()
    assert parse_json(deep) is None


def test_a_lone_surrogate_is_no_json() -> None:
    """What could not be written back is not read."""
    assert parse_json('{"a": "\\ud800"}') is None


@given(JSON)
def test_any_json_text_is_read_back(value: object) -> None:
    """A text that is JSON as a whole gives its value."""
    assert parse_json(msgspec.json.encode(value).decode()) == value


@given(st.text())
def test_reading_never_fails(text: str) -> None:
    """Any text is material."""
    assert not read(text).cut


def test_sentences_end_at_marks_blank_lines_and_list_items() -> None:
    """Each sentence is one line, and their number is limited."""
    text = "One is\nhere. Two!  Three?\n\nFour\n- five\n2) six"

    assert sentences(text, 9) == ["One is here.", "Two!", "Three?", "Four", "- five", "2) six"]
    assert sentences(text, 2) == ["One is here.", "Two!"]


def test_a_long_line_is_cut_with_a_mark() -> None:
    """What is missing is shown by an ellipsis."""
    assert one_line("ab  cd\nef", 7) == "ab cd…"
    assert one_line("ab  cd", 5) == "ab cd"


def test_facts_are_named_by_their_place_near_the_root_first() -> None:
    """Scalars of all levels are facts; null is none."""
    value = {"a": {"b": 1}, "c": [True, {"d": "x"}], "e": 2.5, "f": None}

    assert list(facts(value)) == [
        Fact(path="e", value=2.5),
        Fact(path="a.b", value=1),
        Fact(path="c[0]", value=True),
        Fact(path="c[1].d", value="x"),
    ]


def test_mappings_are_walked_from_the_root() -> None:
    """Objects inside objects and lists are all met, scalars are not."""
    value = [{"a": {"b": 1}}, 3, [{"c": 2}]]

    assert list(mappings(value)) == [{"a": {"b": 1}}, {"b": 1}, {"c": 2}]
