"""The catalogue: can every message be found, and does its schema say what the source says?"""

import msgspec
import pytest

from segue_contracts import reference
from segue_contracts.docstring import class_doc, field_docs
from segue_contracts.schema import (
    DIALECT,
    UnknownTypeError,
    catalogue,
    components,
    schema_of,
    schemas,
)
from segue_contracts.v1.registry import COMMANDS, EVENTS


class Parent(msgspec.Struct):
    """What both carry."""

    first: int
    """From the parent."""
    plain: int = 0
    "quoted otherwise"
    silent: int = 0


class Child(Parent, rename="camel"):
    """What one carries."""

    second_field: int = 0
    """From the child,
    on two lines."""


def test_the_catalogue_holds_every_event_and_command() -> None:
    """Each name is there once, with its kind."""
    kinds = {entry.name: entry.kind for entry in catalogue()}
    assert len(kinds) == len(catalogue())
    assert {name for name, kind in kinds.items() if kind == "event"} == set(EVENTS)
    assert {name for name, kind in kinds.items() if kind == "request"} == {
        f"{command.service}.{command.verb}.request" for command in COMMANDS
    }


@pytest.mark.parametrize(
    ("name", "subject"),
    [
        ("segue.run.ended.v1", "segue.v1.<ns>.run.<shard>.<run>.ended"),
        ("agents.list.request", "segue.v1.<ns>.cmd.agents.list"),
        ("agents.list.result", "segue.v1.<ns>.cmd.agents.list"),
        ("delta.tool", "segue.v1.<ns>.delta.<run>.<key>"),
        ("frame.event", ""),
    ],
)
def test_an_entry_tells_where_its_message_travels(name: str, subject: str) -> None:
    """Addresses are those of the channels and commands."""
    assert {entry.name: entry.subject for entry in catalogue()}[name] == subject


def test_every_entry_has_a_description_of_one_line() -> None:
    """A list of messages can be read."""
    assert all(entry.description and "\n" not in entry.description for entry in catalogue())


def test_a_schema_says_its_dialect_and_describes_its_fields() -> None:
    """Docstrings of types and fields reach the reader of a schema."""
    schema = schema_of("segue.run.ended.v1")
    assert schema["$schema"] == DIALECT
    assert schema["description"].startswith("The run is over")
    assert schema["properties"]["status"]["description"] == "How it ended."
    assert schema["$defs"]["Failure"]["properties"]["code"]["description"]


def test_a_variant_is_told_by_its_tag_alone() -> None:
    """What only OpenAPI knows is left out at any depth, and the tag is described."""
    for schema in schemas().values():
        assert "discriminator" not in str(schema)
    properties = schema_of("delta.tool")["properties"]
    assert properties["type"] == {"enum": ["tool"], "description": "Tells the variants apart."}


def test_an_unknown_name_is_answered_with_the_nearest_one() -> None:
    """A typing error is easily mended."""
    with pytest.raises(UnknownTypeError, match=r"did you mean 'segue\.run\.ended\.v1'\?"):
        schema_of("segue.run.endet.v1")


def test_a_name_like_no_other_is_refused_without_a_guess() -> None:
    """A guess is made only when it is near."""
    with pytest.raises(UnknownTypeError, match=r"no message is called 'xyzzy'$"):
        schema_of("xyzzy")


def test_field_docstrings_come_from_the_source_of_the_type_and_its_parents() -> None:
    """They are told by wire name; a field without one is left out."""
    assert field_docs(Child) == {
        "first": "From the parent.",
        "plain": "quoted otherwise",
        "secondField": "From the child,\non two lines.",
    }


def test_a_type_without_a_docstring_does_not_borrow_its_parents() -> None:
    """What is missing is seen as missing."""
    undocumented = type("Undocumented", (Parent,), {})
    assert class_doc(undocumented) == ""
    assert class_doc(Parent) == "What both carry."


def test_a_type_made_at_run_time_has_no_field_docstrings_of_its_own() -> None:
    """A type without source is described by what its source-bound parents say."""
    made = msgspec.defstruct("Made", [("own", int)], module="nowhere")
    assert field_docs(made) == {}
    assert components([made], "{name}")["Made"]["properties"] == {"own": {"type": "integer"}}


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "until it is removed"), (90, "90 s"), (7 * 24 * 3600, "7 d")]
)
def test_periods_are_told_in_whole_days_or_seconds(seconds: int, words: str) -> None:
    """The reference page says how long something is kept."""
    assert reference._period(seconds) == words


def test_a_bar_in_a_cell_does_not_split_it() -> None:
    """Descriptions may hold any character."""
    assert reference._line(("a|b", "c")) == r"| a\|b | c |"
