"""Owners: how does an orchestrator go through the journals of a world in memory?"""

from collections.abc import Callable
from typing import Any

import msgspec
from support.journal import NAMESPACE, Serve, Task, World

from segue_contracts.envelope import Message
from segue_contracts.payload import Value
from segue_contracts.v1 import runs, steps
from segue_contracts.v1.values import UsageTotals
from segue_orchestrator.core import effects as fx
from segue_orchestrator.core.decide import decide, remember
from segue_orchestrator.core.evolve import evolve, touch_all
from segue_orchestrator.core.invariants import copied
from segue_orchestrator.core.room import Room
from segue_orchestrator.core.scopes import Known
from segue_orchestrator.core.state import OutputAt, RunState

_OUTWARD = (fx.Launch, fx.StopChild, fx.TellParent, fx.Acquire, fx.Release)
PATIENCE = 3_000
"""Moves after which a run that has not ended never will."""


class Owner:
    """One orchestrator: what it holds, and up to where it has settled each journal."""

    def __init__(
        self,
        world: World,
        *,
        room: Callable[[str], int] | None = None,
        batch: int | None = None,
    ) -> None:
        self.world = world
        self.room = room
        self.batch = batch
        """How many events it takes at once."""
        self.states: dict[str, RunState] = {}
        self.settled: dict[str, int] = {}

    def behind(self) -> list[str]:
        """Return the runs with events that it has not settled."""
        journals = self.world.journals
        return [run for run in journals if self.settled.get(run, 0) < len(journals[run])]

    def fold(self, run: str, events: int | None = None) -> RunState:
        """Fold further events of a run, or all of its journal when the run is not held."""
        journal, done = self.world.journals[run], self.settled.get(run, 0)
        state = self.states.get(run)
        plan = self.world.plan(run)
        new = journal[done : None if events is None else done + events]
        if state is None:
            state = self.states[run] = self.world.started(run)
            new = journal
        for event in new:
            evolve(state, plan, event.entry)
        return state

    def decide(self, run: str) -> fx.Decision:
        """Decide on what is held of a run, with every value that is asked for."""
        state, plan = self.states[run], self.world.plan(run)
        inputs = self.world.inputs(run)
        outputs: dict[OutputAt, Any] = {}
        while True:
            known = Known(inputs=inputs, outputs=outputs)
            decision = decide(state, plan, known, Room(self.room) if self.room else None)
            if not decision.needs:
                return decision
            outputs |= {at: self.world.fetch(at) for at in decision.needs}

    def work(self, run: str, *, events: int | None = None, stored: int | None = None) -> None:
        """Fold, decide, store, and settle what was folded.

        Args:
            run: Which run.
            events: How many further events at most.
            stored: How many effects are stored before the owner dies; None for all, and it lives.
        """
        done, journal = self.settled.get(run, 0), self.world.journals[run]
        upto = len(journal) if events is None else min(len(journal), done + events)
        cold = run not in self.states
        state = self.fold(run, events)
        if cold:
            touch_all(state, self.world.plan(run))
        decision = self.decide(run)
        effects = sorted(decision.effects, key=lambda effect: not isinstance(effect, _OUTWARD))
        for effect in effects[:stored]:
            self.world.store(effect, state)
        if stored is not None:
            self.forget(run)
            return
        remember(state, decision)
        self.settled[run] = upto

    def forget(self, run: str) -> None:
        """Drop what is held of a run; what was not settled comes again."""
        self.states.pop(run, None)

    def rebase(self, run: str) -> None:
        """Go on from a snapshot."""
        if run in self.states:
            self.states[run] = copied(self.states[run])

    def settle_all(self) -> None:
        """Work until nothing is left to be done at once."""
        for _ in range(PATIENCE):
            runs_behind = self.behind()
            if not runs_behind:
                return
            for run in runs_behind:
                self.work(run, events=self.batch)
        raise AssertionError("the engine goes on and on by itself")


def echo(task: Task) -> Message:
    """Complete a task with what it was given."""
    given = {} if task.body.input.inline is msgspec.UNSET else task.body.input.inline
    return steps.StepCompleted(
        output=Value(inline={"token": task.token, "given": given}),
        usage=UsageTotals(input_tokens=1, cost_usd="0.01"),
    )


def finish(world: World, owner: Owner, *, serve: Serve = echo, eager: bool = True) -> None:
    """Have everybody do their part until every run has ended.

    Args:
        world: Where.
        owner: The orchestrator.
        serve: The worker.
        eager: Whether people answer before time passes.

    Raises:
        AssertionError: A run does not end.
    """
    for _ in range(PATIENCE):
        owner.settle_all()
        if world.ended >= set(world.journals):
            return
        if not _move(world, owner, serve, eager=eager):
            left = sorted(set(world.journals) - world.ended)
            raise AssertionError(f"nothing moves {left}: {_last(world, left[0])}")
    raise AssertionError(f"runs do not end: {sorted(set(world.journals) - world.ended)}")


def _last(world: World, run: str) -> list[str]:
    return [".".join(event.entry.event) for event in world.journals[run]][-8:]


def _move(world: World, owner: Owner, serve: Serve, *, eager: bool) -> bool:
    """Do one thing that somebody would do; tell whether there was anything."""
    if world.tasks:
        task = next(iter(world.tasks.values()))
        return world.settle(task, serve(task))
    if any(_release(world, owner, run) for run in set(world.journals) - world.ended):
        return True
    waiting = list(world.waits.values())
    if eager and any(world.answer(one) for one in waiting):
        return True
    return world.fire() or any(world.answer(one) for one in waiting)


def _release(world: World, owner: Owner, run: str) -> bool:
    """Let a paused or parked run go on, as an operator would."""
    state = owner.states.get(run) or owner.fold(run)
    if state.paused:
        return world.publish(run, f"resumed.{state.pauses + 1}", runs.RunResumed())
    if state.parked is None:
        return False
    if state.parked.code == "budget_exceeded":
        more = runs.BudgetExtended(usd="1000", tokens=1_000_000, seconds=1_000_000)
        world.publish(run, f"budget.{state.extensions + 1}", more)
    return world.publish(run, f"unparked.{state.parks + 1}", runs.RunUnparked())


def outcome(world: World, run: str) -> runs.RunEnded:
    """Return how a run ended."""
    body = world.journals[run][-1].entry.body
    ends = [event.entry.body for event in world.journals[run] if event.entry.event == ("ended",)]
    assert ends, f"run {run} of {NAMESPACE} has not ended; its newest event is {body}"
    [end] = ends
    assert isinstance(end, runs.RunEnded)
    return end
