"""Places: where do the events of an attempt go, and is it still wanted?"""

import msgspec
import pytest

from segue_contracts.v1 import subjects
from segue_contracts.v1.subjects import StepId, SubjectError
from segue_worker.place import Place, Standing, beat_number, place_of, standing

RUN = "run00000000000000000000001"
PREFIX = subjects.run_prefix("default", RUN)
PLACE = Place(namespace="default", run=RUN, step=StepId("Lint It", (2,)), attempt=3)


def test_the_place_is_read_from_the_subject_of_a_task() -> None:
    """Namespace, run, step with its map items, and attempt are all in the subject."""
    subject = subjects.scheduled(PREFIX, PLACE.token, 3, pool="agents", priority="p1")

    assert place_of(subject) == PLACE
    assert (str(place_of(subject).step), place_of(subject).token) == ("Lint It~2", PLACE.token)


@pytest.mark.parametrize(
    "subject",
    [
        "some.thing",
        subjects.run_event("default", RUN, "ended"),
        subjects.step_started(PREFIX, "lint", 1),
    ],
)
def test_another_subject_is_no_task(subject: str) -> None:
    """Only a dispatch is."""
    with pytest.raises(SubjectError):
        place_of(subject)


def test_all_events_of_an_attempt_lie_below_its_place() -> None:
    """The subjects are those of the contracts."""
    token = PLACE.token

    assert subjects.step_started(PREFIX, token, 3) == PLACE.started
    assert subjects.turns(PREFIX, token, 3) == PLACE.turns
    assert subjects.turn(PREFIX, token, 3, 7) == PLACE.turn(7)
    assert subjects.step_beat(PREFIX, token, 3, 7) == PLACE.beat(7)
    assert subjects.step_beats(PREFIX, token, 3) == PLACE.beats
    assert subjects.outcome(PREFIX, token, 3, "failed") == PLACE.outcome("failed")
    assert subjects.delta("default", RUN, token) == PLACE.delta
    assert f"{RUN}/Lint It~2" == PLACE.about


def test_the_number_of_a_beat_is_read_from_its_subject() -> None:
    """Other subjects have none."""
    assert beat_number(PLACE.beat(1_501)) == 1_501
    with pytest.raises(SubjectError):
        beat_number(PLACE.turn(1))


@pytest.mark.parametrize(
    ("present", "expected"),
    [
        ((), "wanted"),
        ((subjects.run_event("default", RUN, "cancel_requested"),), "cancelled"),
        ((subjects.run_event("default", RUN, "ended"),), "settled"),
        ((subjects.run_event("default", RUN, "terminate_requested"),), "settled"),
        ((PLACE.outcome("completed"),), "settled"),
        (
            (
                subjects.run_event("default", RUN, "cancel_requested"),
                PLACE.outcome("cancelled"),
            ),
            "settled",
        ),
    ],
)
def test_the_journal_tells_whether_an_attempt_is_wanted(
    present: tuple[str, ...], expected: Standing
) -> None:
    """An outcome or the run's end settle it; a request to cancel alone still needs an outcome."""
    assert expected == standing(PLACE, present)
    assert set(present) <= {*PLACE.settling, PLACE.outcome("completed"), PLACE.outcome("cancelled")}


def test_a_run_being_cancelled_still_wants_its_steps_undone() -> None:
    """Only an outcome, a termination and the end make work on that pointless."""
    undoing = msgspec.structs.replace(PLACE, step=StepId("Lint It", (2,), undo=True))

    run_events = undoing.settling[1:]

    assert run_events == (
        subjects.run_event("default", RUN, "terminate_requested"),
        subjects.run_event("default", RUN, "ended"),
    )
