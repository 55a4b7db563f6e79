"""Budgets on a real broker: does a run stop before it uses more than it may?"""

from typing import Any

import pytest
from support.runs import Runs

from segue_contracts.v1 import registry
from segue_contracts.v1.commands import ExtendBudget, ResumeRun, RunState
from segue_contracts.v1.runs import BudgetExtended, BudgetLimits, RunParked
from segue_contracts.v1.steps import StepCompleted, StepScheduled
from segue_contracts.v1.values import UsageTotals
from segue_shared.errors import RefusedError


def chain(budget: str) -> str:
    """Return a definition of three steps with a budget."""
    return f"""
name: costly
budget: {budget}
steps:
  - {{key: a, pool: POOL}}
  - {{key: b, pool: POOL, dependsOn: [a]}}
  - {{key: c, pool: POOL, dependsOn: [b]}}
"""


async def costly(task: StepScheduled) -> StepCompleted:
    """Complete a task at a price."""
    return StepCompleted(output=task.input, usage=UsageTotals(input_tokens=10, cost_usd="0.4"))


@pytest.fixture(autouse=True)
def _priced(runs: Runs) -> None:
    for step in ("a", "b", "c"):
        runs.desk.on(step, costly)


async def extend(runs: Runs, run: str, **more: Any) -> RunState:
    """Allow a run more."""
    request = ExtendBudget(run=run, by="ann", **more)
    state: RunState = await runs.call(registry.EXTEND_BUDGET, request)
    return state


async def test_a_spent_budget_parks_the_run_until_it_is_extended(runs: Runs) -> None:
    """Nothing is scheduled over the budget; with more, the run completes."""
    run = await runs.start(chain("{usd: 0.5}"))
    parked = await runs.event(run, "parked.1", RunParked)
    before = list(runs.desk.steps)

    state = await extend(runs, run, usd="1")
    end = await runs.ended(run)

    assert parked.code == "budget_exceeded"
    assert "0.8 of 0.5 USD" in parked.message
    assert before == ["a", "b"]
    assert state.changed
    assert (end.status, end.usage.cost_usd) == ("completed", "1.2")
    assert (await runs.event(run, "budget.1", BudgetExtended)).by == "ann"
    assert "unparked.2" in await runs.story(run)


async def test_a_repeated_extension_adds_nothing(runs: Runs) -> None:
    """Whoever lost the answer asks again under the same key, while the run is parked or over."""
    run = await runs.start(chain("{tokens: 10}"))
    await runs.event(run, "parked.1", RunParked)
    for _ in range(3):
        await extend(runs, run, tokens=5, key="audit")
    await runs.event(run, "parked.3", RunParked)
    await extend(runs, run, tokens=100, key="rest")
    end = await runs.ended(run)
    late = await extend(runs, run, tokens=100, key="rest")

    assert end.status == late.status == "completed"
    assert len([event for event in await runs.story(run) if event.startswith("budget.")]) == 2


async def test_too_little_more_leaves_the_run_parked(runs: Runs) -> None:
    """Extensions add up until they are enough; a resume alone is refused with the way out."""
    run = await runs.start(chain("{tokens: 10}"))
    await runs.event(run, "parked.1", RunParked)
    await extend(runs, run, tokens=5)
    await runs.event(run, "parked.3", RunParked)

    with pytest.raises(RefusedError, match=f"segue run budget {run}") as caught:
        await runs.call(registry.RESUME_RUN, ResumeRun(run=run))
    little = await extend(runs, run, tokens=5)
    enough = await extend(runs, run, tokens=100)

    assert caught.value.refused.code == "conflict"
    assert (little.status, enough.status != "parked") == ("parked", True)
    assert (await runs.ended(run)).status == "completed"
    assert [e for e in await runs.story(run) if "parked" in e] == [
        "parked.1",
        "unparked.2",
        "parked.3",
        "unparked.4",
    ]


async def test_a_spent_budget_fails_the_run_where_the_definition_says_so(runs: Runs) -> None:
    """What is in flight elsewhere finishes first."""
    text = chain("{usd: 0.5, onExceed: fail}") + "  - {key: slow, pool: POOL}\n"
    runs.desk.hold("slow")
    run = await runs.start(text)
    await runs.event(run, "step.b.1.outcome.completed", StepCompleted)
    await runs.desk.came("slow")

    runs.desk.release("slow")
    error = await runs.error(run)

    assert error.code == "budget_exceeded"
    assert "c" not in runs.desk.steps
    assert not any("parked" in event for event in await runs.story(run))
    assert "step.slow.1.outcome.completed" in await runs.story(run)


async def test_tasks_are_told_what_is_left(runs: Runs) -> None:
    """Each carries the rest of the budget."""
    run = await runs.start(chain("{usd: 5, tokens: 100}"))
    await runs.ended(run)

    left = [task.budget for task in runs.desk.tasks]
    assert left == [
        BudgetLimits(usd="5", tokens=100),
        BudgetLimits(usd="4.6", tokens=90),
        BudgetLimits(usd="4.2", tokens=80),
    ]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({}, "must say how much"),
        ({"tokens": 5}, "no limit in tokens"),
        ({"seconds": -1}, "must not be negative"),
    ],
)
async def test_an_extension_that_cannot_be_is_refused(
    runs: Runs, more: dict[str, Any], message: str
) -> None:
    """Nothing is added that limits nothing."""
    run = await runs.start(chain("{usd: 0.1}"))
    await runs.event(run, "parked.1", RunParked)

    with pytest.raises(RefusedError, match=message):
        await extend(runs, run, **more)

    assert "budget.1" not in await runs.story(run)


async def test_a_run_without_a_budget_cannot_be_allowed_more(runs: Runs) -> None:
    """It is a conflict, not a silent success."""
    run = await runs.start("{name: w, steps: [{key: hold, wait: {signal: go}}]}")

    with pytest.raises(RefusedError, match="has no budget"):
        await extend(runs, run, usd="1")
