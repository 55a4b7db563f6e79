"""Sub-workflows on a real broker: do runs and the runs below them live and end together?"""

from typing import Any

import msgspec
import pytest
from msgspec import UNSET
from support.runs import Desk, Outcome, Runs, echo
from support.wait import until

from segue_contracts.envelope import encode
from segue_contracts.payload import Value
from segue_contracts.v1 import registry, subjects
from segue_contracts.v1.commands import CancelRun, SaveWorkflow, TerminateRun, WorkflowVersion
from segue_contracts.v1.runs import (
    BudgetLimits,
    CancelRequested,
    ChildEnded,
    ChildStarted,
    ParentRun,
    RunEnded,
    RunParked,
    RunStarted,
    TerminateRequested,
)
from segue_contracts.v1.steps import (
    StepCompleted,
    StepFailed,
    StepScheduled,
    StepTimedOut,
    StepWaiting,
)
from segue_contracts.v1.topology import PAYLOADS, RUNS, SNAPSHOTS, WORKFLOWS
from segue_contracts.v1.values import Failure, UsageTotals
from segue_orchestrator.app import NAME, REQUIRES, build
from segue_orchestrator.core.effects import Launch
from segue_orchestrator.core.policies import MAX_DEPTH
from segue_orchestrator.core.progress import child_run
from segue_orchestrator.settings import Settings
from segue_orchestrator.shell.definitions import Definitions
from segue_orchestrator.shell.live import Loader
from segue_orchestrator.shell.neighbours import Neighbours
from segue_orchestrator.shell.outputs import Outputs
from segue_orchestrator.shell.snapshots import Snapshots
from segue_orchestrator.shell.writer import Writer
from segue_shared.bus import Bus
from segue_shared.clock import SystemClock
from segue_shared.ids import SystemIds
from segue_shared.journal import Journal
from segue_shared.keyvalue import KeyValue
from segue_shared.payloads import Payloads
from segue_testing.broker import Broker
from segue_testing.services import serving

CHILD = """
name: NAME
version: 1.0.0
inputs:
  who: {type: string, required: true}
  polite: {default: please}
steps:
  - {key: greet, pool: POOL, with: {text: "{{ polite }} {{ who }}"}}
outputs: {said: "{{ greet.text }}"}
"""
WAITING = """
name: NAME
version: 1.0.0
steps: [{key: hold, wait: {signal: go}}]
"""


@pytest.fixture
def name() -> str:
    """A workflow's name of this test alone."""
    return SystemIds().unique()


async def push(runs: Runs, text: str, name: str) -> WorkflowVersion:
    """Register a definition in which NAME stands for its name."""
    request = SaveWorkflow(text=text.replace("NAME", name).replace("POOL", runs.pool))
    saved: WorkflowVersion = await runs.call(registry.SAVE_WORKFLOW, request)
    return saved


async def start(runs: Runs, text: str, name: str, **fields: Any) -> str:
    """Start a run of a definition in which CHILD stands for the workflow below it."""
    return await runs.start(text.replace("CHILD", name), **fields)


async def waits(runs: Runs, run: str) -> None:
    """Wait until a run waits for its signal."""
    await runs.event(run, "step.hold.1.waiting", StepWaiting)


def parent(step: str = "", more: str = "") -> str:
    """Return a definition with one step that is a run of its own."""
    return f"{{name: parent, steps: [{{key: call, workflow: CHILD{step}}}]{more}}}"


async def test_a_sub_workflows_output_is_its_steps(runs: Runs, name: str) -> None:
    """Inputs go down with their defaults bound, outputs and usage come up, both are linked."""

    async def greet(task: StepScheduled) -> Outcome:
        return StepCompleted(output=task.input, usage=UsageTotals(input_tokens=3))

    runs.desk.on("greet", greet)
    saved = await push(runs, CHILD, name)
    text = parent(
        ', with: {who: "{{ me }}"}', ", inputs: {me: you}, outputs: {o: '{{ call.said }}'}"
    )
    run = await start(runs, text, name, labels={"team": "a"})
    end = await runs.ended(run)

    child = child_run(run, "call", 1)
    begun = await runs.event(child, "started", RunStarted)
    told = await runs.event(run, f"child.{child}.ended", ChildEnded)
    [step] = (await runs.view(run)).steps
    assert (await runs.output(run), end.usage.input_tokens) == ({"o": "please you"}, 3)
    assert begun.inputs == Value(inline={"who": "you", "polite": "please"})
    assert begun.parent == ParentRun(run=run, step="call", attempt=1)
    assert (begun.workflow, begun.definition, begun.depth) == (name, saved.definition, 1)
    assert begun.labels == {"team": "a"}
    assert (told.status, step.child) == ("completed", child)
    assert (await runs.story(run)) == [
        "started",
        f"child.{child}.started",
        f"child.{child}.ended",
        "ended",
    ]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("{}", "input 'who' is required"),
        ("{who: a, whom: b}", "input 'whom' is no input of this workflow"),
        ("{who: 7}", "input 'who' must be of type string"),
    ],
)
async def test_a_child_that_refuses_its_inputs_fails_its_step_at_once(
    runs: Runs, name: str, given: str, said: str
) -> None:
    """With a typed failure that no retry follows; the child never begins."""
    await push(runs, CHILD, name)
    run = await start(runs, parent(f", with: {given}, retry: {{maxAttempts: 5, delay: 1ms}}"), name)

    failure = await runs.error(run)
    outcome = await runs.event(run, "step.call.1.outcome.failed", StepFailed)

    assert failure.details == {"step": "call", "code": "invalid_inputs"}
    assert said in failure.message
    assert not outcome.error.retryable
    assert await runs.story(child_run(run, "call", 1)) == []
    assert await runs.story(child_run(run, "call", 2)) == []


async def test_a_failed_child_is_tried_again_as_another_run(runs: Runs, name: str) -> None:
    """Each attempt has a run of its own; the one that completes counts."""
    tries: list[str] = []

    async def flaky(task: StepScheduled) -> Outcome:
        tries.append(task.run)
        if len(tries) == 1:
            return StepFailed(error=Failure(code="boom", message="not yet"))
        return await echo(task)

    runs.desk.on("greet", flaky)
    await push(runs, CHILD, name)
    run = await start(runs, parent(", with: {who: x}, retry: {maxAttempts: 2, delay: 1ms}"), name)
    end = await runs.ended(run)
    first, second = (child_run(run, "call", attempt) for attempt in (1, 2))

    assert end.status == "completed"
    assert tries == [first, second]
    assert (await runs.error(first)).details == {"step": "greet", "code": "boom"}
    assert (await runs.ended(second)).status == "completed"


async def test_a_child_that_fails_for_good_fails_its_step(runs: Runs, name: str) -> None:
    """The failure tells which run it was, and why that failed."""
    runs.desk.fail("greet")
    await push(runs, CHILD, name)
    run = await start(runs, parent(", with: {who: x}"), name)
    failure = await runs.error(run)
    step = (await runs.view(run)).steps[0]

    assert failure.details == {"step": "call", "code": "child_failed"}
    assert isinstance(step.error, Failure)
    assert step.error.details["run"] == child_run(run, "call", 1)
    assert step.error.details["cause"] == "step_failed"


async def test_cancelling_a_run_cancels_the_run_below_it(runs: Runs, name: str) -> None:
    """The reason goes down, and the parent ends once the child has."""
    await push(runs, WAITING, name)
    run = await start(runs, parent(", retry: {maxAttempts: 3, delay: 1ms}"), name)
    child = child_run(run, "call", 1)
    await waits(runs, child)
    await runs.call(registry.CANCEL_RUN, CancelRun(run=run, reason="enough"))

    end = await runs.ended(run)

    assert end.status == "cancelled"
    assert (await runs.event(child, "cancel_requested", CancelRequested)).reason == "enough"
    assert (await runs.ended(child)).status == "cancelled"
    assert (await runs.story(run))[-2:] == [f"child.{child}.ended", "ended"]


async def test_a_child_that_somebody_cancels_is_not_tried_again(runs: Runs, name: str) -> None:
    """Another attempt would go against what was asked for."""
    await push(runs, WAITING, name)
    run = await start(runs, parent(", retry: {maxAttempts: 3, delay: 1ms}"), name)
    child = child_run(run, "call", 1)
    await waits(runs, child)
    await runs.call(registry.CANCEL_RUN, CancelRun(run=child))

    assert (await runs.error(run)).details["code"] == "child_cancelled"


async def test_a_cancel_that_comes_before_the_child_began_reaches_it(
    broker: Broker, bus: Bus, name: str
) -> None:
    """Whatever the orchestrator sees first, the child begins and ends, and so does the parent."""
    settings = Settings(nats_url=broker.url, ack_wait_s=2, drain_s=2)
    first = Runs(bus, "none", Desk())
    async with serving(NAME, settings, build, requires=REQUIRES):
        saved = await push(first, WAITING, name)
    run = SystemIds().run_id(0)
    text = parent().replace("CHILD", name)
    async with serving(NAME, settings, build, requires=REQUIRES):
        probe = await first.start(text)
        begun = await first.event(probe, "started", RunStarted)
        await first.is_at(probe, "running")
    # Nobody decides now: the child's dispatch is stored, its start is not, and a cancel follows.
    put = subjects.run_event
    await first.put(put("default", run, "started"), begun, about=run)
    child = child_run(run, "call", 1)
    dispatch = ChildStarted(
        step="call", attempt=1, run=child, workflow=name, definition=saved.definition
    )
    await first.put(put("default", run, f"child.{child}.started"), dispatch, about=run)
    await first.put(put("default", run, "cancel_requested"), CancelRequested(), about=run)
    async with serving(NAME, settings, build, requires=REQUIRES):
        end = await first.ended(run)

    assert end.status == "cancelled"
    assert (await first.ended(child)).status == "cancelled"


async def test_terminating_a_run_terminates_the_run_below_it(runs: Runs, name: str) -> None:
    """Neither waits for anything."""
    await push(runs, WAITING, name)
    run = await start(runs, parent(), name)
    child = child_run(run, "call", 1)
    await waits(runs, child)
    await runs.call(registry.TERMINATE_RUN, TerminateRun(run=run, reason="now"))

    assert (await runs.error(run)).code == "terminated"
    assert (await runs.event(child, "terminate_requested", TerminateRequested)).reason == "now"
    assert (await runs.error(child)).code == "terminated"


async def test_a_step_that_times_out_cancels_its_child(runs: Runs, name: str) -> None:
    """The run below does not go on for nobody; the next attempt is another."""
    await push(runs, WAITING, name)
    step = ", timeout: 200ms, retry: {maxAttempts: 2, delay: 1ms}"
    run = await start(runs, parent(step), name)

    failure = await runs.error(run)

    assert failure.details["code"] == "timeout"
    await runs.event(run, "step.call.2.outcome.timed_out", StepTimedOut)
    for attempt in (1, 2):
        assert (await runs.ended(child_run(run, "call", attempt))).status == "cancelled"


async def test_a_runs_timeout_cancels_the_run_below_it(runs: Runs, name: str) -> None:
    """The parent ends once the child has."""
    await push(runs, WAITING, name)
    run = await start(runs, parent(more=", timeout: 200ms"), name)

    assert (await runs.error(run)).code == "timeout"
    assert (await runs.ended(child_run(run, "call", 1))).status == "cancelled"


async def test_a_budget_flows_down_as_far_as_it_is_left(runs: Runs, name: str) -> None:
    """The child is given what its parent has not used, and is parked when that is spent."""

    async def spend(task: StepScheduled) -> Outcome:
        return StepCompleted(output=task.input, usage=UsageTotals(input_tokens=60))

    runs.desk.on("first", spend)
    runs.desk.on("one", spend)
    await push(
        runs,
        "{name: NAME, version: 1.0.0, steps: [{key: one, pool: POOL},"
        " {key: two, pool: POOL, dependsOn: [one]}]}",
        name,
    )
    text = (
        "{name: parent, budget: {tokens: 100}, steps: [{key: first, pool: POOL},"
        " {key: call, workflow: CHILD, dependsOn: [first]}]}"
    )
    run = await start(runs, text, name)
    child = child_run(run, "call", 1)
    parked = await runs.event(child, "parked.1", RunParked)

    assert (await runs.event(child, "started", RunStarted)).budget == BudgetLimits(tokens=40)
    assert parked.code == "budget_exceeded"
    assert "two" not in runs.desk.steps


async def test_runs_reach_three_levels_down(runs: Runs, name: str) -> None:
    """Each is pinned where the first began, and outputs come all the way up."""
    low, middle = f"{name} low", f"{name} middle"
    await push(runs, CHILD, low)
    between = (
        "name: NAME\nversion: 1.0.0\ninputs: {who: x}\n"
        f"steps: [{{key: call, workflow: '{low}@1.0.0', with: {{who: '{{{{ who }}}} m'}}}}]\n"
        "outputs: {said: '{{ call.said }}'}\n"
    )
    await push(runs, between, middle)
    await push(runs, between.replace(f"{low}@1.0.0", middle).replace("who }} m", "who }} t"), name)
    run = await start(
        runs, parent(", with: {who: me}", ", outputs: {said: '{{ call.said }}'}"), name
    )

    assert await runs.output(run) == {"said": "please me t m"}
    [task] = runs.desk.tasks
    assert (await runs.event(task.run, "started", RunStarted)).depth == 3


async def test_a_workflow_without_end_is_parked_at_the_depth_limit(runs: Runs, name: str) -> None:
    """The deepest run says so; cancelling the first ends them all."""
    text = f"{{name: {name}, steps: [{{key: again, workflow: {name}}}]}}"
    run = await runs.start(text)
    line = [run]
    for _ in range(MAX_DEPTH):
        line.append(child_run(line[-1], "again", 1))
    parked = await runs.event(line[-1], "parked.1", RunParked)
    await runs.call(registry.CANCEL_RUN, CancelRun(run=run))

    assert parked.code == "too_deep"
    assert await runs.story(child_run(line[-1], "again", 1)) == []
    assert (await runs.ended(run)).status == "cancelled"
    assert (await runs.ended(line[-1])).status == "cancelled"


async def test_a_list_is_worked_off_by_a_run_for_each_item(runs: Runs, name: str) -> None:
    """No more at once than allowed; their outputs are joined in order."""
    await push(runs, CHILD, name)
    text = (
        "{name: parent, inputs: {people: [a, b, c]}, steps: [{key: call, workflow: CHILD,"
        " forEach: {items: '{{ people }}', maxConcurrency: 2}, with: {who: '{{ item }}'}}],"
        " outputs: {all: '{{ call }}'}}"
    )
    runs.desk.hold("greet")
    run = await start(runs, text, name)
    await runs.desk.came("greet", times=2)
    assert await runs.story(child_run(run, "call~2", 1)) == []
    runs.desk.release("greet")

    assert await runs.output(run) == {"all": [{"said": f"please {who}"} for who in ("a", "b", "c")]}


async def test_an_item_that_is_refused_fails_the_list(runs: Runs, name: str) -> None:
    """The other items end, and the failure names the item."""
    await push(runs, CHILD, name)
    text = (
        "{name: parent, steps: [{key: call, workflow: CHILD,"
        " forEach: {items: [a, 7], maxConcurrency: 1}, with: {who: '{{ item }}'}}]}"
    )
    failure = await runs.error(await start(runs, text, name))

    assert "call~1" in failure.message
    assert "must be of type string" in failure.message


async def test_large_inputs_and_outputs_go_down_and_up_by_reference(
    runs: Runs, bus: Bus, name: str
) -> None:
    """The same payload serves all."""
    payloads = Payloads(bus, PAYLOADS)
    text = "x" * 100_000

    async def copy(task: StepScheduled) -> Outcome:
        return StepCompleted(output=task.input)

    runs.desk.on("greet", copy)
    await push(runs, CHILD, name)
    given = await start(
        runs,
        parent(", with: {who: '{{ me }}'}", ", inputs: {me: y}, outputs: {o: '{{ call.said }}'}"),
        name,
        inputs={"me": text},
    )
    end = await runs.ended(given)
    child = child_run(given, "call", 1)
    begun = await runs.event(child, "started", RunStarted)

    assert begun.inputs.inline is UNSET
    assert isinstance(end.output, Value)
    assert await payloads.unwrap(end.output) == {"o": f"please {text}"}


async def test_the_end_of_a_child_reaches_its_parent_whoever_died_between(
    broker: Broker, bus: Bus, name: str
) -> None:
    """The end itself is an event to act on: it is told by whoever reads it, and counts once."""
    settings = Settings(nats_url=broker.url, ack_wait_s=2, drain_s=2)
    mine = Runs(bus, "none", Desk())
    async with serving(NAME, settings, build, requires=REQUIRES):
        await push(mine, WAITING, name)
        run = await mine.start(parent().replace("CHILD", name))
        child = child_run(run, "call", 1)
        await waits(mine, child)
    # The process that stored the child's end died before it told the parent; a hint came later.
    ended = RunEnded(status="completed", output=Value(inline={"a": 1}))
    await mine.put(subjects.run_event("default", child, "ended"), ended, about=child)
    late = subjects.run_event("default", child, "cancel_requested")
    await mine.put(late, CancelRequested(), about=child)
    async with serving(NAME, settings, build, requires=REQUIRES):
        end = await mine.ended(run)
    for consumer in await until(lambda: consumers(bus)):
        await bus.request(f"$JS.API.CONSUMER.RESET.{RUNS}.{consumer}", b"{}")
    async with serving(NAME, settings, build, requires=REQUIRES):
        again = await mine.start(parent().replace("CHILD", name))
        await waits(mine, child_run(again, "call", 1))

    assert end.status == "completed"
    assert (await mine.story(run)).count(f"child.{child}.ended") == 1
    assert len(await Journal(bus, RUNS).after(subjects.run_event("default", run, "ended"), 0)) == 1


async def consumers(bus: Bus) -> list[str]:
    """Return the names of the journal's shard consumers."""
    names = msgspec.json.decode(await bus.request(f"$JS.API.CONSUMER.NAMES.{RUNS}", b"{}"))
    return [one for one in names["consumers"] if one.startswith("orchestrator_")]


async def forget(bus: Bus, pattern: str) -> None:
    """Let the journal forget some events."""
    await bus.request(f"$JS.API.STREAM.PURGE.{RUNS}", encode({"filter": pattern}))


async def test_a_child_whose_start_was_let_go_is_not_started_again(
    broker: Broker, bus: Bus, name: str
) -> None:
    """Any event that is left of it, or its snapshot, says that it has begun."""
    settings = Settings(nats_url=broker.url, ack_wait_s=2, drain_s=2)
    mine = Runs(bus, "none", Desk())
    async with serving(NAME, settings, build, requires=REQUIRES):
        await push(mine, WAITING, name)
        run = await mine.start(parent().replace("CHILD", name))
        child = child_run(run, "call", 1)
        await waits(mine, child)
    journal, payloads = Journal(bus, RUNS), Payloads(bus, PAYLOADS)
    definitions, outputs = Definitions(KeyValue(bus, WORKFLOWS)), Outputs(journal, payloads)
    snapshots = Snapshots(KeyValue(bus, SNAPSHOTS), payloads, outputs)
    loader = Loader(journal, definitions, payloads, outputs, snapshots)
    neighbours = Neighbours(
        Writer(bus, SystemClock()),
        outputs=outputs,
        payloads=payloads,
        definitions=definitions,
        snapshots=snapshots,
    )
    above, below = await loader.load("default", run), await loader.load("default", child)
    launch = above.state.steps["call"].launch
    assert launch is not None
    again = Launch(
        token="call",
        attempt=1,
        run=child,
        definition=launch.definition,
        workflow=launch.workflow,
        inputs=launch.inputs,
    )

    await forget(bus, subjects.run_event("default", child, "started"))
    await neighbours.launch(above.state, again)
    while_some_are_left = await mine.story(child)
    await snapshots.save(below.state)
    await forget(bus, subjects.run_all("default", child))
    await neighbours.launch(above.state, again)
    with_a_snapshot = await mine.story(child)
    await snapshots.drop("default", child)
    await neighbours.launch(above.state, again)

    assert while_some_are_left == ["step.hold.1.waiting"]
    assert with_a_snapshot == []
    assert await mine.story(child) == ["started"]
