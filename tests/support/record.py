"""Recording: which histories show every construct, and how are they written anew?

`python -m support.record` in this folder's parent writes them. Do so when the engine decides
something else on purpose, and read the difference: runs that are under way will feel it.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec
from support.journal import Stored, Task, World, workflow_of
from support.owners import Owner, echo, finish

from segue_contracts.envelope import Message, encode
from segue_contracts.payload import Value
from segue_contracts.v1 import runs, steps
from segue_contracts.v1.values import Failure, UsageTotals
from segue_language import Workflow, canonical_json, load_canonical

FOLDER: Final = Path(__file__).parent.parent / "recorded"
SUB: Final = "{name: sub, inputs: {x: 1}, steps: [{key: s, pool: p, with: {x: '{{ x }}'}}]}"

CHAIN: Final = """
name: main
inputs: {who: world}
steps:
  - {key: first, agent: quality, action: look, with: {text: "hello {{ who }}"}}
  - key: secondStep
    llm: {prompt: "sum up {{ first.given.text }}"}
    dependsOn: [first]
    priority: p0
outputs: {said: "{{ steps.secondStep.output.given.prompt }}"}
"""
BRANCHES: Final = """
name: main
inputs: {flag: false}
steps:
  - {key: a, pool: p, continueOnError: true}
  - {key: b, pool: p, when: "{{ flag }}"}
  - {key: c, pool: p, dependsOn: [a, b], with: {was: "{{ steps.a.status }}"}}
  - {key: broken, pool: p}
  - {key: d, pool: p, dependsOn: [broken]}
"""
RETRIES: Final = """
name: main
retry: {maxAttempts: 3, delay: 40s, factor: 3, nonRetryable: [fatal]}
steps:
  - {key: broken, pool: p}
  - {key: slow, pool: p, timeout: 30s, timeouts: {queue: 5s, heartbeat: 10s}, retry: {delay: 1s}}
"""
MAP: Final = """
name: main
steps:
  - {key: list, pool: p}
  - key: m
    pool: p
    dependsOn: [list]
    forEach: {items: "{{ steps.list.output.items }}", maxConcurrency: 2}
    with: {item: "{{ item }}", index: "{{ index }}"}
    outputSchema: {type: object}
"""
CHILDREN: Final = """
name: main
budget: {tokens: 50}
steps:
  - {key: a, workflow: sub, with: {x: 5}}
  - {key: b, workflow: sub, dependsOn: [a], forEach: [1, 2], with: {x: "{{ item }}"}}
"""
WAITS: Final = """
name: main
steps:
  - {key: time, wait: 10s}
  - {key: moment, wait: {until: "2025-10-09T09:00:00Z"}}
  - {key: sign, wait: {signal: go, timeout: 1h}}
  - {key: news, wait: {event: orders.paid, match: "event.n > 0"}}
  - {key: late, wait: {signal: never, timeout: 20s}, continueOnError: true}
"""
APPROVALS: Final = """
name: main
steps:
  - {key: ok, approval: {message: Ship it?, approvers: [p0, p1], quorum: 2}}
  - {key: lazy, approval: {escalation: {after: 1m, step: call}}}
  - {key: call, pool: p}
"""
SAGA: Final = """
name: main
compensateOn: [failed, cancelled]
steps:
  - {key: a, pool: p, compensate: {pool: u, with: {what: "{{ steps.a.output.token }}"}}}
  - {key: m, pool: p, dependsOn: [a], forEach: [1, 2], compensate: {workflow: sub}}
  - {key: broken, pool: p, dependsOn: [m]}
"""
PARKED: Final = """
name: main
steps:
  - {key: odd, pool: p, outputSchema: {type: object, required: [n]}}
  - {key: broken, pool: p, retry: {maxAttempts: 1, onExhausted: park}}
"""
BUDGET: Final = """
name: main
budget: {tokens: 2, usd: 5, seconds: 600}
steps:
  - {key: a, pool: p}
  - {key: b, pool: p, dependsOn: [a]}
  - {key: c, pool: p, dependsOn: [b]}
"""
LEASES: Final = """
name: main
inputs: {key: k}
concurrency: {key: "{{ key }}", limit: 1}
rate: {key: all, limit: 1, per: 30s}
steps: [{key: a, pool: p}]
"""


def stored(text: str) -> Workflow:
    """Return a definition as it is read back, so that its fields are in the same order."""
    return load_canonical(canonical_json(workflow_of(text)))


class Recording:
    """A world whose orchestrator takes one event at a time, so that each can be replayed."""

    def __init__(self, text: str) -> None:
        self.world = World(stored(text), stored(SUB))
        self.owner = Owner(self.world, batch=1)
        self.run = self.world.start("main")
        self.owner.settle_all()

    def tell(self, event: str, body: Message) -> None:
        """Say something to the run."""
        self.world.publish(self.run, event, body)
        self.owner.settle_all()

    def end(self, serve: Callable[[Task], Message] = echo) -> World:
        """Have everybody do their part, and return the world."""
        finish(self.world, self.owner, serve=serve)
        return self.world


def fateful(task: Task) -> Message:
    """Answer as the step's name says."""
    if task.token == "list":
        return steps.StepCompleted(output=Value(inline={"items": ["x", "y", "z"]}))
    if task.token == "odd" and task.attempt == 1:
        return steps.StepCompleted(output=Value(inline=7))
    if task.token == "odd":
        return steps.StepCompleted(output=Value(inline={"n": 7}))
    if (task.token == "broken" and task.attempt < 3) or (
        task.token == "a~undo" and task.attempt < 2
    ):
        usage = UsageTotals(input_tokens=2)
        return steps.StepFailed(error=Failure(code="boom", message="it broke"), usage=usage)
    return echo(task)


def _ordinary(text: str) -> Callable[[], World]:
    return lambda: Recording(text).end(fateful)


def _late() -> World:
    """Let a worker vanish, come late, and stay away."""
    recording = Recording(RETRIES)
    world, owner = recording.world, recording.owner
    [slow] = world.open_tasks("slow")
    world.begin_work(slow)
    world.beat(slow, 1)
    owner.settle_all()
    while any(task.attempt == 1 for task in world.open_tasks("slow")):
        world.fire()
        owner.settle_all()
    return recording.end(fateful)


def _paused() -> World:
    recording = Recording(MAP)
    recording.tell("paused.1", runs.RunPaused(reason="lunch"))
    recording.world.settle(
        recording.world.open_tasks()[0], fateful(recording.world.open_tasks()[0])
    )
    recording.owner.settle_all()
    return recording.end(fateful)


def _cancelled(text: str) -> Callable[[], World]:
    def record() -> World:
        recording = Recording(text)
        for task in recording.world.open_tasks("a"):
            recording.world.settle(task, echo(task))
        recording.owner.settle_all()
        recording.tell("cancel_requested", runs.CancelRequested(reason="enough"))
        while recording.world.tasks and recording.world.fire():
            recording.owner.settle_all()
        return recording.end()

    return record


def _terminated() -> World:
    recording = Recording(CHILDREN)
    recording.tell("terminate_requested", runs.TerminateRequested())
    return recording.end()


def _early_signal() -> World:
    recording = Recording(
        "{name: main, steps: [{key: a, pool: p}, {key: b, wait: {signal: go}, dependsOn: [a]}]}"
    )
    recording.world.signal(recording.run, "go", {"early": True})
    return recording.end()


def _queued() -> World:
    recording = Recording(LEASES)
    recording.world.start("main")
    recording.world.start("main", {"key": "other"})
    return recording.end()


def _forked() -> World:
    first = Recording(BRANCHES).end(fateful)
    world = World(stored(BRANCHES), stored(SUB))
    settled = {"a": {"status": "failed", "error": {"code": "x", "message": "y"}}}
    fork = runs.ForkedFrom(
        run=next(iter(first.journals)), cursor="e-1", settled=Value(inline=settled)
    )
    world.start("main", {"flag": True}, fork=fork)
    finish(world, Owner(world, batch=1))
    return world


HISTORIES: Final[dict[str, Callable[[], World]]] = {
    "chain": _ordinary(CHAIN),
    "branches": _ordinary(BRANCHES),
    "retries": _ordinary(RETRIES),
    "late_workers": _late,
    "map": _ordinary(MAP),
    "children": _ordinary(CHILDREN),
    "waits": _ordinary(WAITS),
    "early_signal": _early_signal,
    "approvals": _ordinary(APPROVALS),
    "compensation": _ordinary(SAGA),
    "parked": _ordinary(PARKED),
    "budget": _ordinary(BUDGET),
    "leases": _queued,
    "paused": _paused,
    "cancelled": _cancelled(SAGA),
    "cancelled_children": _cancelled(CHILDREN),
    "terminated": _terminated,
    "forked": _forked,
}
"""What is recorded, by name."""


def lines(world: World) -> Iterator[bytes]:
    """Yield what a history is written as: its definitions, then one message a line."""
    definitions = [msgspec.Raw(canonical_json(workflow)) for workflow in world.workflows.values()]
    yield encode(definitions)
    for message in world.log:
        yield encode(message)


def read_history(path: Path) -> tuple[list[Workflow], list[Stored]]:
    """Return the definitions and the messages of a recorded history."""
    first, *rest = path.read_bytes().splitlines()
    workflows = [
        load_canonical(bytes(raw)) for raw in msgspec.json.decode(first, type=list[msgspec.Raw])
    ]
    return workflows, [msgspec.json.decode(line, type=Stored) for line in rest]


def main() -> None:
    """Write every history anew."""
    FOLDER.mkdir(exist_ok=True)
    for name, record in HISTORIES.items():
        (FOLDER / f"{name}.jsonl").write_bytes(b"\n".join(lines(record())) + b"\n")


if __name__ == "__main__":
    main()
