"""Tickets: what does a delivered task say?"""

import msgspec

from segue_contracts.envelope import Event, UndecodableError, decode_event
from segue_contracts.v1.registry import decode
from segue_contracts.v1.steps import StepScheduled
from segue_contracts.v1.values import UsageTotals
from segue_worker.place import Place, place_of


class Spent(msgspec.Struct):
    """What an attempt has used so far; true also when it is given up."""

    usage: UsageTotals = UsageTotals()
    """The sum over everything that is done."""


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
    spent: Spent = msgspec.field(default_factory=Spent)
    """What the work on it has used; the work keeps it, the worker reads it."""


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
