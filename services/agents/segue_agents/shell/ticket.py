"""Tickets: what does a delivered task say?"""

import msgspec

from segue_agents.core.place import Place, place_of
from segue_contracts.envelope import Event, UndecodableError, decode_event
from segue_contracts.v1.registry import decode
from segue_contracts.v1.steps import StepScheduled


class Ticket(msgspec.Struct, frozen=True, kw_only=True):
    """A task, taken apart."""

    place: Place
    """Where its events go; read from the subject, which the broker vouches for."""
    task: StepScheduled
    """What is asked."""
    event: Event
    """The frame it came in."""
    worker: str
    """Who has taken it: this process and this one delivery."""

    def request_id(self, turn: int) -> str:
        """Return the id that a turn's model call and its progress share."""
        return f"{self.place.run}:{self.place.step}:{self.place.attempt}:{turn}"


def read_ticket(subject: str, data: bytes, *, worker: str) -> Ticket:
    """Take a task apart.

    Raises:
        UndecodableError: It is no `StepScheduled` event.
        SubjectError: The subject is no task's.
    """
    place = place_of(subject)
    event = decode_event(data)
    body = decode(event)
    if not isinstance(body, StepScheduled):
        raise UndecodableError(f"a task is a StepScheduled event, not {event.type}")
    return Ticket(place=place, task=body, event=event, worker=worker)
