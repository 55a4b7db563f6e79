"""Shrinking: what is the least that still goes wrong?"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, replace
from typing import Final, TypeVar

from support.simulation_recipes import Definition, Scenario

from segue_testing.sim import FaultPlan

T = TypeVar("T")
Fails = Callable[[Scenario], bool]


_NAMES: Final = re.compile(r"[0-9a-f]{20,}|\d+")


def kind_of(problems: Sequence[str]) -> str:
    """Return what kind of problem the first is, without what names its place; empty for none."""
    return _NAMES.sub("", problems[0])[:40] if problems else ""


def shrunk(scenario: Scenario, fails: Fails, *, tries: int = 200) -> Scenario:
    """Return a smaller scenario that still fails, after at most so many tries."""
    left = tries
    while left > 0:
        for candidate in _smaller(scenario):
            left -= 1
            if fails(candidate):
                scenario = candidate
                break
            if left <= 0:
                return scenario
        else:
            return scenario
    return scenario


def _smaller(scenario: Scenario) -> Iterator[Scenario]:
    """Yield scenarios with one thing less, what takes most away first."""
    for place, _ in enumerate(scenario.runs):
        if len(scenario.runs) > 1:
            yield replace(scenario, runs=_without(scenario.runs, place))
    for place, _ in enumerate(scenario.outages):
        yield replace(scenario, outages=_without(scenario.outages, place))
    if scenario.orchestrators > 1:
        yield replace(scenario, orchestrators=scenario.orchestrators - 1)
    if scenario.workers > 1:
        yield replace(scenario, workers=1)
    for place, planned in enumerate(scenario.runs):
        for order, _ in enumerate(planned.orders):
            less = replace(planned, orders=_without(planned.orders, order))
            runs = (*scenario.runs[:place], less, *scenario.runs[place + 1 :])
            yield replace(scenario, runs=runs)
    yield from _fewer_faults(scenario)
    yield from _fewer_steps(scenario)


def _without(things: tuple[T, ...], place: int) -> tuple[T, ...]:
    return things[:place] + things[place + 1 :]


def _fewer_faults(scenario: Scenario) -> Iterator[Scenario]:
    plain = FaultPlan()
    for one in fields(FaultPlan):
        usual = getattr(plain, one.name)
        if getattr(scenario.plan, one.name) != usual:
            yield replace(scenario, plan=replace(scenario.plan, **{one.name: usual}))


def _fewer_steps(scenario: Scenario) -> Iterator[Scenario]:
    for name, definition in scenario.workflows.items():
        steps = definition["steps"]
        for step in reversed(steps):
            others = [one for one in steps if one is not step]
            if others and not any(_names(one, step["key"]) for one in others):
                less = _with_steps(definition, others)
                yield replace(scenario, workflows={**scenario.workflows, name: less})


def _names(step: Definition, key: str) -> bool:
    return key in step.get("dependsOn", ()) or f"'{key}'" in str(step.get("approval", ""))


def _with_steps(definition: Definition, steps: list[Definition]) -> Definition:
    keys = {step["key"] for step in steps}
    outputs = {key: text for key, text in definition["outputs"].items() if key in keys}
    return {**definition, "steps": steps, "outputs": outputs}
