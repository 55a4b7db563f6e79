"""AsyncAPI: how is the whole bus described in one AsyncAPI 3.0 document?"""

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any, Final

from segue_contracts.docstring import class_doc
from segue_contracts.envelope import CONTENT_TYPE, Event
from segue_contracts.pattern import overlap
from segue_contracts.reply import Reply
from segue_contracts.schema import command_subject, components
from segue_contracts.topology import Access, Topology
from segue_contracts.v1.channels import CHANNELS, PARAMETERS, Channel, fact_channels
from segue_contracts.v1.registry import COMMANDS, EVENTS, TYPE_OF, Command
from segue_contracts.v1.topology import pool_consumer, topology

Json = dict[str, Any]

VERSION: Final = "1.0.0"
"""The version of the description; the contracts' own version is in every subject and type."""

_NAME = re.compile(r"<([a-z]+)>")
_POOL = re.compile(r"pool_([a-z0-9-]+)")


def document() -> Json:
    """Return the AsyncAPI 3.0 document of the bus."""
    bus = topology()
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Segue",
            "version": VERSION,
            "description": "Durable AI-agent workflows as services that talk over NATS subjects.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": CONTENT_TYPE,
        "servers": {
            "local": {
                "host": "127.0.0.1:4222",
                "protocol": "nats",
                "description": "The broker that `segue up` starts.",
            }
        },
        "channels": _channels(bus),
        "operations": dict(sorted(_operations(bus))),
        "components": {"messages": _messages(), "schemas": _schemas()},
    }


def publishers(subject: str) -> list[str]:
    """Return the services whose permissions let them publish on an address."""
    return [access.service for access in topology().access if _covers(access.publish, subject)]


def listeners(subject: str) -> list[str]:
    """Return the services that receive what is published on an address."""
    bus = topology()
    return [access.service for access in bus.access if _covers(_heard(access, bus), subject)]


def _covers(patterns: tuple[str, ...], subject: str) -> bool:
    return any(overlap(pattern, subject) for pattern in patterns)


def _heard(access: Access, bus: Topology) -> tuple[str, ...]:
    """Return the patterns a service receives, plain and through its consumers."""
    pools = [match[1] for name in access.consumes if (match := _POOL.search(name))]
    consumers = (*bus.consumers, *map(pool_consumer, pools))
    filters = [
        pattern
        for consumer in consumers
        if any(fnmatchcase(f"{consumer.stream}.{consumer.name}", name) for name in access.consumes)
        for pattern in consumer.filters
    ]
    return (*access.subscribe, *filters)


def _channels(bus: Topology) -> Json:
    events = {channel.name: _channel(channel, bus) for channel in (*CHANNELS, *fact_channels())}
    commands: Json = {}
    for command in COMMANDS:
        name = _command_name(command)
        request, result = _message_references(command)
        address = command_subject(command.service, command.verb)
        commands[name] = {
            "address": _address(address),
            "description": class_doc(command.request),
            "messages": {"request": request},
            "parameters": _parameters(address),
        }
        commands[f"{name}.reply"] = {
            "address": None,
            "description": "The inbox that the request names.",
            "messages": {"reply": result},
        }
    return events | commands


def _channel(channel: Channel, bus: Topology) -> Json:
    found: Json = {
        "address": _address(channel.address),
        "description": channel.description,
        "parameters": _parameters(channel.address),
    }
    if channel.body is not None:
        name = TYPE_OF[channel.body]
        found["messages"] = {name: {"$ref": f"#/components/messages/{name}"}}
    streams = [stream.name for stream in bus.streams if _covers(stream.subjects, channel.address)]
    if streams:
        found["x-stream"] = streams[0]
    return found


def _address(subject: str) -> str:
    return _NAME.sub(r"{\1}", subject)


def _parameters(subject: str) -> Json:
    return {name: {"description": PARAMETERS[name]} for name in _NAME.findall(subject)}


def _operations(bus: Topology) -> Iterator[tuple[str, Json]]:
    for access in bus.access:
        heard = _heard(access, bus)
        for channel in CHANNELS:
            if access.service in channel.producers and _covers(access.publish, channel.address):
                yield _operation(access.service, "send", channel.name)
        for channel in (*CHANNELS, *fact_channels()):
            if _covers(heard, channel.address):
                yield _operation(access.service, "receive", channel.name)
        for command in COMMANDS:
            subject = command_subject(command.service, command.verb)
            if _covers(access.publish, subject):
                yield _request(access.service, "send", command)
            if _covers(access.subscribe, subject):
                yield _request(access.service, "receive", command)


def _operation(service: str, action: str, channel: str) -> tuple[str, Json]:
    reference = {"$ref": f"#/channels/{channel}"}
    return f"{service}.{action}.{channel}", {"action": action, "channel": reference}


def _request(service: str, action: str, command: Command) -> tuple[str, Json]:
    channel = _command_name(command)
    name, operation = _operation(service, action, channel)
    operation["reply"] = {"channel": {"$ref": f"#/channels/{channel}.reply"}}
    if action == "receive":
        operation["bindings"] = {"nats": {"queue": service}}
    return name, operation


def _command_name(command: Command) -> str:
    return f"cmd.{command.service}.{command.verb}"


def _message_references(command: Command) -> tuple[Json, Json]:
    name = f"{command.service}.{command.verb}"
    request, result = (f"#/components/messages/{name}.{part}" for part in ("request", "result"))
    return {"$ref": request}, {"$ref": result}


def _messages() -> Json:
    found: Json = {}
    for name, body in EVENTS.items():
        data = {"properties": {"type": {"const": name}, "data": _reference(body)}}
        found[name] = _message(name, body, {"allOf": [_reference(Event), data]})
    for command in COMMANDS:
        name = f"{command.service}.{command.verb}"
        request = _message(f"{name}.request", command.request, _reference(command.request))
        data = {"properties": {"result": _reference(command.result)}}
        result = _message(f"{name}.result", command.result, {"allOf": [_reference(Reply), data]})
        for part in (request, result):
            found[part["name"]] = part | {"contentType": "application/json"}
    return found


def _message(name: str, body: type, payload: Json) -> Json:
    return {
        "name": name,
        "title": body.__name__,
        "summary": class_doc(body).partition("\n")[0],
        "payload": payload,
    }


def _reference(body: type) -> Json:
    return {"$ref": f"#/components/schemas/{body.__name__}"}


def _schemas() -> Json:
    asked = [body for command in COMMANDS for body in (command.request, command.result)]
    return components([Event, Reply, *EVENTS.values(), *asked], "#/components/schemas/{name}")
