"""Golden messages: does every message still read and write as its committed example says?"""

import json
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]  # the library ships no types
import msgspec
import pytest

from segue_contracts.docstring import class_doc, field_docs
from segue_contracts.envelope import Event, decode_event, encode, raw
from segue_contracts.schema import catalogue, components, schema_of, type_of
from segue_contracts.v1 import registry

GOLDEN = Path(__file__).parents[2] / "contracts/golden/v1"
KINDS = {entry.name: entry.kind for entry in catalogue()}
NAMES = sorted(KINDS)
EVENTS = sorted(registry.EVENTS)


def text_of(name: str) -> str:
    """Return the committed example of a message."""
    return (GOLDEN / f"{name}.json").read_text("utf-8")


def example(name: str) -> bytes:
    """Return the committed example of a message as it is on the bus."""
    return text_of(name).encode()


def pretty(data: bytes) -> str:
    """Lay JSON out as the examples are, in the order it was written."""
    return json.dumps(json.loads(data), indent=2, ensure_ascii=False) + "\n"


def validate(instance: object, name: str) -> None:
    """Fail when the instance does not fit the schema of a message."""
    jsonschema.Draft202012Validator(schema_of(name)).validate(instance)


def test_every_message_has_one_example() -> None:
    """Examples and messages are the same set."""
    assert sorted(path.stem for path in GOLDEN.iterdir()) == NAMES


@pytest.mark.parametrize("name", [name for name in NAMES if KINDS[name] != "event"])
def test_a_bare_example_decodes_and_encodes_to_the_same_json(name: str) -> None:
    """Requests, results, deltas and frames keep every field in a round trip."""
    body = msgspec.json.decode(example(name), type=type_of(name))
    assert pretty(encode(body)) == text_of(name)


@pytest.mark.parametrize("name", EVENTS)
def test_a_framed_example_decodes_and_encodes_to_the_same_json(name: str) -> None:
    """An event keeps every field of its frame and of its body in a round trip."""
    event = decode_event(example(name))
    body = registry.decode(event)
    assert type(body) is registry.EVENTS[name]
    again = msgspec.structs.replace(event, data=raw(body))
    assert pretty(encode(again)) == text_of(name)


@pytest.mark.parametrize("name", NAMES)
def test_an_example_fits_its_schema(name: str) -> None:
    """The published schema accepts the example, and for an event the frame's does too."""
    found = json.loads(text_of(name))
    if KINDS[name] == "event":
        validate(found, "frame.event")
        found = found["data"]
    validate(found, name)


@pytest.mark.parametrize("name", NAMES)
def test_the_published_schema_and_the_decoder_refuse_the_same_retyped_field(name: str) -> None:
    """A field of another type fits neither the schema nor the type."""
    for field, value in json.loads(text_of(name)).items():
        if KINDS[name] == "event" or isinstance(value, dict | list):
            continue
        wrong = json.loads(text_of(name)) | {field: {"not": "this"}}
        with pytest.raises(jsonschema.ValidationError):
            validate(wrong, name)
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(wrong, type_of(name))


@pytest.mark.parametrize("name", EVENTS)
def test_an_unknown_field_of_an_event_is_ignored(name: str) -> None:
    """A newer sender's field, in the frame or in the body, leaves the body as it was."""
    found = json.loads(text_of(name))
    newer = found | {"newext": 1, "data": found["data"] | {"newField": {"deep": [1]}}}
    decoded = registry.decode(decode_event(json.dumps(newer).encode()))
    assert decoded == registry.decode(decode_event(example(name)))


@pytest.mark.parametrize("name", [name for name in NAMES if KINDS[name] != "event"])
def test_an_unknown_field_of_a_bare_body_is_ignored(name: str) -> None:
    """A newer sender's field leaves the body as it was."""
    newer = json.loads(text_of(name)) | {"newField": {"deep": [1]}}
    decoded = msgspec.json.decode(json.dumps(newer).encode(), type=type_of(name))
    assert pretty(encode(decoded)) == text_of(name)


def test_an_event_of_an_unknown_type_decodes_to_nothing() -> None:
    """A type that is not known here is no error."""
    assert registry.decode(decode_event(example("frame.event"))) is None


def test_a_known_event_with_a_foreign_body_is_an_error() -> None:
    """A body that does not fit its type is named, not guessed at."""
    found = json.loads(text_of("segue.run.ended.v1")) | {"data": {"status": "exploded"}}
    event = decode_event(json.dumps(found).encode())
    with pytest.raises(registry.UndecodableError, match="not a RunEnded"):
        registry.decode(event)


def test_every_type_and_every_field_has_a_docstring() -> None:
    """Whatever is on the bus is described in its source, so that its schema is."""
    types = [type_of(name) for name in NAMES]
    undescribed = [
        f"{name}.{field}"
        for name, schema in components(types, "{name}").items()
        for field, part in schema["properties"].items()
        if not part.get("description")
    ]
    undescribed += [kind.__name__ for kind in types if not class_doc(kind)]
    assert undescribed == []


def test_the_frame_describes_its_fields_from_the_source() -> None:
    """Docstrings are read by wire name, also of types outside v1."""
    assert set(field_docs(Event)) == {field.encode_name for field in msgspec.structs.fields(Event)}
