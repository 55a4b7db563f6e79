"""Schemas: which JSON Schema does each message have, and which messages are there?"""

import functools
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, Final, Literal, get_args

import msgspec

from segue_contracts.docstring import class_doc, field_docs
from segue_contracts.envelope import Event, Message
from segue_contracts.reply import Reply
from segue_contracts.v1 import deltas, subjects
from segue_contracts.v1.channels import CHANNEL_OF
from segue_contracts.v1.registry import COMMANDS, EVENTS

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

Kind = Literal["event", "request", "result", "delta", "frame"]
"""Events travel in a frame, requests bare, results inside a reply, deltas inside a step's delta."""

Schema = dict[str, Any]


class UnknownTypeError(LookupError):
    """No message has this name."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A message in the catalogue."""

    name: str
    """The event's type, `<service>.<verb>.request`, `….result`, `delta.<tag>` or `frame.<name>`."""
    kind: Kind
    """What it is."""
    subject: str
    """Where it travels, with `<names>` for ids; a result answers there; empty for frames."""
    description: str
    """What it says, in one sentence."""


def catalogue() -> list[Entry]:
    """Return every message of the contracts: events, then commands, deltas and frames."""
    return [_entry(name, kind, body) for name, (kind, body) in _messages().items()]


def schema_of(name: str) -> Schema:
    """Return the JSON Schema (2020-12) of a message by its name in the catalogue.

    An event's schema is that of its `data`; the frame has its own.

    Raises:
        UnknownTypeError: No message has this name.
    """
    return _schema(type_of(name))


def schemas() -> dict[str, Schema]:
    """Return the schema of every message by name."""
    return {name: schema_of(name) for name in _messages()}


def type_of(name: str) -> type[msgspec.Struct]:
    """Return the type of a message by its name in the catalogue.

    Raises:
        UnknownTypeError: No message has this name; the text names what was probably meant.
    """
    messages = _messages()
    if name not in messages:
        close = get_close_matches(name, messages, n=1, cutoff=0.5)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise UnknownTypeError(f"no message is called {name!r}{hint}")
    return messages[name][1]


def components(types: Iterable[type[msgspec.Struct]], template: str) -> dict[str, Schema]:
    """Return the schemas of types and of all they hold, by type name, with field descriptions.

    Args:
        types: Where to begin.
        template: How one schema points at another, with `{name}`.
    """
    roots = list(types)
    _, found = msgspec.json.schema_components(roots, ref_template=template)
    kinds = {kind.__name__: kind for kind in _reachable(roots)}
    return {name: _described(schema, kinds[name]) for name, schema in sorted(found.items())}


def command_subject(service: str, verb: str) -> str:
    """Return the address of a command."""
    return subjects.command("<ns>", service, verb)


@functools.cache
def _messages() -> dict[str, tuple[Kind, type[msgspec.Struct]]]:
    found: dict[str, tuple[Kind, type[msgspec.Struct]]] = {
        name: ("event", body) for name, body in EVENTS.items()
    }
    for command in COMMANDS:
        name = f"{command.service}.{command.verb}"
        found[f"{name}.request"] = ("request", command.request)
        found[f"{name}.result"] = ("result", command.result)
    for kind in get_args(deltas.Delta):
        found[f"delta.{kind.__struct_config__.tag}"] = ("delta", kind)
    found["frame.event"] = ("frame", Event)
    found["frame.reply"] = ("frame", Reply)
    return found


def _entry(name: str, kind: Kind, body: type[msgspec.Struct]) -> Entry:
    description = class_doc(body).partition("\n")[0]
    return Entry(name=name, kind=kind, subject=_subject(name, kind, body), description=description)


def _subject(name: str, kind: Kind, body: type[msgspec.Struct]) -> str:
    match kind:
        case "request" | "result":
            service, verb, _ = name.split(".")
            return command_subject(service, verb)
        case "delta":
            return CHANNEL_OF[deltas.StepDelta].address
        case "event" if issubclass(body, Message):
            return CHANNEL_OF[body].address
        case _:
            return ""


def _schema(kind: type[msgspec.Struct]) -> Schema:
    parts = components([kind], "#/$defs/{name}")
    root = parts.pop(kind.__name__)
    return {"$schema": DIALECT, **root, **({"$defs": parts} if parts else {})}


def _described(schema: Schema, kind: type[msgspec.Struct]) -> Schema:
    """Add what the source says, and leave out what only OpenAPI knows."""
    told = field_docs(kind)
    if tag_field := kind.__struct_config__.tag_field:
        told[tag_field] = "Tells the variants apart."
    plain = _plain(schema)
    properties = {
        name: part | ({"description": told[name]} if name in told else {})
        for name, part in plain["properties"].items()
    }
    return {**plain, "description": class_doc(kind), "properties": properties}


def _plain(schema: Any) -> Any:
    """Leave out discriminators at any depth: each variant's schema holds its tag already."""
    match schema:
        case dict():
            kept = schema.keys() - ({"discriminator"} if "anyOf" in schema else set())
            return {key: _plain(part) for key, part in schema.items() if key in kept}
        case list():
            return [_plain(part) for part in schema]
        case _:
            return schema


def _reachable(roots: Iterable[type[msgspec.Struct]]) -> set[type[msgspec.Struct]]:
    found: set[type[msgspec.Struct]] = set()
    waiting: list[Any] = list(roots)
    while waiting:
        hint = waiting.pop()
        if not isinstance(hint, type) or not issubclass(hint, msgspec.Struct):
            waiting += get_args(hint)
        elif hint not in found:
            found.add(hint)
            waiting += [field.type for field in msgspec.structs.fields(hint)]
    return found
