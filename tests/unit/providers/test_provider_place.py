"""Is an attempt's place in the journal read from its task?"""

import pytest
from unit.providers.provider_support import PREFIX, RUN, TOKEN

from segue_contracts.v1 import subjects
from segue_contracts.v1.subjects import StepId, SubjectError
from segue_providers.core.place import Standing, place_of, standing

TASK = subjects.scheduled(PREFIX, TOKEN, 2, pool="llm", priority="p1")
PLACE = place_of(TASK)


def test_a_place_is_read_from_its_tasks_subject() -> None:
    """The step's key is unescaped; the run and the attempt are as they stand."""
    assert (PLACE.namespace, PLACE.run, PLACE.step, PLACE.attempt) == ("default", RUN, "Sum up", 2)
    assert PLACE.about == f"{RUN}/Sum up"
    assert PLACE.started == subjects.step_started(PREFIX, TOKEN, 2)
    assert PLACE.outcome("failed") == subjects.outcome(PREFIX, TOKEN, 2, "failed")


def test_a_map_item_keeps_its_index() -> None:
    """Items of a mapped step are places of their own."""
    token = subjects.step_token(StepId("each", (3,)))
    subject = subjects.scheduled(PREFIX, token, 1, pool="llm", priority="p1")

    assert (place_of(subject).step, place_of(subject).token) == ("each~3", token)


@pytest.mark.parametrize(
    "subject",
    ["elsewhere", f"{PREFIX}.ended", subjects.step_started(PREFIX, TOKEN, 1)],
)
def test_other_subjects_are_no_tasks(subject: str) -> None:
    """Only a dispatch has a place to work at."""
    with pytest.raises(SubjectError):
        place_of(subject)


@pytest.mark.parametrize(
    ("present", "expected"),
    [
        ((), "wanted"),
        ((PLACE.cancel_requested,), "cancelled"),
        ((PLACE.outcome("failed"),), "settled"),
        ((f"{PREFIX}.ended",), "settled"),
        ((PLACE.cancel_requested, PLACE.outcome("completed")), "settled"),
    ],
)
def test_what_exists_tells_whether_work_counts(
    present: tuple[str, ...], expected: Standing
) -> None:
    """An outcome or the run's end settles; a request to cancel alone asks for an outcome."""
    assert standing(PLACE, present) == expected
