"""Tests of diffs: how do the steps of two runs stand side by side?"""

from msgspec import UNSET

from segue_contracts.v1.commands import StepDiff
from segue_contracts.v1.runs import StepView
from segue_orchestrator.core.diff import step_diffs

WORKED = StepView(step="a", status="completed", scheduled_ms=1_000, ended_ms=1_850)
TAKEN_OVER = StepView(step="a", status="completed", ended_ms=5_000)
OPEN = StepView(step="b", status="running", scheduled_ms=1_000)
OTHER = StepView(step="c", status="completed", scheduled_ms=1_000, ended_ms=3_000)


def test_time_is_counted_where_a_step_was_worked_on() -> None:
    """Neither for a step that was taken over, nor for one that has not ended."""
    assert list(step_diffs([WORKED, OPEN], [TAKEN_OVER, OPEN])) == [
        StepDiff(step="a", first=WORKED, second=TAKEN_OVER, first_ms=850),
        StepDiff(step="b", first=OPEN, second=OPEN),
    ]


def test_steps_of_one_run_alone_stand_last() -> None:
    """Those of the first in its order, then the others."""
    assert list(step_diffs([OPEN, WORKED], [OTHER, OPEN])) == [
        StepDiff(step="b", first=OPEN, second=OPEN),
        StepDiff(step="a", first=WORKED, second=UNSET, first_ms=850),
        StepDiff(step="c", first=UNSET, second=OTHER, second_ms=2_000),
    ]
