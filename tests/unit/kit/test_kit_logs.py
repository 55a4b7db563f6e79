"""Logs: are they lines of JSON that hold neither payloads nor secrets?"""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from segue_contracts.envelope import Message
from segue_shared import logs


class Body(Message, frozen=True, kw_only=True):
    """A message in these tests."""

    text: str


class Lines:
    """What was logged."""

    def __init__(self) -> None:
        self.stream = io.StringIO()

    @property
    def text(self) -> str:
        """Everything that was written."""
        return self.stream.getvalue()

    def all(self) -> list[dict[str, Any]]:
        """Every line, decoded."""
        return [json.loads(line) for line in self.text.splitlines()]

    def last(self) -> dict[str, Any]:
        """The newest line, decoded."""
        return self.all()[-1]


@pytest.fixture
def lines() -> Iterator[Lines]:
    """Logging as services have it, into memory, undone afterwards."""
    written = Lines()
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    logs.configure("info", service="agents", instance="a-1", stream=written.stream)
    yield written
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_line_names_the_event_its_place_and_its_time(lines: Lines) -> None:
    """One JSON object a line, with fixed keys."""
    structlog.get_logger().info("ready", run_id="r1", stream_seq=7)

    line = lines.last()
    assert line.pop("ts").endswith("Z")
    assert line == {
        "event": "ready",
        "level": "info",
        "service": "agents",
        "instance": "a-1",
        "run_id": "r1",
        "stream_seq": 7,
    }


def test_lines_below_the_level_are_not_written(lines: Lines) -> None:
    """Debug lines cost nothing when nobody wants them."""
    structlog.get_logger().debug("noise")

    assert lines.text == ""


@pytest.mark.parametrize(
    "key",
    [
        "password",
        "api_key",
        "apiKey",
        "x-api-key",
        "Authorization",
        "access_token",
        "nkey_seed",
        "clientSecret",
        "set-cookie",
        "private_key",
    ],
)
def test_a_key_that_names_a_secret_loses_its_value(lines: Lines, key: str) -> None:
    """However the key is written."""
    structlog.get_logger().info("call", **{key: "hunter2"})

    assert lines.last()[key] == "[redacted]"
    assert "hunter2" not in lines.text


@pytest.mark.parametrize("key", ["input_tokens", "step", "key", "monkey", "secretary", "tokens"])
def test_a_key_that_only_resembles_a_secret_keeps_its_value(lines: Lines, key: str) -> None:
    """Usage and step keys stay readable."""
    structlog.get_logger().info("call", **{key: 12})

    assert lines.last()[key] == 12


@pytest.mark.parametrize("key", ["payload", "data", "body", "prompt", "inputs", "output"])
def test_a_key_that_names_a_payload_loses_its_value(lines: Lines, key: str) -> None:
    """What users send and models answer is not ours to write down."""
    structlog.get_logger().info("task", **{key: "the whole novel"})

    assert lines.last()[key] == "[omitted]"


def test_nested_values_are_cleaned_too(lines: Lines) -> None:
    """A dictionary of headers is no way around."""
    structlog.get_logger().info(
        "call", headers={"Authorization": "hunter2"}, items=[{"password": "hunter2"}, b"hunter2"]
    )

    line = lines.last()
    assert line["headers"] == {"Authorization": "[redacted]"}
    assert line["items"] == [{"password": "[redacted]"}, "<7 bytes>"]


def test_bytes_and_messages_are_named_by_their_kind_only(lines: Lines) -> None:
    """A message object is a payload, and so are bytes."""
    structlog.get_logger().info("got", raw=b"secret", message=Body(text="secret"))

    line = lines.last()
    assert line["raw"] == "<6 bytes>"
    assert line["message"] == "<Body>"
    assert "secret" not in lines.text


@pytest.mark.parametrize(
    "secret",
    [
        "sk-ant-not-a-real-key-0123456789",
        "ghp_0123456789abcdefghijABCDEFGHIJ012345",
        "xoxb-1234567890-abcdef",
        "AKIAIOSFODNN7EXAMPLE",
        "AIzaSyA0123456789abcdefghijklmnopqrstuv",
        "SUACH75SWCM5D2JMJM6EKLR2WDARVGZT4QC6LX3AGHSWOMVAKERABBBRWM",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abcdefghijk",
    ],
)
def test_text_that_looks_like_a_secret_is_masked_wherever_it_stands(
    lines: Lines, secret: str
) -> None:
    """Errors of libraries quote what they were given."""
    structlog.get_logger().info("failed", reason=f"the key {secret} was refused")

    assert lines.last()["reason"] == "the key [redacted] was refused"


def test_a_password_in_an_address_is_masked(lines: Lines) -> None:
    """The address itself stays readable."""
    structlog.get_logger().info("failed", reason="no broker at nats://me:hunter2@broker:4222")

    assert lines.last()["reason"] == "no broker at nats://me:[redacted]@broker:4222"


def test_a_token_in_an_address_is_masked_and_a_port_is_not(lines: Lines) -> None:
    """What stands alone before the `@` is a token."""
    structlog.get_logger().info("up", url="http://127.0.0.1:8080", bus="nats://hunter2@broker")

    line = lines.last()
    assert (line["url"], line["bus"]) == ("http://127.0.0.1:8080", "nats://[redacted]@broker")


def test_a_traceback_is_written_masked_and_without_variables(lines: Lines) -> None:
    """A traceback tells where, not what."""
    try:
        int("Bearer hunter2-0123456789")
    except ValueError:
        structlog.get_logger().exception("crashed")

    line = lines.last()
    assert "Bearer [redacted]" in line["exception"]
    assert "Traceback" in line["exception"]
    assert "hunter2" not in lines.text


def test_what_libraries_log_has_the_same_form(lines: Lines) -> None:
    """One form for one process."""
    logging.getLogger("library").warning("at %s", "nats://me:hunter2@broker")

    line = lines.last()
    assert line["event"] == "at nats://me:[redacted]@broker"
    assert (line["logger"], line["level"], line["service"]) == ("library", "warning", "agents")


def test_what_libraries_tell_in_passing_is_not_written(lines: Lines) -> None:
    """Below a warning they only repeat what we say ourselves."""
    logging.getLogger("library").info("GET /?key=hunter2")

    assert lines.text == ""


def test_long_text_is_cut(lines: Lines) -> None:
    """A line never grows with its payload."""
    structlog.get_logger().info("failed", reason="x" * 100_000)

    assert len(lines.text) < 5_000


@given(
    secret=st.text(alphabet="abcdefghijklmnopqrstuvwxyz0123456789", min_size=8, max_size=30),
    path=st.lists(st.sampled_from(["list", "dict"]), max_size=3),
)
def test_no_nesting_carries_a_secret_out(secret: str, path: list[str]) -> None:
    """Wherever a secret's key stands, its value is gone."""
    value: object = {"password": f"<{secret}>"}
    for kind in path:
        value = [value] if kind == "list" else {"inner": value}

    cleaned = logs.clean(None, "info", {"event": "x", "value": value})

    assert f"<{secret}>" not in json.dumps(dict(cleaned))
