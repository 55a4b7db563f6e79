"""Tickets: what does a delivered task say, and how are its events framed?"""

from dataclasses import dataclass

from msgspec import UnsetType

from segue_contracts.envelope import Event, Message, UndecodableError, decode_event
from segue_contracts.v1.events import frame, start_sequence
from segue_contracts.v1.registry import decode
from segue_contracts.v1.steps import StepScheduled
from segue_providers.core.place import Place, place_of
from segue_providers.shell.router import SOURCE


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """A task, taken apart."""

    place: Place
    """Where its events go."""
    task: StepScheduled
    """What is asked."""
    event: Event
    """The frame it came in."""

    def framed(self, body: Message, subject: str, *, time: str) -> bytes:
        """Frame an event that follows from the task."""
        trace = self.event.traceparent
        return frame(
            body,
            subject=subject,
            source=SOURCE,
            about=self.place.about,
            time=time,
            causation=self.event.id,
            startseq=start_sequence(self.event),
            traceparent="" if isinstance(trace, UnsetType) else trace,
        )


def read_ticket(subject: str, data: bytes) -> Ticket:
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
    return Ticket(place=place, task=body, event=event)
