"""Histories: given what happened to a run, what is decided?"""

from collections.abc import Sequence
from typing import Any, Final

from msgspec import UNSET
from support.journal import NAMESPACE, T0, World, workflow_of

from segue_contracts.envelope import Message
from segue_contracts.payload import PayloadRef, Value
from segue_contracts.v1 import runs, steps, subjects
from segue_contracts.v1.events import frame
from segue_contracts.v1.registry import OUTCOME_OF
from segue_contracts.v1.values import Failure, UsageTotals
from segue_orchestrator.core import effects as fx
from segue_orchestrator.core.decide import decide, remember
from segue_orchestrator.core.entries import read
from segue_orchestrator.core.evolve import evolve
from segue_orchestrator.core.room import Room
from segue_orchestrator.core.scopes import Known
from segue_orchestrator.core.state import OutputAt, RunState

SUB: Final = "{name: sub, inputs: {x: 1}, steps: [{key: s, pool: p, with: {x: '{{ x }}'}}]}"

Event = tuple[str, Message]


class History:
    """A run's history, told event by event, and what is decided on it."""

    def __init__(self, text: str, inputs: dict[str, Any] | None = None, **started: Any) -> None:
        self.world = World(workflow_of(text), workflow_of(SUB))
        name = next(iter(self.world.children))
        self.run = self.world.start(name, inputs, **started)
        self.plan = self.world.plan(self.run)
        self.state: RunState = self.world.started(self.run)
        self.known: dict[OutputAt, Any] = {}

    def given(self, *events: Event, at_ms: int = 0) -> "History":
        """Fold events, the first of them `at_ms` after the start unless it is later already."""
        self.world.now_ms = max(self.world.now_ms, T0 + at_ms)
        for event, body in events:
            subject = subjects.run_event(NAMESPACE, self.run, event)
            data = frame(body, subject=subject, source="test", about=self.run, time="t")
            self.world.append(subject, data)
            evolve(self.state, self.plan, self.world.journals[self.run][-1].entry)
        return self

    def raw(self, event: str, data: bytes) -> "History":
        """Fold a message of any content."""
        subject = subjects.run_event(NAMESPACE, self.run, event)
        self.world.append(subject, data)
        stored = self.world.log[-1]
        read_back = read(subject, data, sequence=stored.sequence, time_ms=stored.time)
        evolve(self.state, self.plan, read_back.entry)
        return self

    def decided(self) -> "History":
        """Take what is decided now as stored."""
        remember(self.state, self.decision())
        return self

    def decision(self, room: Room | None = None) -> fx.Decision:
        """Return the decision, with every value that it asks for."""
        inputs = self.world.inputs(self.run)
        while True:
            known = Known(inputs=inputs, outputs=self.known)
            decision = decide(self.state, self.plan, known, room)
            if not decision.needs:
                return decision
            self.known |= {at: self.world.fetch(at) for at in decision.needs}

    def then(self) -> Sequence[fx.Effect]:
        """Return what is decided, timers aside."""
        return [effect for effect in self.decision().effects if not isinstance(effect, fx.Arm)]

    def arms(self) -> list[int]:
        """Return the timers that are decided, milliseconds after the start."""
        return [e.at_ms - T0 for e in self.decision().effects if isinstance(e, fx.Arm)]

    def dispatched(self) -> list[tuple[str, int]]:
        """Return the tokens and attempts of what is dispatched now."""
        return [(e.token, e.attempt) for e in self.then() if isinstance(e, fx.Dispatch)]


def scheduled(token: str, attempt: int = 1, **fields: Any) -> Event:
    """Return a dispatch."""
    body = steps.StepScheduled(
        run="run", namespace=NAMESPACE, workflow="w", step=token, attempt=attempt, pool="p",
        kind="pool", **fields,
    )  # fmt: skip
    return f"step.{token}.{attempt}.scheduled.p.p2", body


def began(token: str, attempt: int = 1) -> Event:
    """Return a worker's word that it has begun."""
    return f"step.{token}.{attempt}.started", steps.StepStarted(worker="w")


def beat(token: str, attempt: int = 1, *, number: int = 1) -> Event:
    """Return a worker's sign of life."""
    return f"step.{token}.{attempt}.beat.{number}", steps.StepBeat(worker="w")


def settled(token: str, body: Message, attempt: int = 1) -> Event:
    """Return an outcome."""
    return f"step.{token}.{attempt}.outcome.{OUTCOME_OF[type(body)]}", body


def completed(
    token: str, output: object = UNSET, attempt: int = 1, *, tokens: int = 0, usd: str = "0"
) -> Event:
    """Return a success; an output that is a claim check is one."""
    value = Value(ref=output) if isinstance(output, PayloadRef) else Value(inline=output)
    usage = UsageTotals(input_tokens=tokens, cost_usd=usd)
    return settled(token, steps.StepCompleted(output=value, usage=usage, provider="x"), attempt)


def failed(
    token: str, attempt: int = 1, *, code: str = "boom", retryable: bool = True, tokens: int = 0
) -> Event:
    """Return a failure."""
    error = Failure(code=code, message="it broke", retryable=retryable)
    return settled(
        token, steps.StepFailed(error=error, usage=UsageTotals(input_tokens=tokens)), attempt
    )


def mapped(token: str, items: list[object]) -> Event:
    """Return the beginning of a repeated step."""
    return f"step.{token}.1.mapped", steps.StepMapped(count=len(items), items=Value(inline=items))


def waiting(token: str, attempt: int = 1, **asked: Any) -> Event:
    """Return the beginning of a wait."""
    return f"step.{token}.{attempt}.waiting", steps.StepWaiting(**asked)


def checked(token: str, *problems: str, attempt: int = 1) -> Event:
    """Return the check of an output."""
    body = steps.StepChecked(accepted=not problems, problems=list(problems))
    return f"step.{token}.{attempt}.checked", body


def fired(at_ms: int) -> Event:
    """Return a timer of `at_ms` after the start."""
    return f"timer.{T0 + at_ms}", runs.TimerFired(deadline_ms=T0 + at_ms)


def child_started(token: str, attempt: int = 1, **fields: Any) -> Event:
    """Return the dispatch of a child run."""
    body = runs.ChildStarted(
        step=token, attempt=attempt, run=f"child{attempt:05d}", workflow="sub", definition="d",
        **fields,
    )  # fmt: skip
    return f"child.child{attempt:05d}.started", body


def child_ended(token: str, status: runs.EndStatus, attempt: int = 1, **fields: Any) -> Event:
    """Return the end of a child run."""
    body = runs.ChildEnded(
        step=token, attempt=attempt, run=f"child{attempt:05d}", status=status, **fields
    )
    return f"child.child{attempt:05d}.ended", body


CANCEL: Final[Event] = ("cancel_requested", runs.CancelRequested(reason="enough"))
TERMINATE: Final[Event] = ("terminate_requested", runs.TerminateRequested())
PAUSED: Final[Event] = ("paused.1", runs.RunPaused())
RESUMED: Final[Event] = ("resumed.2", runs.RunResumed())
PARKED: Final[Event] = ("parked.1", runs.RunParked(code="x", message="y"))
UNPARKED: Final[Event] = ("unparked.2", runs.RunUnparked())
