"""Recipes of simulations: which workflows, runs, people and faults does a seed stand for?"""

import json
from dataclasses import dataclass
from random import Random
from typing import Any, Final, Literal

from segue_testing.sim import FaultPlan

Definition = dict[str, Any]
What = Literal["pause", "cancel", "terminate"]

POOL: Final = "w"
DOOMED: Final = 13
"""An item whose task fails for good."""
SCHEMA: Final = {"type": "object", "required": ["digest"]}
_LONG_S: Final = 8 * 24 * 3600
_PATIENT: Final = 40
"""Attempts that no series of accidents uses up before the faults heal."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """Something that a person does to a run."""

    at_s: float
    what: What


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A run that somebody starts."""

    label: str
    workflow: str
    inputs: dict[str, Any]
    at_s: float = 0
    orders: tuple[Order, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Outage:
    """A time in which nobody is there but the broker."""

    after_s: float
    """Seconds after the start, or the end of the last one."""
    lasts_s: float


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """Everything that a simulation begins with."""

    seed: int
    workflows: dict[str, Definition]
    """By name; children are registered before the first run."""
    runs: tuple[Planned, ...]
    plan: FaultPlan
    orchestrators: int = 2
    workers: int = 2
    sharing: bool = False
    """Whether orchestrators divide the shards by membership, or all read all of them."""
    heal_s: float = 60
    """When nothing goes wrong any more."""
    outages: tuple[Outage, ...] = ()
    """When everything but the broker is away."""


def scenario(seed: int) -> Scenario:
    """Return what a seed stands for."""
    random = Random(f"recipe {seed}")  # noqa: S311 - repeatable on purpose, no secret
    outages = _outages(random)
    main = _main(random, lasting=len(outages) > 1)
    workflows = {"fix": _fix(), "sub": _sub(random), "main": main}
    runs = [Planned(label="main", workflow="main", inputs=_inputs(random), orders=_orders(random))]
    if random.random() < 0.4:
        workflows["side"] = _side(random)
        runs += [
            Planned(
                label=f"side{number}",
                workflow="side",
                inputs={"x": number, "flag": True},
                at_s=random.uniform(0, 10),
                orders=_orders(random),
            )
            for number in range(random.randint(2, 3))
        ]
    return Scenario(
        seed=seed,
        workflows=workflows,
        runs=tuple(runs),
        plan=_faults(random),
        orchestrators=random.choice([2, 2, 3]),
        workers=random.choice([1, 2]),
        sharing=random.random() < 0.15,
        heal_s=random.uniform(30, 60),
        outages=outages,
    )


def _outages(random: Random) -> tuple[Outage, ...]:
    """Return none, mostly; in a long one the journal grows old enough to be purged."""
    count = random.choice([0, 0, 0, 0, 0, 0, 0, 1, 2, 2])
    lasting = [60, 3 * 3600, _LONG_S] if count == 1 else [3 * 3600, *[_LONG_S] * 5]
    return tuple(
        Outage(after_s=random.uniform(6, 25), lasts_s=random.choice(lasting)) for _ in range(count)
    )


def _inputs(random: Random) -> dict[str, Any]:
    return {"x": random.randint(0, 9), "flag": random.random() < 0.7}


def _orders(random: Random) -> tuple[Order, ...]:
    orders = []
    if random.random() < 0.35:
        orders.append(Order(at_s=random.uniform(1, 30), what="pause"))
    chance = random.random()
    if chance < 0.12:
        what: What = "cancel" if chance < 0.08 else "terminate"
        orders.append(Order(at_s=random.uniform(1, 40), what=what))
    return tuple(orders)


# Definitions.


def _main(random: Random, *, lasting: bool) -> Definition:
    """Return a workflow of at least five steps, one of them repeated.

    Args:
        random: Chooses.
        lasting: Whether it is to go on for a minute at least.
    """
    count = random.randint(7, 11)
    mapped = random.randrange(1, count)
    steps: list[Definition] = []
    for number in range(count):
        steps.append(_map(random, steps) if number == mapped else _step(random, steps))
    for _ in range(4 if lasting else 0):
        key = f"s{len(steps)}"
        steps.append({"key": key, "wait": "20s", "dependsOn": [steps[-1]["key"]]})
        after = _task(random, steps)
        needed = dict.fromkeys([*after.get("dependsOn", ()), key])
        steps.append(after | {"dependsOn": [*needed]})
    definition: Definition = {"name": "main", "inputs": {"x": 1, "flag": True}, "steps": steps}
    _escalate(random, steps)
    if random.random() < 0.2:
        definition["budget"] = {"tokens": random.randint(3, 12), "onExceed": "pause"}
    return _finished(random, definition)


def _sub(random: Random) -> Definition:
    steps = _tasks(random)
    inputs = {"x": 1, "flag": True}
    return _finished(random, {"name": "sub", "version": "1.0.0", "inputs": inputs, "steps": steps})


def _tasks(random: Random) -> list[Definition]:
    steps: list[Definition] = []
    for _ in range(random.randint(1, 3)):
        steps.append(_task(random, steps))
    return steps


def _fix() -> Definition:
    """Return what undoes a step by a run of its own, which never fails for good."""
    given = {"do": {"fails": 1}, "x": "{{ x }}"}
    retry = {"maxAttempts": _PATIENT, "delay": "1s", "factor": 1}
    step = {"key": "s0", "pool": POOL, "with": given, "retry": retry, "timeout": "20s"}
    outputs = {"s0": "{{ steps.s0.output }}"}
    inputs = {"x": 1}
    return {
        "name": "fix", "version": "1.0.0", "inputs": inputs, "steps": [step], "outputs": outputs
    }  # fmt: skip


def _side(random: Random) -> Definition:
    """Return a workflow of which few runs go on at once."""
    steps = _tasks(random)
    definition: Definition = {"name": "side", "inputs": {"x": 1, "flag": True}, "steps": steps}
    if random.random() < 0.75:
        policy = random.choice(["queue", "queue", "queue", "cancelNewest", "cancelRunning"])
        definition["concurrency"] = {
            "key": "k",
            "limit": random.choice([1, 1, 2]),
            "policy": policy,
        }
    else:
        definition["rate"] = {"key": "r", "limit": 1, "per": "20s"}
    return _finished(random, definition)


def _finished(random: Random, definition: Definition) -> Definition:
    """Add what the whole workflow says, its outputs among it."""
    if random.random() < 0.4:
        definition["compensateOn"] = ["failed", "cancelled"]
    definition["outputs"] = {
        step["key"]: f"{{{{ steps.{step['key']}.{_stable(step)} }}}}"
        for step in definition["steps"]
        if step["key"] != "esc"
    }
    return definition


def _stable(step: Definition) -> str:
    """Return what of a step does not depend on when it came about."""
    return "status" if "approval" in step else "output"


def _step(random: Random, before: list[Definition]) -> Definition:
    make = random.choice([_task, _task, _task, _task, _task, _child, _wait, _wait, _approval])
    return make(random, before)


def _begun(random: Random, before: list[Definition]) -> Definition:
    """Return the beginning of a step that may depend on those before it."""
    step: Definition = {"key": f"s{len(before)}"}
    keys = [one["key"] for one in before]
    if keys and random.random() < 0.75:
        step["dependsOn"] = random.sample(keys, k=min(len(keys), random.choice([1, 1, 2])))
    chance = random.random()
    if chance < 0.08:
        step["when"] = "{{ flag }}"
    elif chance < 0.16 and "dependsOn" in step:
        step["when"] = f"{{{{ steps.{step['dependsOn'][0]}.status == 'completed' }}}}"
    if random.random() < 0.25:
        step["continueOnError"] = True
    return step


def _task(random: Random, before: list[Definition]) -> Definition:
    step = _begun(random, before)
    do: Definition = {"fails": random.choice([0, 0, 1, 1, 2])}
    if random.random() < 0.06:
        do["doomed"] = True
    if random.random() < 0.02:
        do["pad"] = 70_000
    step |= {"pool": POOL, "with": {"do": do, "x": "{{ x }}"}, "retry": _retry(random)}
    asking = {one["key"] for one in before if "approval" in one}
    if sources := [one for one in step.get("dependsOn", ()) if one not in asking]:
        step["with"]["before"] = f"{{{{ steps.{sources[0]}.output }}}}"
    if "doomed" not in do and random.random() < 0.1:
        step["retry"] |= {"maxAttempts": 2, "onExhausted": "park"}
    if random.random() < 0.15:
        step["outputSchema"] = SCHEMA
        do["bad"] = random.choice([0, 1])
    return _undone(random, _timed(random, step))


def _timed(random: Random, step: Definition) -> Definition:
    """Limit how long an attempt may take; a task that nobody answers needs that."""
    step["timeout"] = random.choice(["15s", "30s", "45s"])
    if random.random() < 0.2:
        phases = {"queue": "12s", "startToClose": "20s", "heartbeat": "8s"}
        step["timeouts"] = dict(random.sample(sorted(phases.items()), k=random.randint(1, 3)))
    return step


def _undone(random: Random, step: Definition) -> Definition:
    if random.random() < 0.35:
        given = {"with": {"do": {"fails": random.choice([0, 0, 1])}}}
        undo: Definition = {"pool": POOL, "timeout": "20s", **given}
        if random.random() < 0.5:
            undo["retry"] = {"maxAttempts": _PATIENT, "delay": "1s", "factor": 1}
        if random.random() < 0.2:
            undo = {"workflow": "fix", "with": {"x": 2}}
        step["compensate"] = undo
    return step


def _retry(random: Random) -> Definition:
    return {
        "maxAttempts": _PATIENT,
        "delay": random.choice(["0s", "1s", "4s", "40s"]),
        "factor": 1,
    }


def _has_list(step: Definition) -> bool:
    """Tell whether a step that a repeated one may read its items from always gives a list."""
    plain = not step.keys() & {"forEach", "when", "continueOnError"}
    return "pool" in step and plain and "doomed" not in step["with"]["do"]


def _map(random: Random, before: list[Definition]) -> Definition:
    step = _task(random, before)
    step.pop("outputSchema", None)
    items: Any = [random.choice([1, 2, 3, 4, 5, 6]) for _ in range(random.randint(3, 8))]
    chance = random.random()
    if chance < 0.15:
        items[random.randrange(len(items))] = DOOMED
        step["retry"] = _retry(random)
    elif chance < 0.4 and (sources := [one for one in before if _has_list(one)]):
        source = random.choice(sources)["key"]
        step["dependsOn"] = sorted({*step.get("dependsOn", ()), source})
        items = f"{{{{ steps.{source}.output.list }}}}"
    step["forEach"] = {"items": items}
    if random.random() < 0.6:
        step["forEach"]["maxConcurrency"] = random.randint(1, 3)
    for name in ("doomed", "bad"):
        step["with"]["do"].pop(name, None)
    step["with"] |= {"item": "{{ item }}", "index": "{{ index }}"}
    return step


def _child(random: Random, before: list[Definition]) -> Definition:
    step = _begun(random, before)
    step |= {"workflow": "sub", "with": {"x": "{{ x }}"}}
    if random.random() < 0.3:
        step["forEach"] = {"items": [1, 2], "maxConcurrency": random.randint(1, 2)}
        step["with"] = {"x": "{{ item }}"}
    return _undone(random, step)


def _wait(random: Random, before: list[Definition]) -> Definition:
    step = _begun(random, before)
    key = step["key"]
    step["wait"] = random.choice(
        [
            f"{random.randint(0, 25)}s",
            {"until": random.choice(["2026-01-01T00:00:00Z", "2027-01-15T08:00:40Z"])},
            {"signal": f"go-{key}"},
            {"event": f"topic.{key}", "match": "{{ event.x == x and run.workflow == 'main' }}"},
        ]
    )
    return step


def _approval(random: Random, before: list[Definition]) -> Definition:
    step = _begun(random, before)
    step["approval"] = {"quorum": random.choice([1, 2]), "approvers": ["ann", "bob", "eve"]}
    return step


def _escalate(random: Random, steps: list[Definition]) -> None:
    """Have the first approval, sometimes, escalate to a step of its own."""
    asking = [step for step in steps if "approval" in step]
    if asking and random.random() < 0.5:
        asking[0]["approval"]["escalation"] = {"after": "5s", "step": "esc"}
        given = {"do": {"fails": 0}}
        step = {"key": "esc", "pool": POOL, "with": given, "retry": _retry(random)}
        steps.append(_timed(random, step))


# Faults.


def _faults(random: Random) -> FaultPlan:
    """Return what goes wrong: everything a little, and something more of some kinds."""
    chances = {
        "publish_lost": 0.01,
        "ack_lost": 0.02,
        "ack_delayed": 0.01,
        "in_flight_stored": 0.015,
        "in_flight_absent": 0.015,
        "request_lost": 0.01,
        "settling_lost": 0.03,
        "duplicate": 0.05,
        "redelivery": 0.04,
        "delivery_delayed": 0.01,
        "batch_cut": 0.03,
        "pin_moved": 0.03,
        "stale_read": 0.1,
        "crash": 0.004,
        "disconnect": 0.005,
    }
    kinds = random.sample(sorted(chances), k=random.randint(6, len(chances)))
    chosen: dict[str, Any] = {kind: chances[kind] * random.choice([0.5, 1, 1, 2]) for kind in kinds}
    return FaultPlan(
        **chosen,
        latency_s=random.choice([0, 0.005, 0.03]),
        skew_ms=random.choice([0, 500, 2_000]),
        batch_most=random.choice([0, 0, 3, 20]),
        timer_late_s=random.choice([0, 1, 5]),
        timer_early_s=random.choice([0, 0.5]),
    )


def text_of(definition: Definition) -> str:
    """Return a definition as its author would write it."""
    return json.dumps(definition)
