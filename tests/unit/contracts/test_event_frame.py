"""The frame: what makes bytes an event, and what is told when they are none?"""

import json
from typing import Any, Literal

import pytest
from msgspec import UNSET

from segue_contracts.envelope import UndecodableError, decode_body, decode_event, encode
from segue_contracts.v1.deltas import StepDelta
from segue_contracts.v1.events import frame, make_event, start_sequence
from segue_contracts.v1.registry import decode
from segue_contracts.v1.runs import RunEnded, RunResumed, SignalReceived
from segue_contracts.v1.service_state import state_event
from segue_contracts.v1.steps import StepSkipped
from segue_contracts.v1.telemetry import ServiceStateChanged
from segue_contracts.v1.values import Value

SUBJECT = "segue.v1.default.run.00.abcdefgh.resumed.1"
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
LEAST: dict[str, Any] = {
    "specversion": "1.0",
    "id": "a",
    "source": "s",
    "type": "t",
    "time": "2026-11-21T10:00:00Z",
    "data": {},
}


def test_a_framed_body_is_a_cloudevents_event() -> None:
    """The wire holds CloudEvents' names, and the id is the journal subject."""
    data = frame(
        RunResumed(),
        subject=SUBJECT,
        source="segue/orchestrator",
        about="abcdefgh",
        time="2026-11-21T10:00:00Z",
    )
    assert json.loads(data) == {
        "specversion": "1.0",
        "id": SUBJECT,
        "source": "segue/orchestrator",
        "type": "segue.run.resumed.v1",
        "subject": "abcdefgh",
        "time": "2026-11-21T10:00:00Z",
        "data": {},
    }


def test_a_frame_carries_cause_start_and_trace() -> None:
    """The extensions are there when they are known."""
    event = make_event(
        RunResumed(),
        id="b",
        source="segue/orchestrator",
        subject="abcdefgh",
        time="2026-11-21T10:00:00Z",
        causation="a",
        startseq=17,
        traceparent=TRACE,
    )
    again = decode_event(encode(event))
    assert (again.causationid, again.startseq, again.traceparent) == ("a", 17, TRACE)


def test_the_start_sequence_is_the_events_own_word() -> None:
    """An event that knows where its run began says so; the first one is told by its place."""
    later = decode_event(json.dumps(LEAST | {"startseq": 17}).encode())
    first = decode_event(json.dumps(LEAST).encode())
    assert (start_sequence(later, 99), start_sequence(first, 99), start_sequence(first)) == (
        17,
        99,
        0,
    )


def test_a_field_with_its_default_is_not_sent() -> None:
    """Bodies stay small; readers know the defaults."""
    assert encode(StepSkipped(reason="condition")) == b'{"reason":"condition"}'
    assert encode(SignalReceived(name="go")) == b'{"name":"go"}'


def test_null_is_a_value_and_absence_is_not() -> None:
    """A value of null is told apart from no value."""
    assert decode_body(b'{"inline":null}', Value).inline is None
    assert decode_body(b"{}", Value).inline is UNSET


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"id": "a"}',
        json.dumps(LEAST | {"id": 7}).encode(),
        json.dumps(LEAST | {"specversion": "0.3"}).encode(),
        b'{"data":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_bytes_that_are_no_event_are_refused_as_such(data: bytes) -> None:
    """Whatever arrives, a reader gets one error to handle."""
    with pytest.raises(UndecodableError, match=r"not a CloudEvents 1\.0 JSON event"):
        decode_event(data)


@pytest.mark.parametrize(
    ("data", "place"),
    [
        (b'{"status":"exploded"}', r"\$\.status"),
        (b'{"status":"failed","error":{"code":1,"message":""}}', r"\$\.error\.code"),
        (b'{"status":"failed","output":{"inline":' + b"[" * 100_000 + b"]" * 100_000 + b"}}", ""),
    ],
)
def test_a_body_that_does_not_fit_is_refused_with_its_place(data: bytes, place: str) -> None:
    """The error names the type and the field."""
    with pytest.raises(UndecodableError, match=f"not a RunEnded: .*{place}"):
        decode_body(data, RunEnded)


def test_an_unknown_delta_is_refused() -> None:
    """The tag tells variants apart; another one fits none."""
    data = b'{"run":"r","step":"s","delta":{"type":"sparkle","request":"q"}}'
    with pytest.raises(UndecodableError, match="sparkle"):
        decode_body(data, StepDelta)


@pytest.mark.parametrize("state", ["ready", "draining"])
def test_a_service_state_is_an_event_about_the_instance(
    state: Literal["ready", "draining"],
) -> None:
    """Whoever watches services learns which instance came up or goes down."""
    subject, data = state_event(
        service="agents",
        instance="agents-1",
        state=state,
        namespace="default",
        time="2026-11-21T10:00:00Z",
    )
    event = decode_event(data)
    assert subject == f"segue.v1.default.tel.agents.service.{state}"
    assert (event.source, event.subject) == ("segue/agents", "agents-1")
    assert decode(event) == ServiceStateChanged(service="agents", instance="agents-1", state=state)


def test_an_unknown_event_type_decodes_to_nothing() -> None:
    """A newer sender's event is passed over."""
    assert decode(decode_event(json.dumps(LEAST).encode())) is None
