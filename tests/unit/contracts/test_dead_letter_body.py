"""Dead letters: is what nobody could handle kept whole, and nothing secret with it?"""

import base64

import pytest

from segue_contracts.envelope import decode_event
from segue_contracts.undeliverable import Undeliverable
from segue_contracts.v1.dead import MAX_BYTES, dead_letter
from segue_contracts.v1.registry import decode
from segue_contracts.v1.telemetry import DeadLetter

SUBJECT = "segue.v1.acme.run.07.abcdefgh.step.lint.1.scheduled.agents.p2"


def kept(message: Undeliverable) -> DeadLetter:
    """Return the letter as a reader of the bus gets it."""
    body = decode(decode_event(dead_letter(message, time="2026-11-21T10:00:00Z")[1]))
    assert isinstance(body, DeadLetter)
    return body


def undeliverable(
    *, subject: str = SUBJECT, data: bytes = b"\x00\xff", headers: dict[str, str] | None = None
) -> Undeliverable:
    """Return a message that the agents could not decode."""
    return Undeliverable(
        service="agents",
        reason="undecodable",
        detail="not a StepScheduled",
        subject=subject,
        data=data,
        stream="RUNS",
        sequence=42,
        headers=headers or {},
    )


def test_a_dead_letter_keeps_the_message_and_its_place() -> None:
    """An operator can look at it and send it again."""
    letter = kept(undeliverable())
    assert base64.b64decode(letter.data_b64) == b"\x00\xff"
    assert (letter.subject, letter.stream, letter.sequence) == (SUBJECT, "RUNS", 42)
    assert (letter.service, letter.reason, letter.detail) == (
        "agents",
        "undecodable",
        "not a StepScheduled",
    )


def test_a_dead_letter_is_about_the_message_and_from_its_service() -> None:
    """The frame tells whose letter it is and what it is about."""
    _, data = dead_letter(undeliverable(), time="2026-11-21T10:00:00Z")
    event = decode_event(data)
    assert (event.source, event.subject, event.type) == (
        "segue/agents",
        SUBJECT,
        "segue.dead_letter.v1",
    )


def test_a_large_message_is_kept_up_to_half_a_mebibyte() -> None:
    """The letter itself fits into a message."""
    _, data = dead_letter(undeliverable(data=b"x" * 2_000_000), time="2026-11-21T10:00:00Z")
    assert len(data) < 1024**2
    letter = kept(undeliverable(data=b"x" * 2_000_000))
    assert base64.b64decode(letter.data_b64) == b"x" * MAX_BYTES


def test_credentials_are_left_out() -> None:
    """Headers that carry secrets are dropped in any spelling; others stay."""
    headers = {"Authorization": "Bearer s", "COOKIE": "s", "X-Api-Key": "s", "traceparent": "00"}
    assert kept(undeliverable(headers=headers)).headers == {"traceparent": "00"}


@pytest.mark.parametrize(
    ("subject", "namespace"),
    [
        (SUBJECT, "acme"),
        ("segue.v1.*.run.>", "default"),
        ("segue.v1.Not A Token.run.07.x.started", "default"),
        ("segue.v1", "default"),
        ("orders.17.paid", "default"),
        ("", "default"),
    ],
)
def test_a_dead_letter_belongs_to_the_tenant_of_its_message(subject: str, namespace: str) -> None:
    """A message with a foreign subject is kept too, under the default tenant."""
    target, _ = dead_letter(undeliverable(subject=subject), time="2026-11-21T10:00:00Z")
    assert target == f"segue.v1.{namespace}.dead.agents.undecodable"
