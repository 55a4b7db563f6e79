"""Forks on a real broker: does a fork do only what has to be done again?"""

from typing import Any

import msgspec
import pytest
from support.runs import Runs
from support.wait import until

from segue_contracts.cursor import Cursor
from segue_contracts.payload import PayloadRef
from segue_contracts.v1 import registry, subjects
from segue_contracts.v1.commands import ForkRun, RunAccepted, SaveWorkflow
from segue_contracts.v1.runs import ForkedFrom, RunStarted
from segue_contracts.v1.steps import StepCompleted, StepScheduled
from segue_contracts.v1.topology import PAYLOADS, RUNS, SNAPSHOTS, WORKFLOWS
from segue_contracts.v1.values import UsageTotals, Value
from segue_orchestrator.core.progress import child_run
from segue_orchestrator.shell.definitions import Definitions
from segue_orchestrator.shell.janitor import Janitor
from segue_orchestrator.shell.live import Loader
from segue_orchestrator.shell.outputs import Outputs
from segue_orchestrator.shell.snapshots import Snapshots
from segue_orchestrator.shell.writer import Writer
from segue_shared.bus import Bus
from segue_shared.clock import SystemClock
from segue_shared.errors import RefusedError
from segue_shared.ids import SystemIds
from segue_shared.journal import Journal
from segue_shared.keyvalue import KeyValue
from segue_shared.payloads import Payloads
from segue_testing.fakes import FakeClock

DIAMOND = """
name: diamond
inputs: {who: you, where: here}
labels: {team: core}
steps:
  - {key: a, pool: POOL, with: {n: 1}}
  - {key: left, pool: POOL, dependsOn: [a], with: {n: "{{ a.n + 1 }}", who: "{{ who }}"}}
  - {key: right, pool: POOL, dependsOn: [a], with: {n: "{{ a.n + 2 }}"}}
  - {key: join, pool: POOL, dependsOn: [left, right], with: {n: "{{ left.n * right.n }}"}}
outputs: {n: "{{ join.n }}", who: "{{ left.who }}"}
"""


async def fork(runs: Runs, run: str, **fields: Any) -> RunAccepted:
    """Fork a run; the tasks that came before are forgotten."""
    runs.desk.tasks.clear()
    if "text" in fields:
        fields["text"] = fields["text"].replace("POOL", runs.pool)
    accepted: RunAccepted = await runs.call(registry.FORK_RUN, ForkRun(run=run, **fields))
    return accepted


async def refusal(runs: Runs, run: str, **fields: Any) -> tuple[str, str]:
    """Return with which code and sentence a fork is refused."""
    with pytest.raises(RefusedError) as caught:
        await fork(runs, run, **fields)
    return caught.value.refused.code, caught.value.refused.message


async def finished(runs: Runs, text: str = DIAMOND, **fields: Any) -> str:
    """Start a run and wait for its end."""
    run = await runs.start(text, **fields)
    await runs.ended(run)
    return run


async def cursor_of(runs: Runs, run: str, event: str) -> str:
    """Return the cursor of an event of a run."""
    journal = Journal(runs.bus, RUNS)
    [stored] = await journal.last([subjects.run_event("default", run, event)])
    return str(Cursor(await journal.epoch(), stored.sequence))


async def purge_all(bus: Bus) -> None:
    """Let the journal go of everything it holds."""
    journal = Journal(bus, RUNS)
    await journal.purge(await journal.last_sequence() + 1)


async def test_a_fork_does_only_the_cut_step_and_what_waits_for_it(runs: Runs) -> None:
    """Nothing that is finished is computed again, and nothing is charged again."""

    async def costly(task: StepScheduled) -> StepCompleted:
        return StepCompleted(output=task.input, usage=UsageTotals(input_tokens=7))

    for step in ("a", "left", "right", "join"):
        runs.desk.on(step, costly)
    run = await finished(runs, labels={"ticket": "1"})

    forked = await fork(runs, run, at=["right"], labels={"ticket": "2"})
    end = await runs.ended(forked.run)
    view = await runs.view(forked.run)

    assert runs.desk.steps == ["right", "join"]
    assert end.output == Value(inline={"n": 6, "who": "you"})
    assert end.usage.input_tokens == 14
    assert (view.forked_from, view.labels["ticket"]) == (run, "2")
    assert [step.usage.input_tokens for step in view.steps] == [7, 7, 7, 7]


async def test_a_fork_of_a_failed_run_goes_on_where_it_failed(runs: Runs) -> None:
    """Without a cut, what has not completed runs again."""
    runs.desk.fail("right")
    run = await finished(runs)
    runs.desk.fail("right", times=0)

    forked = await fork(runs, run)

    assert await runs.output(forked.run) == {"n": 6, "who": "you"}
    assert runs.desk.steps == ["right", "join"]


async def test_a_given_output_stands_for_its_step(runs: Runs) -> None:
    """What waits for the step goes on with it."""
    run = await finished(runs)

    forked = await fork(runs, run, outputs={"right": {"n": 10}})

    assert await runs.output(forked.run) == {"n": 20, "who": "you"}
    assert runs.desk.steps == ["join"]


async def test_a_fork_with_other_inputs_does_what_reads_them(runs: Runs) -> None:
    """The other inputs stay as they were."""
    run = await finished(runs, inputs={"where": "there"})

    forked = await fork(runs, run, inputs={"who": "me"})
    end = await runs.output(forked.run)
    view = await runs.view(forked.run)

    assert end == {"n": 6, "who": "me"}
    assert runs.desk.steps == ["left", "join"]
    assert view.inputs == {"who": "me", "where": "there"}


async def test_a_fork_with_another_definition_does_what_differs(runs: Runs) -> None:
    """Steps are matched by key; new ones run, and what waits for them."""
    run = await finished(runs)
    text = DIAMOND.replace("a.n + 2", "a.n + 4").replace(
        "outputs:", "  - {key: extra, pool: POOL, dependsOn: [a]}\noutputs:"
    )

    forked = await fork(runs, run, text=text)

    assert await runs.output(forked.run) == {"n": 10, "who": "you"}
    assert sorted(runs.desk.steps) == ["extra", "join", "right"]


async def test_a_run_is_forked_from_any_position_of_the_journal(runs: Runs) -> None:
    """What was settled later runs again; the checkpoint is written either way."""
    run = await finished(runs)
    cursor = await cursor_of(runs, run, "step.a.1.outcome.completed")

    beside = await fork(runs, run, cursor=cursor)
    await runs.ended(beside.run)
    steps = sorted(runs.desk.steps)
    within = await fork(runs, "", cursor=f"{run}@{cursor}")
    await runs.ended(within.run)

    assert steps == ["join", "left", "right"]
    assert sorted(runs.desk.steps) == steps


async def test_a_running_run_can_be_forked(runs: Runs) -> None:
    """What is in flight there runs in the fork too, and both end."""
    runs.desk.hold("right")
    run = await runs.start(DIAMOND)
    await runs.desk.came("right")
    await until(lambda: _has_left(runs, run))

    forked = await fork(runs, run)
    await runs.desk.came("right")
    runs.desk.release("right")

    assert await runs.output(forked.run) == await runs.output(run)
    assert runs.desk.steps.count("left") == 0


async def _has_left(runs: Runs, run: str) -> bool:
    return "step.left.1.outcome.completed" in await runs.story(run)


async def test_the_same_key_is_the_same_fork(runs: Runs) -> None:
    """Another cut under it is a conflict; it holds after the origin is gone."""
    run, key = await finished(runs), SystemIds().unique()
    first = await fork(runs, run, at=["join"], key=key)
    await runs.ended(first.run)

    assert (await refusal(runs, run, at=["left"], key=key))[0] == "conflict"
    await purge_all(runs.bus)
    again = await fork(runs, run, at=["join"], key=key)

    assert (again.run, again.existing) == (first.run, True)


async def test_forks_of_forks_outlive_the_journal_of_their_origin(runs: Runs) -> None:
    """What a fork took over is its own: every event before it may be gone."""
    run = await finished(runs)
    second = await fork(runs, run, at=["right"])
    await runs.ended(second.run)
    journal = Journal(runs.bus, RUNS)
    [started] = await journal.last([subjects.run_event("default", second.run, "started")])
    await journal.purge(started.sequence)
    gone = await journal.last([subjects.run_all("default", run)])

    third = await fork(runs, second.run, at=["join"])

    assert gone == []
    assert await runs.output(third.run) == {"n": 6, "who": "you"}
    assert runs.desk.steps == ["join"]
    assert (await runs.view(third.run)).forked_from == second.run


async def test_large_outputs_are_shared_and_not_copied(runs: Runs) -> None:
    """The fork refers to the very payload of its origin."""
    text = """
name: large
steps:
  - {key: big, pool: POOL}
  - {key: after, pool: POOL, dependsOn: [big]}
outputs: {size: "{{ big | length }}"}
"""

    value = await Payloads(runs.bus, PAYLOADS).wrap("x" * 100_000)

    async def large(task: StepScheduled) -> StepCompleted:
        return StepCompleted(output=value)

    runs.desk.on("big", large)
    run = await finished(runs, text)

    forked = await fork(runs, run, at=["after"])
    output = await runs.output(forked.run)
    body = await runs.event(forked.run, "started", RunStarted)

    assert output == {"size": 100_000}
    assert isinstance(body.fork, ForkedFrom)
    assert isinstance(value.ref, PayloadRef)
    assert msgspec.to_builtins(body.fork.settled.inline)["big"]["output"] == {
        "sha256": value.ref.sha256,
        "size": value.ref.size,
    }


async def test_a_repeated_step_is_taken_over_whole_or_runs_again_whole(runs: Runs) -> None:
    """Its joined output is what is shared."""
    text = """
name: each
steps:
  - {key: list, pool: POOL, with: {items: [1, 2, 3]}}
  - {key: each, pool: POOL, dependsOn: [list], forEach: "{{ list.items }}", with: {n: "{{ item }}"}}
  - {key: last, pool: POOL, dependsOn: [each], with: {all: "{{ each }}"}}
"""
    run = await finished(runs, text)

    after = await fork(runs, run, at=["last"])
    kept = await runs.output(after.run)
    tasks = list(runs.desk.steps)
    within = await fork(runs, run, at=["each"])

    assert kept == {"last": {"all": [{"n": 1}, {"n": 2}, {"n": 3}]}}
    assert tasks == ["last"]
    assert await runs.output(within.run) == kept
    assert sorted(runs.desk.steps) == ["each~0", "each~1", "each~2", "last"]


WIDE = 600
"""Steps enough that the list of those taken over is a payload itself."""


async def test_what_a_large_fork_shares_is_not_swept(runs: Runs) -> None:
    """Neither the list of its steps nor what that refers to, although only the list does."""
    lines = [f"  - {{key: s{number}, pool: POOL, with: {{n: {number}}}}}" for number in range(WIDE)]
    text = "\n".join(["name: wide", "steps:", *lines])
    text += "\n  - {key: last, pool: POOL, dependsOn: [s0, s599], with: {n: '{{ s599.n }}'}}"
    run = await finished(runs, text)
    first = await fork(runs, run, at=["last"])
    await runs.ended(first.run)
    body = await runs.event(first.run, "started", RunStarted)
    journal, payloads = Journal(runs.bus, RUNS), Payloads(runs.bus, PAYLOADS)
    [started] = await journal.last([subjects.run_event("default", first.run, "started")])
    await journal.purge(started.sequence)
    await payloads.wrap("y" * 100_000)

    cleaned = await _janitor(runs.bus, journal, payloads).clean(sweep=True)
    second = await fork(runs, first.run, at=["last"])

    assert isinstance(body.fork, ForkedFrom)
    assert isinstance(body.fork.settled.ref, PayloadRef)
    assert cleaned.swept >= 1
    output = await runs.output(second.run)
    assert output["last"] == {"n": 599}
    assert runs.desk.steps == ["last"]


def _janitor(bus: Bus, journal: Journal, payloads: Payloads) -> Janitor:
    """Return a janitor of the day after tomorrow."""
    outputs = Outputs(journal, payloads)
    snapshots = Snapshots(KeyValue(bus, SNAPSHOTS), payloads, outputs)
    definitions = Definitions(KeyValue(bus, WORKFLOWS))
    clock = SystemClock()
    return Janitor(
        journal=journal,
        loader=Loader(journal, definitions, payloads, outputs, snapshots),
        snapshots=snapshots,
        payloads=payloads,
        turns=KeyValue(bus, SNAPSHOTS),
        writer=Writer(bus, clock),
        clock=FakeClock(clock.now_ms() + 2 * 24 * 3_600_000),
        window_s=30 * 24 * 3_600,
        every_s=3_600,
    )


CHILD = """
name: {name}
version: 1.0.0
steps:
  - {{key: one, pool: POOL, with: {{n: 1}}}}
  - {{key: two, pool: POOL, dependsOn: [one], with: {{n: "{{{{ one.n + 1 }}}}"}}}}
outputs: {{n: "{{{{ two.n }}}}"}}
"""
PARENT = """
name: parent
steps:
  - {{key: before, pool: POOL}}
  - {{key: below, workflow: {name}, dependsOn: [before]}}
  - {{key: after, pool: POOL, dependsOn: [below], with: {{n: "{{{{ below.n }}}}"}}}}
"""


async def family(runs: Runs) -> str:
    """Run a workflow with another one inside, and return the run."""
    name = f"child-{SystemIds().unique()}"
    text = CHILD.format(name=name).replace("POOL", runs.pool)
    await runs.call(registry.SAVE_WORKFLOW, SaveWorkflow(text=text))
    return await finished(runs, PARENT.format(name=name))


async def test_a_run_that_was_a_step_is_shared_with_its_output(runs: Runs) -> None:
    """A fork after it starts no child; a fork at it starts a new one."""
    run = await family(runs)

    after = await fork(runs, run, at=["after"])
    kept = await runs.output(after.run)
    tasks = list(runs.desk.steps)
    at = await fork(runs, run, at=["below"])

    assert (kept, tasks) == ({"after": {"n": 2}}, ["after"])
    assert await runs.output(at.run) == kept
    assert runs.desk.steps == ["one", "two", "after"]


async def test_a_child_run_can_be_forked_by_itself_after_its_parent_is_gone(runs: Runs) -> None:
    """The fork is nobody's child; a fork of it needs neither."""
    run = await family(runs)
    child = child_run(run, "below", 1)
    first = await fork(runs, child, at=["two"])
    await runs.ended(first.run)
    tasks = list(runs.desk.steps)
    view = await runs.view(first.run)
    journal = Journal(runs.bus, RUNS)
    [started] = await journal.last([subjects.run_event("default", first.run, "started")])
    await journal.purge(started.sequence)

    second = await fork(runs, first.run, at=["two"])

    assert (tasks, view.parent) == (["two"], msgspec.UNSET)
    assert await runs.output(second.run) == {"n": 2}
    assert runs.desk.steps == ["two"]


UNDONE = """
name: undone
steps:
  - {key: book, pool: POOL, compensate: {pool: POOL}}
  - {key: other, pool: POOL}
  - {key: pay, pool: POOL, dependsOn: [book, other]}
"""


async def test_a_step_that_its_run_has_undone_runs_again_in_a_fork(runs: Runs) -> None:
    """Also from a checkpoint before it was undone: what it did is no longer there."""
    runs.desk.fail("pay")
    run = await finished(runs, UNDONE)
    cursor = await cursor_of(runs, run, "step.pay.1.outcome.failed")
    undone = "book~undo" in runs.desk.steps
    runs.desk.fail("pay", times=0)

    forked = await fork(runs, run, cursor=cursor)
    end = await runs.ended(forked.run)

    assert (undone, end.status) == (True, "completed")
    assert sorted(runs.desk.steps) == ["book", "pay"]


async def test_a_fork_that_fails_does_not_undo_what_it_took_over(runs: Runs) -> None:
    """The run it was forked from relies on that."""
    run = await finished(runs, UNDONE)
    runs.desk.fail("pay")

    forked = await fork(runs, run, at=["pay"])
    end = await runs.ended(forked.run)

    assert end.status == "failed"
    assert runs.desk.steps == ["pay"]


async def test_a_position_that_is_no_longer_kept_is_told_so(runs: Runs) -> None:
    """A purged position, another journal's, a run of which only the end is left."""
    run, other = await finished(runs), await finished(runs)
    early = await cursor_of(runs, run, "step.a.1.outcome.completed")
    newest = await cursor_of(runs, other, "ended")
    foreign = "old-" + newest.partition("-")[2]
    journal = Journal(runs.bus, RUNS)
    [ended] = await journal.last([subjects.run_event("default", other, "ended")])

    assert (await refusal(runs, other, cursor=foreign))[0] == "checkpoint_expired"
    await journal.purge(ended.sequence)
    assert (await refusal(runs, run, cursor=early))[0] == "checkpoint_expired"
    assert (await refusal(runs, other, at=["a"]))[0] == "checkpoint_expired"


async def test_a_fork_that_cannot_be_is_refused_with_the_way_out(runs: Runs) -> None:
    """Each with the place that is wrong."""
    run = await finished(runs)
    later = await finished(runs)
    before = await cursor_of(runs, run, "step.a.1.outcome.completed")

    assert await refusal(runs, run, at=["rigth"]) == (
        "invalid_request",
        "the definition has no step 'rigth'",
    )
    assert "as a whole" in (await refusal(runs, run, at=["a~1"]))[1]
    assert "nothing would run again" in (await refusal(runs, run))[1]
    assert (await refusal(runs, run, inputs={"whom": 1}))[0] == "invalid_definition"
    assert (await refusal(runs, run, text="name: w\n"))[0] == "invalid_definition"
    assert (await refusal(runs, "00000000aa", at=["a"]))[0] == "not_found"
    assert (await refusal(runs, "no!", at=["a"]))[0] == "invalid_request"
    assert "began at" in (await refusal(runs, later, cursor=before))[1]
    epoch = before.partition("-")[0]
    assert "whose newest is" in (await refusal(runs, run, cursor=f"{epoch}-999999999"))[1]


async def test_a_given_output_must_be_one_that_the_step_could_have(runs: Runs) -> None:
    """Its schema holds, and a repeated step has a list."""
    text = """
name: typed
steps:
  - {key: one, pool: POOL, with: {n: 1}, outputSchema: {properties: {n: {type: integer}}}}
  - {key: many, pool: POOL, forEach: [1]}
"""
    run = await finished(runs, text)

    with pytest.raises(RefusedError) as caught:
        await fork(runs, run, outputs={"one": {"n": "x"}})
    many = await refusal(runs, run, outputs={"many": 3})

    assert caught.value.refused.problems[0].pointer == "/outputs/one/n"
    assert many == ("invalid_request", "step 'many' is repeated, so its output is a list")
