"""A world in memory: who stores what the pure core decides, and who does the work?

Journals, timers, leases, child runs and a worker, with the rules of the broker (create-if-absent by
guard, one order for all) and none of its waiting. Every event is framed and read back as on the
bus, so that a history of this world is one that the engine could have written.
"""

import fnmatch
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import msgspec
from msgspec import UNSET, Raw, UnsetType

from segue_contracts.envelope import Message, decode_body, encode
from segue_contracts.payload import PayloadRef, Value
from segue_contracts.v1 import runs, steps, subjects
from segue_contracts.v1.events import frame
from segue_contracts.v1.registry import OUTCOME_OF
from segue_language import Workflow, content_hash, parse
from segue_orchestrator.core import effects as fx
from segue_orchestrator.core.compiling import compile_plan
from segue_orchestrator.core.entries import JournalEvent, read, value_of
from segue_orchestrator.core.evolve import begin, take_over, touch_all
from segue_orchestrator.core.inputs import bind_inputs
from segue_orchestrator.core.leases import Lease, granted, queued, without, without_gone
from segue_orchestrator.core.messages import SOURCE, Fact, content_of, fact_of
from segue_orchestrator.core.plan import Plan
from segue_orchestrator.core.state import OutputAt, RunState
from segue_shared.clock import rfc3339

NAMESPACE: Final = "default"
T0: Final = 1_760_000_000_000
"""When a world begins, Unix milliseconds."""
PEOPLE: Final = "tests/people"
WORKER: Final = "tests/worker"


def workflow_of(text: str) -> Workflow:
    """Return a definition that must be valid."""
    parsed = parse(text)
    assert parsed.workflow is not None, parsed.problems
    return parsed.workflow


class Stored(msgspec.Struct, frozen=True):
    """A message as the stream holds it."""

    subject: str
    sequence: int
    time: int
    data: Raw


class Task(msgspec.Struct, frozen=True):
    """An attempt that a worker may take."""

    run: str
    token: str
    attempt: int
    body: steps.StepScheduled


class Waiting(msgspec.Struct, frozen=True):
    """A step that waits for somebody."""

    run: str
    token: str
    attempt: int
    asked: steps.StepWaiting


class World:
    """Everything that there is beside the engine."""

    def __init__(self, *workflows: Workflow) -> None:
        self.workflows = {content_hash(one): one for one in workflows}
        self.plans = {digest: compile_plan(one) for digest, one in self.workflows.items()}
        self.children = {one.name: content_hash(one) for one in workflows}
        self.now_ms = T0
        self.log: list[Stored] = []
        self.journals: dict[str, list[JournalEvent]] = {}
        self.timers: set[tuple[int, str]] = set()
        self.leases: dict[str, Lease] = {}
        self.hints: list[str] = []
        self.payloads: dict[str, object] = {}
        self.tasks: dict[tuple[str, str, int], Task] = {}
        self.waits: dict[tuple[str, str, int], Waiting] = {}
        self.ended: set[str] = set()
        self._taken: set[str] = set()

    # The journal.

    def publish(
        self,
        run: str,
        event: str,
        body: Message,
        *,
        guard: str = "",
        after: int = 0,
        source: str = PEOPLE,
    ) -> bool:
        """Store an event unless its group has one, or the run a newer one than `after`."""
        subject = subjects.run_event(NAMESPACE, run, event)
        if after and self.journals[run][-1].entry.sequence != after:
            return False
        if not after and (guard or subject) in self._taken:
            return False
        self._taken |= {subject, guard or subject}
        time = rfc3339(self.now_ms)
        self.append(subject, frame(body, subject=subject, source=source, about=run, time=time))
        return True

    def append(self, subject: str, data: bytes) -> None:
        """Store any message."""
        self.now_ms += 1
        stored = Stored(subject, len(self.log) + 1, self.now_ms, Raw(data))
        self.log.append(stored)
        event = read(subject, data, sequence=stored.sequence, time_ms=stored.time)
        self.journals.setdefault(event.place.run, []).append(event)
        self._notice(event)

    def load(self, history: Iterable[Stored]) -> None:
        """Store messages that another world has held, just as they were."""
        for stored in history:
            self.now_ms = stored.time - 1
            self.append(stored.subject, bytes(stored.data))

    def _notice(self, event: JournalEvent) -> None:
        """Keep track of what is open."""
        run, place = event.place.run, subjects.parse_step_event(event.entry.event)
        if place is not None:
            self._notice_step(event, place)
        elif event.entry.event == ("ended",):
            self.ended.add(run)
            for open_here in (self.tasks, self.waits):
                for key in [key for key in open_here if key[0] == run]:
                    del open_here[key]

    def _notice_step(self, event: JournalEvent, place: subjects.StepEvent) -> None:
        key = (event.place.run, place.token, place.attempt)
        match place.what:
            case "scheduled" if event.frame is not None:
                self.tasks[key] = Task(*key, decode_body(event.frame.data, steps.StepScheduled))
            case "waiting":
                assert isinstance(event.entry.body, steps.StepWaiting)
                self.waits[key] = Waiting(*key, event.entry.body)
            case "outcome":
                self.tasks.pop(key, None)
                self.waits.pop(key, None)
            case _:
                pass

    # Runs.

    def start(self, name: str, inputs: Mapping[str, Any] | None = None, **fields: Any) -> str:
        """Start a run and return its id."""
        run = f"run{len(self.journals):07d}"
        body = runs.RunStarted(
            workflow=name,
            definition=self.children[name],
            inputs=Value(inline=dict(inputs or {})),
            children=self.children,
            **fields,
        )
        assert self.publish(run, "started", body)
        return run

    def plan(self, run: str) -> Plan:
        """Return a run's plan."""
        body = self.journals[run][0].entry.body
        assert isinstance(body, runs.RunStarted), f"the journal of {run} begins with {body}"
        return self.plans[body.definition]

    def inputs(self, run: str) -> Mapping[str, Any]:
        """Return what a run's templates read as its inputs."""
        body = self.journals[run][0].entry.body
        assert isinstance(body, runs.RunStarted)
        return bind_inputs(self.workflows[body.definition], self.unwrapped(body.inputs))

    def started(self, run: str) -> RunState:
        """Return a run's state after its first event."""
        plan, first = self.plan(run), self.journals[run][0]
        state = begin(run, NAMESPACE, first.entry)
        assert state is not None
        fork = state.started.fork
        if not isinstance(fork, UnsetType):
            take_over(state, plan, self.unwrapped(fork.settled))
        touch_all(state, plan)
        return state

    def unwrapped(self, value: Value) -> Any:
        """Return what a value says."""
        if isinstance(value.ref, UnsetType):
            return value.inline
        return self.payloads[value.ref.sha256]

    def keep(self, content: object) -> PayloadRef:
        """Put a value into the payload store."""
        name = f"{len(self.payloads):064d}"
        self.payloads[name] = content
        return PayloadRef(sha256=name, size=len(encode(content)))

    def fetch(self, place: OutputAt) -> Any:
        """Return the value at a place."""
        if place.ref is not None:
            return self.payloads[place.ref.sha256]
        data = self._json_at(place)
        return msgspec.json.decode(data) if data else None

    def _json_at(self, place: OutputAt) -> bytes:
        stored = self.log[place.sequence - 1]
        event = read(stored.subject, bytes(stored.data), sequence=stored.sequence, time_ms=0)
        return value_of(event.entry.body)

    # What the engine decides.

    def store(self, effect: fx.Effect, state: RunState) -> None:
        """Make an effect so, unless it is."""
        match effect:
            case fx.Arm(at_ms):
                self.timers.add((at_ms, state.run))
            case fx.HintCancel():
                self.hints.append(state.run)
            case fx.Launch():
                self._launch(effect, state)
            case fx.StopChild(run, reason, at_once):
                body = runs.TerminateRequested if at_once else runs.CancelRequested
                event = "terminate_requested" if at_once else "cancel_requested"
                self.publish(run, event, body(reason=reason), source=SOURCE)
            case fx.TellParent():
                self._tell_parent(effect, state)
            case fx.Acquire():
                self._acquire(effect, state)
            case fx.Release(names):
                for name in names:
                    self._turn_over(name, without(self.leases.get(name, Lease()), state.run))
            case _:
                fact = self.fact(effect, state)
                event = ".".join(subjects.parse_run(fact.subject).event)
                self.publish(
                    state.run, event, fact.body, guard=fact.guard, after=fact.after, source=SOURCE
                )

    def fact(self, effect: fx.Durable, state: RunState) -> Fact:
        """Return the event that an effect becomes."""
        content = content_of(effect)
        if content.places is not None:
            parts = [b"null" if at is None else self._json_of(at) for at in content.places]
            return fact_of(effect, state, Value(inline=Raw(b"[%s]" % b",".join(parts))))
        if content.at is not None:
            at = content.at
            data = b"" if at.ref is not None else self._json_at(at)
            value = Value(inline=Raw(data)) if data else Value(ref=at.ref or UNSET)
            return fact_of(effect, state, value)
        if content.value is UNSET:
            return fact_of(effect, state, Value())
        return fact_of(effect, state, Value(inline=Raw(encode(content.value))))

    def _json_of(self, at: OutputAt) -> bytes:
        return encode(self.fetch(at))

    def _launch(self, effect: fx.Launch, state: RunState) -> None:
        body = runs.RunStarted(
            workflow=effect.workflow,
            definition=effect.definition,
            inputs=Value(inline=self.fetch(effect.inputs) or {}),
            children=state.started.children,
            parent=runs.ParentRun(run=state.run, step=effect.token, attempt=effect.attempt),
            depth=state.started.depth + 1,
            budget=effect.purse.left if effect.purse else UNSET,
            allowances=list(effect.purse.allowances) if effect.purse else [],
        )
        self.publish(effect.run, "started", body, source=SOURCE)

    def _tell_parent(self, effect: fx.TellParent, state: RunState) -> None:
        parent, ended = effect.parent, effect.ended
        body = runs.ChildEnded(
            step=parent.step,
            attempt=parent.attempt,
            run=state.run,
            status=ended.status,
            output=ended.output,
            error=ended.error,
            usage=ended.usage,
        )
        self.publish(parent.run, f"child.{state.run}.ended", body, source=SOURCE)

    def _acquire(self, effect: fx.Acquire, state: RunState) -> None:
        lease = msgspec.structs.replace(
            self.leases.get(effect.name, Lease()), limit=effect.limit, per_ms=effect.per_ms
        )
        run, kind = state.run, effect.kind
        lease = self._turn_over(effect.name, queued(lease, run), key=effect.key, kind=kind)
        if lease.holds(run):
            return
        if effect.policy == "cancelNewest":
            self.publish(run, "cancel_requested", runs.CancelRequested(reason="one too many"))
            return
        held = runs.LeaseHeld(key=effect.key, limit=effect.limit, kind=kind)
        self.publish(run, f"held.{effect.name}", held, source=SOURCE)
        for holder in lease.holders if effect.policy == "cancelRunning" else ():
            reason = f"run {run} began"
            self.publish(holder.run, "cancel_requested", runs.CancelRequested(reason=reason))
        if moments := [holder.until_ms for holder in lease.holders if holder.until_ms]:
            self.timers.add((min(moments), run))

    def _turn_over(
        self, name: str, lease: Lease, *, key: str = "", kind: runs.LeaseKind = "concurrency"
    ) -> Lease:
        """Give a lease's free places to the next, tell all who hold it, and return it."""
        lease = without_gone(lease, self.ended.__contains__, now_ms=self.now_ms)
        lease, _ = granted(lease, now_ms=self.now_ms)
        self.leases[name] = lease
        for holder in lease.holders:
            body = runs.LeaseGranted(key=key, kind=kind)
            self.publish(holder.run, f"granted.{name}", body, source=SOURCE)
        return lease

    # What workers, people and the clock do.

    def settle(self, task: Task, outcome: Message) -> bool:
        """Publish the outcome of an attempt, as its worker."""
        prefix = subjects.run_prefix(NAMESPACE, task.run)
        guard = subjects.outcome_guard(prefix, task.token, task.attempt)
        event = f"step.{task.token}.{task.attempt}.outcome.{OUTCOME_OF[type(outcome)]}"
        return self.publish(task.run, event, outcome, guard=guard, source=WORKER)

    def begin_work(self, task: Task) -> bool:
        """Say that a worker has begun."""
        event = f"step.{task.token}.{task.attempt}.started"
        return self.publish(task.run, event, steps.StepStarted(worker="w"), source=WORKER)

    def beat(self, task: Task, number: int) -> bool:
        """Say that a worker is still there."""
        event = f"step.{task.token}.{task.attempt}.beat.{number}"
        return self.publish(task.run, event, steps.StepBeat(worker="w"), source=WORKER)

    def signal(self, run: str, name: str, payload: object = None, *, step: str = "") -> None:
        """Send a run a signal, or a step the event that it waits for."""
        body = runs.SignalReceived(name=name, payload=Value(inline=payload), step=step)
        self.publish(run, f"signal.s{len(self.log)}", body)

    def approve(self, waiting: Waiting, by: str, decision: runs.Decision = "approved") -> None:
        """Decide on an approval."""
        body = runs.ApprovalGiven(
            step=waiting.token,
            attempt=waiting.attempt,
            decision=decision,
            by=by,
            form={"by": by},
        )
        self.publish(waiting.run, f"approval.{waiting.token}.{waiting.attempt}.{by}", body)

    def answer(self, waiting: Waiting) -> bool:
        """Give a step what it waits for; tell whether somebody can."""
        match waiting.asked.kind:
            case "signal":
                self.signal(waiting.run, waiting.asked.name, {"n": len(self.log)})
            case "event":
                payload = {"n": len(self.log)}
                self.signal(waiting.run, waiting.asked.name, payload, step=waiting.token)
            case "approval":
                for number in range(waiting.asked.quorum):
                    self.approve(waiting, f"p{number}")
            case _:
                return False
        return True

    def fire(self) -> bool:
        """Let time pass until the next timer fires; tell whether there is one."""
        if not self.timers:
            return False
        at_ms, run = min(self.timers)
        self.timers.discard((at_ms, run))
        self.now_ms = max(self.now_ms, at_ms)
        self.publish(run, f"timer.{at_ms}", runs.TimerFired(deadline_ms=at_ms))
        return True

    def open_tasks(self, pattern: str = "*") -> list[Task]:
        """Return the tasks that wait for a worker, those of some tokens only."""
        return [task for task in self.tasks.values() if fnmatch.fnmatch(task.token, pattern)]


Serve = Callable[[Task], Message]
"""What a worker answers to a task."""
