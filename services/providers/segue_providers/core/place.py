"""Places: where in the journal does an attempt live, and what settles it?"""

from dataclasses import dataclass
from typing import Literal

from segue_contracts.v1 import subjects
from segue_contracts.v1.subjects import SubjectError

Standing = Literal["wanted", "cancelled", "settled"]
"""Whether work on an attempt still counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """An attempt of a step; read from its task's subject, which the broker vouches for."""

    namespace: str
    run: str
    step: str
    """The step, `<key>` or `<key>~<item>`."""
    attempt: int
    prefix: str
    """The subject under which the run's journal lies."""
    token: str
    """The step as a subject token."""

    @property
    def about(self) -> str:
        """What the attempt's events are about."""
        return f"{self.run}/{self.step}"

    @property
    def started(self) -> str:
        """Where it is said that someone works on it."""
        return subjects.step_started(self.prefix, self.token, self.attempt)

    @property
    def outcome_guard(self) -> str:
        """The pattern of its outcome, of which there is one at most."""
        return subjects.outcome_guard(self.prefix, self.token, self.attempt)

    @property
    def cancel_requested(self) -> str:
        """Where it is said that the run shall stop."""
        return f"{self.prefix}.cancel_requested"

    @property
    def settling(self) -> tuple[str, ...]:
        """The patterns of everything that makes work on it pointless."""
        return self.outcome_guard, self.cancel_requested, f"{self.prefix}.ended"

    def outcome(self, status: str) -> str:
        """Return where an outcome goes."""
        return subjects.outcome(self.prefix, self.token, self.attempt, status)


def place_of(subject: str) -> Place:
    """Read the place of a task from its subject.

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
        step=str(subjects.parse_step_token(event.token)),
        attempt=event.attempt,
        prefix=subjects.run_prefix(run.namespace, run.run),
        token=event.token,
    )


def standing(place: Place, present: tuple[str, ...]) -> Standing:
    """Tell whether work on an attempt still counts.

    Args:
        place: The attempt.
        present: The subjects that exist among its settling patterns.
    """
    if any(subject != place.cancel_requested for subject in present):
        return "settled"
    return "cancelled" if present else "wanted"
