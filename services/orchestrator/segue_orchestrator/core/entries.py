"""Entries: how is a stored message read for the fold?"""

from typing import Final

import msgspec
from msgspec import Raw, UnsetType

from segue_contracts.envelope import Event, Message, UndecodableError, decode_event
from segue_contracts.payload import PayloadRef
from segue_contracts.v1.registry import EVENTS
from segue_contracts.v1.runs import RunStarted
from segue_contracts.v1.steps import (
    StepCancelled,
    StepCompleted,
    StepFailed,
    StepSkipped,
    StepTimedOut,
)
from segue_contracts.v1.subjects import RunSubject, parse_run, parse_step_event
from segue_contracts.v1.turns import TurnCompleted
from segue_contracts.v1.values import Failure, UsageTotals
from segue_orchestrator.core.state import Entry


class LeanValue(Message, frozen=True, kw_only=True):
    """A value whose content is not decoded: the fold needs its place only."""

    inline: Raw | UnsetType = msgspec.UNSET
    ref: PayloadRef | UnsetType = msgspec.UNSET


class Completed(Message, frozen=True, kw_only=True):
    """What the fold reads of `StepCompleted`."""

    output: LeanValue = LeanValue()
    usage: UsageTotals = UsageTotals()
    provider: str = ""


Outcome = Completed | StepFailed | StepTimedOut | StepCancelled | StepSkipped
"""The bodies that settle an attempt."""

_SKIPPED: Final = frozenset({TurnCompleted})
"""Bodies that the engine does not look into."""

_DECODERS: Final = {
    name: msgspec.json.Decoder(Completed if body is StepCompleted else body)
    for name, body in EVENTS.items()
    if body not in _SKIPPED
}


class JournalEvent(msgspec.Struct, frozen=True):
    """A message of the journal, read."""

    place: RunSubject
    """Its subject, taken apart."""
    frame: Event | None
    """Its frame; None when it is not one."""
    entry: Entry
    """What the fold takes."""
    flaw: str = ""
    """Why it belongs to the dead letters; empty for a sound one."""


def read(subject: str, data: bytes, *, sequence: int, time_ms: int) -> JournalEvent:
    """Read a message of the journal.

    An outcome that does not decode counts as a failed one, for its guard keeps any other away.

    Raises:
        SubjectError: The subject is no journal's.
    """
    place = parse_run(subject)
    event = parse_step_event(place.event)
    is_outcome = event is not None and event.what == "outcome"
    frame, body, flaw = None, None, ""
    try:
        frame = decode_event(data)
        body = _body(frame)
        if is_outcome and not isinstance(body, Outcome):
            flaw = f"{frame.type} is no outcome of an attempt"
    except UndecodableError as error:
        flaw = str(error)
    if is_outcome and flaw:
        body = StepFailed(error=Failure(code="invalid_outcome", message=flaw))
    return JournalEvent(place, frame, Entry(sequence, time_ms, place.event, body), flaw)


def _body(frame: Event) -> Message | None:
    decoder = _DECODERS.get(frame.type)
    if decoder is None:
        return None
    try:
        body: Message = decoder.decode(frame.data)
    except msgspec.DecodeError as error:
        raise UndecodableError(f"not a {frame.type}: {error}") from error
    return body


def started_of(event: JournalEvent) -> RunStarted | None:
    """Return the body of a run's first event; None for any other."""
    return event.entry.body if isinstance(event.entry.body, RunStarted) else None
