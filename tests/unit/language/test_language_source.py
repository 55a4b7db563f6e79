"""Reading: is everything found where it stands, in YAML and in JSON, within bounds?"""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue_language.json_source import SlowPathError, read_json, read_quickly
from segue_language.source import Mark, UnreadableError
from segue_language.yaml_source import read_yaml

YAML_TEXT = """\
name: review
steps:
  - key: scan
    with: {a: 1, b: [x, "y"]}
"""
JSON_TEXT = """\
{
  "name": "review",
  "steps": [
    {"key": "scan", "with": {"a": 1, "b": ["x", "y"]}}
  ]
}
"""
VALUE = {"name": "review", "steps": [{"key": "scan", "with": {"a": 1, "b": ["x", "y"]}}]}

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(min_value=-(2**63), max_value=2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@pytest.mark.parametrize(
    ("path", "at_key", "yaml", "json_mark"),
    [
        ((), False, (1, 1), (1, 1)),
        (("name",), False, (1, 7), (2, 11)),
        (("name",), True, (1, 1), (2, 3)),
        (("steps", 0), False, (3, 5), (4, 5)),
        (("steps", 0, "with", "b", 1), False, (4, 25), (4, 49)),
        (("steps", 0, "with", "b"), True, (4, 18), (4, 38)),
        (("steps", 0, "missing"), True, (3, 5), (4, 5)),
        (("steps", 7, "key"), False, (3, 3), (3, 12)),
    ],
)
def test_a_path_is_located_or_the_nearest_value_around_it(
    path: tuple[str | int, ...],
    at_key: bool,  # noqa: FBT001 - a parameter of the table
    yaml: Mark,
    json_mark: Mark,
) -> None:
    """Lines and columns count from 1, in both notations."""
    assert read_yaml(YAML_TEXT).spot.locate(path, at_key=at_key) == yaml
    assert read_json(JSON_TEXT).spot.locate(path, at_key=at_key) == json_mark


def test_yaml_and_json_give_the_same_value() -> None:
    """The notation makes no difference."""
    assert read_yaml(YAML_TEXT).value == read_json(JSON_TEXT).value == VALUE


@given(json_values)
def test_json_is_read_as_the_standard_library_reads_it(value: object) -> None:
    """Both readers, the quick one and the one with positions, agree with it."""
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False, indent=2)):
        source = read_json(text)
        assert (source.value, source.flaws) == (value, [])


@given(json_values)
def test_the_quick_reader_agrees_or_gives_up(value: object) -> None:
    """Text it does not understand is left to the other reader."""
    text = json.dumps(value, ensure_ascii=False)
    try:
        assert read_quickly(text) == value
    except SlowPathError:
        assert "\\ud" in text.lower()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"),
        ("2024-01-01", "2024-01-01"),
        ("0o17", 15),
        ("0x1F", 31),
        ("010", 10),
        ("1_000", "1_000"),
        ("-.5e3", -500.0),
        ("~", None),
        ("", None),
        ("True", True),
        ("'true'", "true"),
        ("1.10", 1.1),
    ],
)
def test_plain_scalars_follow_the_yaml_1_2_core_schema(text: str, value: object) -> None:
    """`yes` and dates are text, octal numbers begin with 0o."""
    source: Any = read_yaml(f"a: {text}\n")
    assert source.value == {"a": value}
    assert type(source.value["a"]) is type(value)


@pytest.mark.parametrize("number", [".inf", "-.INF", ".nan", "1e999", "9" * 30, str(2**63)])
def test_a_number_that_json_cannot_carry_is_a_flaw(number: str) -> None:
    """Values travel as JSON and must survive it."""
    flaws = read_yaml(f"a: {number}\n").flaws
    assert [(flaw.mark, flaw.code) for flaw in flaws] == [((1, 4), "out_of_range")]


@pytest.mark.parametrize("number", ["1e999", "9" * 30, str(2**63)])
def test_a_number_out_of_range_is_a_flaw_in_json(number: str) -> None:
    """The same bounds hold in both notations."""
    flaws = read_json(f'{{"a": {number}}}').flaws
    assert [(flaw.mark, flaw.code) for flaw in flaws] == [((1, 7), "out_of_range")]


@pytest.mark.parametrize("reader", [read_yaml, read_json])
def test_a_repeated_field_is_a_flaw_that_names_the_first(reader: Any) -> None:
    """The second one stands at its own position."""
    flaw = reader('{"a": 1,\n "b": {"c": 1,\n  "c": 2}}').flaws[0]
    assert (flaw.mark, flaw.code, flaw.path) == ((3, 3), "duplicate_key", ("b", "c"))
    assert flaw.message == "'c' stands here again, first on line 2"


def test_anchors_and_merge_keys_are_followed() -> None:
    """What is written in place wins over what is merged."""
    source = read_yaml(
        "a: &x {p: 1, q: 2}\nb: *x\nc: {<<: *x, q: 3}\nd: {<<: [*x, {r: 4}]}\ne: [&y 5, *y]\n"
    )
    assert source.value == {
        "a": {"p": 1, "q": 2},
        "b": {"p": 1, "q": 2},
        "c": {"p": 1, "q": 3},
        "d": {"p": 1, "q": 2, "r": 4},
        "e": [5, 5],
    }


def test_what_is_merged_stands_where_it_was_written() -> None:
    """A problem in a merged value points at the anchor's text."""
    source = read_yaml("a: &x {p: 1}\nc: {<<: *x}\n")
    assert source.spot.locate(("c", "p"), at_key=False) == (1, 11)


def test_merging_what_is_no_mapping_is_a_flaw() -> None:
    """Only fields can be merged."""
    assert [flaw.code for flaw in read_yaml("a: {<<: 3}\n").flaws] == ["wrong_type"]


def test_a_tag_is_a_flaw() -> None:
    """Tags could stand for anything; values are plain data."""
    flaws = read_yaml("a: !!python/object:os.system x\n").flaws
    assert [(flaw.mark, flaw.code) for flaw in flaws] == [((1, 4), "tag")]


@pytest.mark.parametrize(
    ("text", "mark", "code"),
    [
        ("a: b: c", (1, 5), "invalid_yaml"),
        ("a: [1,\nb: 2", (2, 5), "invalid_yaml"),
        ("a: 1\n\tb: 2", (2, 1), "invalid_yaml"),
        ("a: 1\nb: \x07", (2, 4), "invalid_yaml"),
        ("a: *nope", (1, 4), "unknown_alias"),
        ("a: &a [*a]", (1, 8), "unknown_alias"),
        ("--- 1\n--- 2", (2, 1), "several_documents"),
        ("[" * 80, (1, 65), "too_deep"),
        ("? [a]\n: b", (1, 3), "wrong_type"),
        ('"\\ud800"', (1, 1), "invalid_text"),
    ],
)
def test_a_yaml_text_that_cannot_be_read_says_where(text: str, mark: Mark, code: str) -> None:
    """The position is where reading stopped."""
    with pytest.raises(UnreadableError) as caught:
        read_yaml(text)
    assert (caught.value.flaw.mark, caught.value.flaw.code) == (mark, code)


@pytest.mark.parametrize(
    ("text", "mark", "message"),
    [
        ("", (1, 1), "the document is empty"),
        ('{"a": 1,}', (1, 9), "a comma stands before '}'"),
        ('{"a" 1}', (1, 6), "expected ':' after the field name"),
        ("{a: 1}", (1, 2), "expected a field name in double quotes"),
        ('{"a": 1 "b": 2}', (1, 9), "expected ',' or '}'"),
        ('{"a": [1, 2', (1, 12), "expected ',' or ']'"),
        ('{"a": nope}', (1, 7), "expected a value"),
        ('{"a": NaN}', (1, 7), "expected a value"),
        ('{}\n{"a": 1}', (2, 1), "more text after the end of the document"),
        ('{\n\n\n  "a": 1,\n\n b}', (6, 2), "expected a field name in double quotes"),
        ('{"a":\n  "open', (2, 3), "unterminated string starting"),
        ('{"a": "tab\t"}', (1, 11), "invalid control character"),
        ('{"a": "\\ud800"}', (1, 7), "half of a surrogate pair is no character"),
    ],
)
def test_a_json_text_that_cannot_be_read_says_where(text: str, mark: Mark, message: str) -> None:
    """The position is where reading stopped."""
    with pytest.raises(UnreadableError) as caught:
        read_json(text)
    assert (caught.value.flaw.mark, caught.value.flaw.message) == (mark, message)


def test_a_bomb_of_aliases_is_refused() -> None:
    """What an alias repeats counts in full."""
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    with pytest.raises(UnreadableError) as caught:
        read_yaml("\n".join(lines))
    assert caught.value.flaw.code == "too_large"


@pytest.mark.parametrize(
    "text", ["[" * 80 + "]" * 80, "[" * 100_000, '{"a": 1, "a": 2}', "NaN", "1e999", '"\\ud83d"']
)
def test_the_quick_reader_gives_up_on_what_has_faults(text: str) -> None:
    """Faults need positions."""
    with pytest.raises(SlowPathError):
        read_quickly(text)


def test_the_quick_reader_reads_many_brackets_that_are_not_deep() -> None:
    """Depth is bounded, not breadth."""
    value = [[1]] * 100
    assert read_quickly(json.dumps(value)) == value


@given(st.text())
def test_yaml_is_read_or_refused(text: str) -> None:
    """No text makes the reader fail in any other way."""
    with suppress(UnreadableError):
        read_yaml(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\n\tb: 2", "a tab cannot indent; use spaces"),
        (
            "a: b: c",
            "mapping values are not allowed here; put text that holds ': ' in quotes",
        ),
        (
            "a: 1\nb: [1",
            (
                "expected ',' or ']', but got '<stream end>', "
                "while parsing a flow sequence that begins on line 2"
            ),
        ),
    ],
)
def test_a_message_about_yaml_says_what_helps(text: str, message: str) -> None:
    """Common mistakes have their way out in the message."""
    with pytest.raises(UnreadableError) as caught:
        read_yaml(text)
    assert caught.value.flaw.message == message
