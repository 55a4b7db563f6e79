"""Entries: how is a stored message read for the fold?"""

from typing import Any, Final

import msgspec
from msgspec import Raw, UnsetType

from segue_contracts.envelope import Event, Message, UndecodableError, decode_event
from segue_contracts.payload import PayloadRef
from segue_contracts.v1 import runs, steps
from segue_contracts.v1.registry import EVENTS
from segue_contracts.v1.subjects import RunSubject, parse_run
from segue_contracts.v1.turns import TurnCompleted
from segue_contracts.v1.values import Failure, UsageTotals
from segue_orchestrator.core.state import Entry, OutputAt


class LeanValue(Message, frozen=True, kw_only=True):
    """A value whose content is not decoded: the fold needs its place only."""

    inline: Raw | UnsetType = msgspec.UNSET
    ref: PayloadRef | UnsetType = msgspec.UNSET

    def at(self, sequence: int) -> OutputAt:
        """Return where the value of the event with this sequence is."""
        return OutputAt(sequence, None if isinstance(self.ref, UnsetType) else self.ref)


_NO_VALUE: Final = LeanValue()


class Scheduled(Message, frozen=True, kw_only=True):
    """What the fold reads of `StepScheduled`."""

    not_before_ms: int = 0
    deadline_ms: int = 0


class Completed(Message, frozen=True, kw_only=True):
    """What the fold reads of `StepCompleted`."""

    output: LeanValue = _NO_VALUE
    usage: UsageTotals = UsageTotals()
    provider: str = ""


class Turn(Message, frozen=True, kw_only=True):
    """What the fold reads of `TurnCompleted`."""

    usage: UsageTotals = UsageTotals()


class Mapped(Message, frozen=True, kw_only=True):
    """What the fold reads of `StepMapped`."""

    count: int
    items: LeanValue = _NO_VALUE


class ChildStarted(Message, frozen=True, kw_only=True):
    """What the fold reads of `ChildStarted`."""

    step: str
    attempt: int
    run: str
    workflow: str
    definition: str
    inputs: LeanValue = _NO_VALUE
    deadline_ms: int = 0


class ChildEnded(Message, frozen=True, kw_only=True):
    """What the fold reads of `ChildEnded`."""

    step: str
    attempt: int
    run: str
    status: runs.EndStatus
    output: LeanValue | UnsetType = msgspec.UNSET
    error: Failure | UnsetType = msgspec.UNSET
    usage: UsageTotals = UsageTotals()


class Signal(Message, frozen=True, kw_only=True):
    """What the fold reads of `SignalReceived`."""

    name: str
    payload: LeanValue = _NO_VALUE
    step: str = ""


Outcome = (
    Completed | steps.StepFailed | steps.StepTimedOut | steps.StepCancelled | steps.StepSkipped
)
"""The bodies that settle an attempt."""

_LEAN: Final[dict[type[Message], type[Message]]] = {
    steps.StepScheduled: Scheduled,
    steps.StepCompleted: Completed,
    steps.StepMapped: Mapped,
    TurnCompleted: Turn,
    runs.ChildStarted: ChildStarted,
    runs.ChildEnded: ChildEnded,
    runs.SignalReceived: Signal,
}

_DECODERS: Final[dict[str, msgspec.json.Decoder[Any]]] = {
    name: msgspec.json.Decoder(_LEAN.get(body, body)) for name, body in EVENTS.items()
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
    event = place.event
    is_outcome = event[0] == "step" and event[3:4] == ("outcome",)
    frame, body, flaw = None, None, ""
    try:
        frame = decode_event(data)
        body = _body(frame)
        if is_outcome and not isinstance(body, Outcome):
            flaw = f"{frame.type} is no outcome of an attempt"
    except UndecodableError as error:
        flaw = str(error)
    if is_outcome and flaw:
        body = steps.StepFailed(error=Failure(code="invalid_outcome", message=flaw))
    return JournalEvent(place, frame, Entry(sequence, time_ms, event, body), flaw)


def _body(frame: Event) -> Message | None:
    decoder = _DECODERS.get(frame.type)
    if decoder is None:
        return None
    try:
        body: Message = decoder.decode(frame.data)
    except msgspec.DecodeError as error:
        raise UndecodableError(f"not a {frame.type}: {error}") from error
    return body


def started_of(event: JournalEvent) -> runs.RunStarted | None:
    """Return the body of a run's first event; None for any other."""
    return event.entry.body if isinstance(event.entry.body, runs.RunStarted) else None


def value_of(body: msgspec.Struct | None) -> bytes:
    """Return the JSON of the value that an event carries inline; empty when it carries none."""
    value: LeanValue | UnsetType
    match body:
        case Completed(output=value) | ChildEnded(output=value):
            pass
        case Mapped(items=value):
            pass
        case ChildStarted(inputs=value):
            pass
        case Signal(payload=value):
            pass
        case _:
            return b""
    if isinstance(value, UnsetType) or isinstance(value.inline, UnsetType):
        return b""
    return bytes(value.inline)
