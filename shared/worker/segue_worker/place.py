"""Places: where in the journal does an attempt live, and does it still count?"""

from typing import Literal

import msgspec

from segue_contracts.v1 import subjects
from segue_contracts.v1.subjects import StepId, SubjectError

Standing = Literal["wanted", "cancelled", "settled"]
"""Whether work on an attempt still counts."""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt of a step, and the subjects that belong to it."""

    namespace: str
    """The tenant."""
    run: str
    """The run's id."""
    step: StepId
    """The step, or one item of a mapped step."""
    attempt: int
    """Counted from 1."""

    @property
    def prefix(self) -> str:
        """The subject under which the run's journal lies."""
        return subjects.run_prefix(self.namespace, self.run)

    @property
    def token(self) -> str:
        """The step as a subject token."""
        return subjects.step_token(self.step)

    @property
    def about(self) -> str:
        """What its events are about."""
        return f"{self.run}/{self.step}"

    @property
    def started(self) -> str:
        """Where it is said that someone works on it."""
        return subjects.step_started(self.prefix, self.token, self.attempt)

    @property
    def turns(self) -> str:
        """The pattern of its turns."""
        return subjects.turns(self.prefix, self.token, self.attempt)

    @property
    def outcome_guard(self) -> str:
        """The pattern of its outcome, of which there is one at most."""
        return subjects.outcome_guard(self.prefix, self.token, self.attempt)

    @property
    def delta(self) -> str:
        """Where its ephemeral progress goes."""
        return subjects.delta(self.namespace, self.run, self.token)

    @property
    def cancel_requested(self) -> str:
        """Where it is said that its run shall stop."""
        return subjects.run_event(self.namespace, self.run, "cancel_requested")

    @property
    def settling(self) -> tuple[str, ...]:
        """The patterns of everything that makes work on it pointless.

        A run that is being cancelled undoes its steps first, so that ends no work which undoes one.
        """
        ends = ("terminate_requested", "ended")
        over = (subjects.run_event(self.namespace, self.run, event) for event in ends)
        cancelled = () if self.step.undo else (self.cancel_requested,)
        return self.outcome_guard, *cancelled, *over

    def turn(self, number: int) -> str:
        """Return where turn `number` is; publishing it is the fence."""
        return subjects.turn(self.prefix, self.token, self.attempt, number)

    @property
    def beats(self) -> str:
        """The pattern of its beats."""
        return subjects.step_beats(self.prefix, self.token, self.attempt)

    def beat(self, number: int) -> str:
        """Return where beat `number` is, counted from 1."""
        return subjects.step_beat(self.prefix, self.token, self.attempt, number)

    def spent(self, teller: str) -> str:
        """Return where it is told what work used whose outcome does not count."""
        return subjects.step_spent(self.prefix, self.token, self.attempt, teller)

    def outcome(self, status: str) -> str:
        """Return where an outcome goes."""
        return subjects.outcome(self.prefix, self.token, self.attempt, status)


def place_of(subject: str) -> Place:
    """Read the place from the subject of a task.

    Raises:
        SubjectError: It is no task's subject.
    """
    run = subjects.parse_run(subject)
    event = subjects.parse_step_event(run.event)
    if event is None or event.what != "scheduled":
        raise SubjectError(f"{subject!r} is no task")
    return Place(
        namespace=run.namespace,
        run=run.run,
        step=subjects.parse_step_token(event.token),
        attempt=event.attempt,
    )


def beat_number(subject: str) -> int:
    """Return the number of the beat that is on a subject.

    Raises:
        SubjectError: It is no beat's subject.
    """
    event = subjects.parse_step_event(subjects.parse_run(subject).event)
    if event is None or event.what != "beat":
        raise SubjectError(f"{subject!r} is no beat")
    return int(event.rest[0])


def is_outcome(subject: str) -> bool:
    """Tell whether a subject of an attempt is that of its outcome.

    Raises:
        SubjectError: It is no run's subject.
    """
    event = subjects.parse_step_event(subjects.parse_run(subject).event)
    return event is not None and event.what == "outcome"


def standing(place: Place, present: tuple[str, ...]) -> Standing:
    """Tell whether work on an attempt still counts.

    Args:
        place: The attempt.
        present: The subjects that exist among its settling patterns.
    """
    if any(subject != place.cancel_requested for subject in present):
        return "settled"
    return "cancelled" if present else "wanted"
