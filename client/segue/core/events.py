"""Events as a reader sees them: what does a message of a run say, and where in the run is it?"""

import msgspec

from segue_contracts.cursor import Cursor
from segue_contracts.envelope import Event, Message, UndecodableError, decode_event
from segue_contracts.v1 import subjects
from segue_contracts.v1.deltas import StepDelta
from segue_contracts.v1.registry import decode
from segue_contracts.v1.runs import RunEnded

UNDECODABLE = "undecodable"
"""Type of a message that is no event; `data` says why."""


class RunEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened in a run."""

    run: str
    """The run's id."""
    type: str
    """The versioned event type, such as `segue.run.step_completed.v1`."""
    step: str = ""
    """The step's key, map items as `key~0`; empty for an event of the run as a whole."""
    attempt: int = 0
    """The step's attempt, counted from 1; 0 for an event of the run as a whole."""
    cursor: str = ""
    """Place in the journal to resume after; empty for a delta, which is in no journal."""
    sequence: int = 0
    """The cursor's number; 0 for a delta."""
    time: str = ""
    """When it happened by its producer's clock, RFC 3339."""
    time_ms: int = 0
    """When the broker stored it, Unix milliseconds; 0 for a delta."""
    data: object = None
    """The body as plain JSON values."""
    body: Message | None = None
    """The body as its typed message; None for a type that this release does not know."""

    @property
    def ends_run(self) -> bool:
        """Whether it is the last event of its run."""
        return isinstance(self.body, RunEnded)


def read_fact(subject: str, data: bytes, *, cursor: Cursor, time_ms: int) -> RunEvent:
    """Read a durable event from its journal or fact subject.

    Args:
        subject: Where it was published, or the broker's copy of it.
        data: The frame.
        cursor: Its place in the journal.
        time_ms: When the broker stored it, Unix milliseconds.
    """
    place = subjects.parse_run(subject)
    step = subjects.parse_step_event(place.event)
    common = RunEvent(
        run=place.run,
        type=UNDECODABLE,
        step="" if step is None else step_name(step.token),
        attempt=0 if step is None else step.attempt,
        cursor=str(cursor),
        sequence=cursor.sequence,
        time_ms=time_ms,
    )
    return _with_content(common, data)


def read_delta(run: str, data: bytes) -> RunEvent:
    """Read an ephemeral event.

    Args:
        run: The run it is expected of, for a message that does not tell.
        data: The frame.
    """
    event = _with_content(RunEvent(run=run, type=UNDECODABLE), data)
    match event.body:
        case StepDelta(run=told, step=step):
            return msgspec.structs.replace(event, run=told, step=step)
        case _:
            return event


def step_name(token: str) -> str:
    """Return a step token as its author wrote the key; a foreign token stays as it is."""
    try:
        return str(subjects.parse_step_token(token))
    except subjects.SubjectError:
        return token


def _with_content(common: RunEvent, data: bytes) -> RunEvent:
    try:
        event = decode_event(data)
        return msgspec.structs.replace(
            common,
            type=event.type,
            time=event.time,
            data=_plain(event),
            body=decode(event),
        )
    except UndecodableError as error:
        return msgspec.structs.replace(common, data={"reason": str(error), "bytes": len(data)})


def _plain(event: Event) -> object:
    try:
        return msgspec.json.decode(event.data)
    except msgspec.DecodeError as error:
        raise UndecodableError(f"data is no JSON: {error}") from error


def as_json(event: RunEvent) -> dict[str, object]:
    """Return an event as the JSON object that `-o json` prints."""
    return {
        "run": event.run,
        "type": event.type,
        "step": event.step,
        "attempt": event.attempt,
        "cursor": event.cursor,
        "time": event.time,
        "data": event.data,
    }
