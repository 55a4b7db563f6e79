"""Comparisons on a real broker: what differs between runs, and between definitions?"""

from typing import Any

import pytest
from support.runs import Runs

from segue_contracts.cursor import Cursor
from segue_contracts.v1 import registry, subjects
from segue_contracts.v1.commands import (
    DiffRuns,
    ForkRun,
    ReplayResult,
    ReplayRun,
    RunDiff,
)
from segue_contracts.v1.steps import StepCompleted, StepScheduled
from segue_contracts.v1.topology import PAYLOADS, RUNS, WORKFLOWS
from segue_contracts.v1.values import UsageTotals
from segue_shared.errors import RefusedError
from segue_shared.journal import Journal
from segue_shared.payloads import Payloads

CHAIN = """
name: chain
inputs: {who: you}
steps:
  - {key: first, pool: POOL, with: {who: "{{ who }}"}}
  - {key: second, pool: POOL, dependsOn: [first], with: {who: "{{ first.who }}"}}
  - {key: third, pool: POOL, dependsOn: [second], when: "second.who != 'nobody'"}
outputs: {who: "{{ second.who }}"}
"""


async def finished(runs: Runs, text: str = CHAIN, **fields: Any) -> str:
    """Start a run and wait for its end."""
    run = await runs.start(text, **fields)
    await runs.ended(run)
    return run


async def diff(runs: Runs, first: str, second: str) -> RunDiff:
    """Compare two runs."""
    found: RunDiff = await runs.call(registry.DIFF_RUNS, DiffRuns(first=first, second=second))
    return found


async def replay(runs: Runs, run: str, text: str) -> ReplayResult:
    """Replay a run under another definition."""
    request = ReplayRun(run=run, text=text.replace("POOL", runs.pool))
    result: ReplayResult = await runs.call(registry.REPLAY_RUN, request)
    return result


async def test_a_fork_is_compared_with_its_origin_step_by_step(runs: Runs) -> None:
    """Outputs that differ are shown; what was taken over took no time in the fork."""

    async def costly(task: StepScheduled) -> StepCompleted:
        return StepCompleted(output=task.input, usage=UsageTotals(cost_usd="0.5"))

    runs.desk.on("second", costly)
    run = await finished(runs)
    forked = await runs.call(registry.FORK_RUN, ForkRun(run=run, outputs={"second": {"who": "x"}}))
    await runs.ended(forked.run)

    found = await diff(runs, run, forked.run)

    first, second, third = found.steps
    assert (found.first.run, found.second.run, found.first.steps) == (run, forked.run, [])
    assert (first.same_output, first.shared, first.second_ms) == (True, True, 0)
    assert (first.first_output, first.second_output) == (None, None)
    assert (second.same_output, second.shared) == (False, True)
    assert (second.first_output, second.second_output) == ({"who": "you"}, {"who": "x"})
    assert second.first.usage.cost_usd == "0.5"
    assert (third.shared, third.same_output) == (False, True)


async def test_steps_of_either_run_are_compared(runs: Runs) -> None:
    """Those of the first in its order, then the others; one that is missing has no view."""
    one = await finished(runs)
    other = await finished(runs, CHAIN.replace("key: third", "key: fourth"), inputs={"who": "me"})

    found = await diff(runs, one, other)

    assert [step.step for step in found.steps] == ["first", "second", "third", "fourth"]
    assert [bool(step.first) for step in found.steps] == [True, True, True, False]
    assert [bool(step.second) for step in found.steps] == [True, True, False, True]
    assert found.steps[0].second_output == {"who": "me"}
    assert not any(step.same_output for step in found.steps)


async def test_large_outputs_are_compared_and_not_shown(runs: Runs) -> None:
    """Equal content is the same, wherever it lies and however it is written."""
    payloads = Payloads(runs.bus, PAYLOADS)
    text = "x" * 80_000
    answers = iter([{"a": text, "b": 1}, {"b": 1, "a": text}, {"a": text, "b": 2}])

    async def large(task: StepScheduled) -> StepCompleted:
        return StepCompleted(output=await payloads.wrap(next(answers)))

    runs.desk.on("a", large)
    definition = "{name: big, steps: [{key: a, pool: POOL}]}"
    two, also, four = [await finished(runs, definition) for _ in range(3)]

    same = (await diff(runs, two, also)).steps[0]
    other = (await diff(runs, two, four)).steps[0]

    assert same.same_output
    assert (other.same_output, other.first_output, other.second_output) == (False, None, None)


async def test_runs_are_compared_as_they_were_at_checkpoints(runs: Runs) -> None:
    """A run differs from itself where it had not finished."""
    run = await finished(runs)
    journal = Journal(runs.bus, RUNS)
    subject = subjects.run_event("default", run, "step.first.1.outcome.completed")
    [stored] = await journal.last([subject])

    found = await diff(runs, f"{run}@{Cursor(await journal.epoch(), stored.sequence)}", run)

    assert [step.same_output for step in found.steps] == [True, False, False]


async def test_a_history_replayed_under_its_own_definition_shows_no_difference(runs: Runs) -> None:
    """Also when some words of the definition changed that decide nothing."""
    run = await finished(runs)

    result = await replay(runs, run, CHAIN.replace("name: chain", "name: chain\ntitle: A chain"))

    assert (result.run, result.events, result.differences) == (run, 8, [])


async def test_a_replay_tells_after_which_event_another_definition_decides_otherwise(
    runs: Runs,
) -> None:
    """Rendered inputs count; what the history says happened, happened under both."""
    run = await finished(runs)
    text = CHAIN.replace("first.who }}", "first.who }}!").replace("'nobody'", "'you'")

    result = await replay(runs, run, text)

    dispatched, skipped = result.differences
    assert dispatched.event == "step.first.1.outcome.completed"
    [recorded], [replayed] = dispatched.recorded, dispatched.replayed
    assert recorded.startswith(f"dispatch second.1 to {runs.pool}, input ")
    assert replayed.startswith(f"dispatch second.1 to {runs.pool}, input ")
    assert skipped.event == "step.second.1.outcome.completed"
    assert skipped.replayed == ["skip third: condition"]
    assert skipped.recorded[0].startswith("dispatch third.1")


async def test_a_replay_under_a_definition_with_other_steps_tells_what_they_would_do(
    runs: Runs,
) -> None:
    """What the history does not know stays undone; what the definition does not know is ignored."""
    run = await finished(runs)
    text = CHAIN.replace("key: third", "key: fourth").replace("{who: you}", "{who: you, more: 1}")

    result = await replay(runs, run, text)

    told = [(found.event, found.recorded, found.replayed) for found in result.differences]
    [(event, [recorded], [replayed]), (last, [end], [])] = told
    assert event == "step.second.1.outcome.completed"
    assert (recorded.split(",")[0], replayed.split(",")[0]) == (
        f"dispatch third.1 to {runs.pool}",
        f"dispatch fourth.1 to {runs.pool}",
    )
    assert (last, end.split(",")[0]) == ("step.third.1.outcome.completed", "end completed")


async def test_a_fork_is_replayed_with_what_it_took_over(runs: Runs) -> None:
    """Steps that it did not do are settled under both definitions."""
    run = await finished(runs)
    forked = await runs.call(registry.FORK_RUN, ForkRun(run=run, at=["third"]))
    await runs.ended(forked.run)

    assert (await replay(runs, forked.run, CHAIN)).differences == []


async def test_a_replay_stores_nothing(runs: Runs) -> None:
    """Neither events nor the definition."""
    run = await finished(runs)
    journals = Journal(runs.bus, RUNS), Journal(runs.bus, f"KV_{WORKFLOWS}")
    before = [await journal.last_sequence() for journal in journals]

    await replay(runs, run, CHAIN.replace("key: third", "key: unheard"))

    assert [await journal.last_sequence() for journal in journals] == before


async def test_a_replay_that_cannot_be_is_refused(runs: Runs) -> None:
    """An invalid definition, inputs that do not suit it, a history that is not whole."""
    run = await finished(runs)
    codes = []
    needy = CHAIN.replace("{who: you}", "{who: you, more: {type: string, required: true}}")

    async def code(name: str, text: str) -> str:
        with pytest.raises(RefusedError) as caught:
            await replay(runs, name, text)
        return caught.value.refused.code

    codes.append(await code(run, "name: w"))
    codes.append(await code(run, needy))
    codes.append(await code("00000000aa", CHAIN))
    journal = Journal(runs.bus, RUNS)
    [first, *_] = await journal.last([subjects.run_all("default", run)])
    await journal.purge(first.sequence + 1)
    codes.append(await code(run, CHAIN))

    assert codes == ["invalid_definition", "invalid_definition", "not_found", "checkpoint_expired"]
