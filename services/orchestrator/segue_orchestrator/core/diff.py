"""Diff: how do the steps of two runs compare, apart from their outputs?"""

from collections.abc import Iterator, Sequence

from msgspec import UNSET, UnsetType

from segue_contracts.v1.commands import StepDiff
from segue_contracts.v1.runs import StepView


def step_diffs(first: Sequence[StepView], second: Sequence[StepView]) -> Iterator[StepDiff]:
    """Yield all steps of either run, those of the first in its order, then the others."""
    others = {step.step: step for step in second}
    for step in first:
        yield _diff(step.step, step, others.pop(step.step, UNSET))
    for step in others.values():
        yield _diff(step.step, UNSET, step)


def _diff(name: str, first: StepView | UnsetType, second: StepView | UnsetType) -> StepDiff:
    return StepDiff(
        step=name, first=first, second=second, first_ms=_took_ms(first), second_ms=_took_ms(second)
    )


def _took_ms(step: StepView | UnsetType) -> int:
    """Return how long a run worked on a step; nothing for one that it took over or has not done."""
    if isinstance(step, UnsetType) or not (step.scheduled_ms and step.ended_ms):
        return 0
    return step.ended_ms - step.scheduled_ms
