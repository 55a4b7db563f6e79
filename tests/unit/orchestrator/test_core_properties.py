"""The core under random definitions and random fates: does every run keep its promises?"""

import random
import zlib
from typing import Any, Final

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from support.journal import Task, World, workflow_of
from support.owners import Owner, echo, finish, outcome
from support.recipes import SUB, workflows

from segue_contracts.envelope import Message
from segue_contracts.payload import Value
from segue_contracts.v1 import runs, steps
from segue_contracts.v1.turns import TurnCompleted
from segue_contracts.v1.values import Failure, UsageTotals
from segue_orchestrator.core.invariants import Checker, at_rest, check_journal, differences

EXAMPLES: Final = 100
ORDERS: Final = 60
MOVES: Final = 40
SLOW: Final = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]

USAGE: Final = UsageTotals(input_tokens=1, cost_usd="0.01")
FATES: Final = st.sampled_from(
    ["done", "done", "done", "broken", "fatal", "slow", "odd", "given up"]
)


def answer(task: Task, fate: str) -> Message:
    """Return what a worker says whose attempt had a fate."""
    match fate:
        case "done":
            return echo(task)
        case "odd":
            return steps.StepCompleted(output=Value(inline="no object"), usage=USAGE)
        case "given up":
            return steps.StepCancelled(reason="given up", usage=USAGE)
        case _:
            error = Failure(code=fate, message=f"it was {fate}", retryable=fate != "fatal")
            return steps.StepFailed(error=error, usage=USAGE)


class Fates(RuleBasedStateMachine):
    """Two orchestrators, workers, people and the clock act in any order, and some of them die."""

    world: World
    owners: tuple[Owner, Owner]
    checkers: dict[str, Checker]
    done: list[Task]

    @initialize(workflow=workflows(), room=st.sampled_from([None, None, 1, 3]))
    def begin(self, workflow: str, room: int | None) -> None:
        """Start the first run."""
        self.world = world = World(workflow_of(workflow), workflow_of(SUB))
        left = None if room is None else (lambda pool: room - len(self._tasks_of(pool)))
        self.owners = (Owner(world, room=left), Owner(world, room=left))
        self.checkers, self.read, self.done = {}, {}, []
        self.world.start("main")

    def _tasks_of(self, pool: str) -> list[Task]:
        return [task for task in self.world.tasks.values() if task.body.pool == pool]

    # Orchestrators.

    @precondition(lambda self: any(owner.behind() for owner in self.owners))
    @rule(data=st.data(), events=st.sampled_from([1, 2, 5, None]))
    def work(self, data: st.DataObject, events: int | None) -> None:
        """An orchestrator goes on with a run."""
        owner = data.draw(st.sampled_from([owner for owner in self.owners if owner.behind()]))
        owner.work(data.draw(st.sampled_from(owner.behind())), events=events)

    @precondition(lambda self: any(owner.behind() for owner in self.owners))
    @rule(data=st.data(), events=st.sampled_from([1, 3, None]), stored=st.integers(0, 3))
    def die(self, data: st.DataObject, events: int | None, stored: int) -> None:
        """An orchestrator dies amid its work on a run."""
        owner = data.draw(st.sampled_from([owner for owner in self.owners if owner.behind()]))
        owner.work(data.draw(st.sampled_from(owner.behind())), events=events, stored=stored)

    @rule(number=st.integers(0, 1), data=st.data(), snapshot=st.booleans())
    def lose(self, number: int, data: st.DataObject, *, snapshot: bool) -> None:
        """An orchestrator loses what it holds, or has it from a snapshot."""
        owner = self.owners[number]
        run = data.draw(st.sampled_from(sorted(self.world.journals)))
        if snapshot:
            owner.rebase(run)
        else:
            owner.forget(run)

    @rule()
    def come_to_rest(self) -> None:
        """Everything that can be done at once is done: then whatever is left has its next cause."""
        self.owners[0].settle_all()
        for run, state in self.owners[0].states.items():
            assert at_rest(state, self.world.plan(run)) == []
        queued = any(state.leases_held for state in self.owners[0].states.values())
        if self.owners[0].room is None and not queued:  # neither of which tells who is next
            stored = len(self.world.log)
            Owner(self.world).settle_all()
            assert [one.subject for one in self.world.log[stored:]] == []

    # Workers.

    @precondition(lambda self: self.world.tasks)
    @rule(data=st.data(), fate=FATES)
    def settle(self, data: st.DataObject, fate: str) -> None:
        """A worker is done with an attempt."""
        task = data.draw(st.sampled_from(list(self.world.tasks.values())))
        self.done.append(task)
        self.world.settle(task, answer(task, fate))

    @precondition(lambda self: self.world.tasks)
    @rule(data=st.data(), number=st.integers(1, 2))
    def use(self, data: st.DataObject, number: int) -> None:
        """An agent has a turn."""
        task = data.draw(st.sampled_from(list(self.world.tasks.values())))
        body = TurnCompleted(number=number, kind="model", messages=Value(), usage=USAGE)
        self.world.publish(task.run, f"step.{task.token}.{task.attempt}.turn.{number}", body)

    @precondition(lambda self: self.done)
    @rule(data=st.data(), teller=st.sampled_from("xy"))
    def spend(self, data: st.DataObject, teller: str) -> None:
        """A worker tells what it used for nothing."""
        task = data.draw(st.sampled_from(self.done))
        event = f"step.{task.token}.{task.attempt}.spent.{teller}"
        self.world.publish(task.run, event, steps.StepSpent(usage=USAGE))

    @precondition(lambda self: self.world.tasks)
    @rule(data=st.data(), number=st.integers(0, 2))
    def live(self, data: st.DataObject, number: int) -> None:
        """A worker says that it has begun, or is still there."""
        task = data.draw(st.sampled_from(list(self.world.tasks.values())))
        if number:
            self.world.beat(task, number)
        else:
            self.world.begin_work(task)

    # Time and people.

    @rule()
    def pass_time(self) -> None:
        """The next timer fires."""
        self.world.fire()

    @precondition(lambda self: self.world.waits)
    @rule(data=st.data())
    def respond(self, data: st.DataObject) -> None:
        """Somebody gives a step what it waits for."""
        self.world.answer(data.draw(st.sampled_from(list(self.world.waits.values()))))

    @precondition(lambda self: self.world.waits)
    @rule(data=st.data(), decision=st.sampled_from(["approved", "rejected"]))
    def decide(self, data: st.DataObject, decision: Any) -> None:
        """Somebody says a word on what may be an approval."""
        waiting = data.draw(st.sampled_from(list(self.world.waits.values())))
        self.world.approve(waiting, "p2", decision)

    @rule(number=st.integers(0, 4))
    def signal_early(self, number: int) -> None:
        """A signal comes that nothing waits for yet."""
        self.world.signal("run0000000", f"go-s{number}", number)

    @rule(what=st.sampled_from(["pause", "resume", "unpark", "extend"]), data=st.data())
    def handle(self, what: str, data: st.DataObject) -> None:
        """Somebody handles a run."""
        run = data.draw(st.sampled_from(sorted(self.world.journals)))
        state = self.checkers[run].state
        match what:
            case "pause" if not state.paused:
                self.world.publish(run, f"paused.{state.pauses + 1}", runs.RunPaused())
            case "resume" if state.paused:
                self.world.publish(run, f"resumed.{state.pauses + 1}", runs.RunResumed())
            case "unpark" if state.parked is not None:
                self.world.publish(run, f"unparked.{state.parks + 1}", runs.RunUnparked())
            case "extend":
                body = runs.BudgetExtended(tokens=2, usd="0.01")
                self.world.publish(run, f"budget.{state.extensions + 1}", body)
            case _:
                pass

    @rule(data=st.data(), at_once=st.integers(0, 9), odds=st.integers(0, 4))
    def stop(self, data: st.DataObject, at_once: int, odds: int) -> None:
        """Somebody cancels a run, or, rarely, ends it at once."""
        run = data.draw(st.sampled_from(sorted(self.world.journals)))
        if odds:
            return
        if at_once:
            self.world.publish(run, "cancel_requested", runs.CancelRequested())
        else:
            self.world.publish(run, "terminate_requested", runs.TerminateRequested())

    @precondition(lambda self: len(self.world.journals) < 4)
    @rule(flag=st.booleans())
    def start(self, *, flag: bool) -> None:
        """Another run of the same definition starts."""
        self.world.start("main", {"flag": flag})

    # What must hold.

    @invariant()
    def every_event_keeps_the_invariants(self) -> None:
        """Nothing that is stored breaks what holds of every journal."""
        for run, journal in self.world.journals.items():
            if run not in self.checkers:
                self.checkers[run] = Checker(self.world.started(run), self.world.plan(run))
            for event in journal[self.read.get(run, 1) :]:
                assert self.checkers[run].add(event.entry) == []
            self.read[run] = len(journal)

    def teardown(self) -> None:
        """When the world goes on, every run ends, and all who folded it agree."""
        if not hasattr(self, "world"):
            return
        finish(self.world, self.owners[0])
        self.owners[1].settle_all()
        for run, journal in self.world.journals.items():
            outcome(self.world, run)
            plan, entries = self.world.plan(run), [event.entry for event in journal[1:]]
            state, breaches = check_journal(lambda run=run: self.world.started(run), plan, entries)
            assert breaches == []
            for owner in self.owners:
                assert differences(owner.fold(run), state) == []


def test_random_runs_keep_every_invariant_and_end() -> None:
    """Whoever dies, repeats or races: one dispatch, one outcome, a next cause, and an end."""
    run_state_machine_as_test(
        Fates,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=MOVES,
            deadline=None,
            suppress_health_check=SLOW,
            derandomize=True,
        ),
    )


def fate_of(seed: int, task: Task) -> str:
    """Return the fate that an attempt has in any order of things."""
    if task.attempt > 3:
        return "done"
    draw = zlib.crc32(f"{seed}/{task.run}/{task.token}/{task.attempt}".encode()) % 10
    return "broken" if draw < 2 else "fatal" if draw < 3 else "done"


def in_some_order(workflow: str, seed: int, order: int) -> runs.RunEnded:
    """Run a definition to its end, things happening in one of many orders."""
    world = World(workflow_of(workflow), workflow_of(SUB))
    run, owner, dice = world.start("main"), Owner(world), random.Random(order)  # noqa: S311 - no secret
    for _ in range(80):
        match dice.randrange(4):
            case 0 | 1 if behind := owner.behind():
                owner.work(dice.choice(behind), events=dice.choice([1, 2, None]))
            case 2 if world.tasks:
                task = dice.choice(list(world.tasks.values()))
                world.settle(task, answer(task, fate_of(seed, task)))
            case 3 if world.waits and not owner.behind():
                world.answer(dice.choice(list(world.waits.values())))
            case _:
                owner.forget(run)
    finish(world, owner, serve=lambda task: answer(task, fate_of(seed, task)))
    return outcome(world, run)


def without_times(content: Any) -> Any:
    """Return an output without what says when or in which order things came."""
    match content:
        case {"n": int(), **rest} if not rest:
            return {}
        case dict():
            return {name: without_times(v) for name, v in content.items() if name != "atMs"}
        case list():
            return [without_times(value) for value in content]
        case _:
            return content


@settings(
    max_examples=ORDERS,
    deadline=None,
    suppress_health_check=SLOW,
    derandomize=True,
)
@given(workflow=workflows(timed=False), seed=st.integers(0, 999), order=st.integers(1, 999))
def test_a_runs_result_is_the_same_whatever_the_order(workflow: str, seed: int, order: int) -> None:
    """With the same fate for each attempt, their order changes neither status nor output."""
    first, second = (in_some_order(workflow, seed, number) for number in (0, order))

    assert first.status == second.status
    assert isinstance(first.output, Value) == isinstance(second.output, Value)
    if isinstance(first.output, Value) and isinstance(second.output, Value):
        assert without_times(first.output.inline) == without_times(second.output.inline)
