"""The AsyncAPI document: does it describe the bus, and nothing but the bus?"""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from segue_contracts.asyncapi import document, listeners, publishers
from segue_contracts.v1 import subjects
from segue_contracts.v1.channels import CHANNELS, PARAMETERS
from segue_contracts.v1.registry import COMMANDS, EVENTS
from segue_contracts.v1.topology import topology

DOCUMENT = document()


def references(part: Any) -> Iterator[str]:
    """Yield every reference at any depth."""
    if isinstance(part, dict):
        if "$ref" in part:
            yield part["$ref"]
        part = list(part.values())
    if isinstance(part, list):
        for inner in part:
            yield from references(inner)


def test_every_reference_leads_somewhere() -> None:
    """The document is whole in itself."""
    for reference in set(references(DOCUMENT)):
        found: Any = DOCUMENT
        for step in reference.removeprefix("#/").split("/"):
            found = found[step]
        assert found


def test_every_name_in_an_address_is_described() -> None:
    """An address and its parameters agree."""
    for channel in DOCUMENT["channels"].values():
        names = re.findall(r"\{(\w+)\}", channel["address"] or "")
        assert list(channel.get("parameters", {})) == names


def test_every_described_name_is_in_an_address() -> None:
    """No parameter is left over."""
    used = {name for channel in CHANNELS for name in re.findall(r"<(\w+)>", channel.address)}
    assert set(PARAMETERS) == used


def test_every_event_and_command_has_a_channel() -> None:
    """Whatever is registered can be found by its address."""
    told = {
        name for channel in DOCUMENT["channels"].values() for name in channel.get("messages", {})
    }
    assert told >= set(EVENTS)
    for command in COMMANDS:
        channel = DOCUMENT["channels"][f"cmd.{command.service}.{command.verb}"]
        assert channel["address"] == subjects.command("{ns}", command.service, command.verb)


def test_a_framed_message_demands_its_own_type_and_body() -> None:
    """The payload of an event is the frame with its type and data filled in."""
    payload = DOCUMENT["components"]["messages"]["segue.run.ended.v1"]["payload"]
    assert payload == {
        "allOf": [
            {"$ref": "#/components/schemas/Event"},
            {
                "properties": {
                    "type": {"const": "segue.run.ended.v1"},
                    "data": {"$ref": "#/components/schemas/RunEnded"},
                }
            },
        ]
    }


def test_a_stored_channel_names_its_stream() -> None:
    """A reader learns where the past of a channel is kept; a fact is a copy and kept nowhere."""
    channels = DOCUMENT["channels"]
    assert channels["run.ended"]["x-stream"] == "RUNS"
    assert channels["timer"]["x-stream"] == "TIMERS"
    assert "x-stream" not in channels["fact.ended"]
    assert "x-stream" not in channels["step.delta"]


@pytest.mark.parametrize("service", [access.service for access in topology().access])
def test_every_service_has_operations(service: str) -> None:
    """The document tells what each service does."""
    assert any(name.startswith(f"{service}.") for name in DOCUMENT["operations"])


def test_a_worker_receives_tasks_through_its_pool() -> None:
    """Operations cover what consumers deliver, not plain subscriptions alone."""
    assert "agents.receive.run.step_scheduled" in DOCUMENT["operations"]
    assert "agents.receive.run.ended" not in DOCUMENT["operations"]


def test_a_service_answers_commands_in_its_queue_group() -> None:
    """One instance answers each request, on the inbox that the request names."""
    operation = DOCUMENT["operations"]["orchestrator.receive.cmd.orchestrator.start_run"]
    assert operation["bindings"] == {"nats": {"queue": "orchestrator"}}
    assert operation["reply"] == {
        "channel": {"$ref": "#/channels/cmd.orchestrator.start_run.reply"}
    }


def test_the_document_is_json() -> None:
    """Nothing in it is a Python object."""
    assert json.loads(json.dumps(DOCUMENT)) == DOCUMENT


def test_permissions_tell_who_publishes_and_who_listens() -> None:
    """An address is matched against each service's patterns."""
    subject = subjects.command("<ns>", "providers", "chat")
    assert publishers(subject) == ["agents", "gateway", "client"]
    assert listeners(subject) == ["providers"]
