"""The model: what must come of a run, whatever goes wrong on the way?

It knows the recipes only, and shares no code with the engine.
"""

import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from support.simulation_recipes import DOOMED, Definition

_LIST: Final = 5
_REFERENCE: Final = re.compile(r"\{\{ (?:steps\.(\w+)\.(\w+)([.\w]*)|(\w+)) \}\}")
_CONDITION: Final = re.compile(r"\{\{ steps\.(\w+)\.status == 'completed' \}\}")


@dataclass
class Expected:
    """What a run must have come to, unless somebody stops it."""

    status: str = "completed"
    outputs: dict[str, Any] = field(default_factory=dict)
    statuses: dict[str, str] = field(default_factory=dict)
    """By step key."""
    undone: set[str] = field(default_factory=set)
    """The steps and items that must have been undone, as people write them."""
    perhaps: set[str] = field(default_factory=set)
    """Items that may have been, since they began beside one that failed."""


def answer(step: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a worker makes of a task that succeeds."""
    text = json.dumps(given, sort_keys=True, separators=(",", ":"))
    digest = zlib.crc32(f"{step} {text}".encode())
    output = {"digest": digest, "list": [digest % 7 + n for n in range(digest % _LIST)]}
    pad = given.get("do", {}).get("pad", 0)
    return output | {"pad": "x" * pad} if pad else output


def is_doomed(given: Mapping[str, Any]) -> bool:
    """Tell whether a task fails for good."""
    return bool(given.get("do", {}).get("doomed")) or given.get("item") == DOOMED


class _Run:
    """One run, computed step by step."""

    def __init__(
        self, workflows: Mapping[str, Definition], name: str, inputs: Mapping[str, Any]
    ) -> None:
        self.workflows = workflows
        self.definition = workflows[name]
        self.inputs = {**self.definition["inputs"], **inputs}
        self.outputs: dict[str, Any] = {}
        self.statuses: dict[str, str] = {}
        self.upstream: set[str] = set()
        """Skipped because of what they depend on."""
        self.undone: set[str] = set()
        self.perhaps: set[str] = set()

    def expected(self) -> Expected:
        steps = {step["key"]: step for step in self.definition["steps"]}
        for step in steps.values():
            self._settle(step)
        fatal = [
            key
            for key, status in self.statuses.items()
            if status == "failed" and not steps[key].get("continueOnError")
        ]
        if fatal:
            return Expected("failed", {}, self.statuses, self.undone, self.perhaps)
        outputs = {key: self._render(text, {}) for key, text in self.definition["outputs"].items()}
        return Expected("completed", outputs, self.statuses)

    def _settle(self, step: Definition) -> None:
        key, needed = step["key"], step.get("dependsOn", ())
        if key == "esc" and not self._escalates():
            self.statuses[key] = "skipped"
        elif any(self._blocks(one) for one in needed):
            self.statuses[key] = "skipped"
            self.upstream.add(key)
        elif not self._wanted(step):
            self.statuses[key] = "skipped"
        else:
            done, output = self._of_all(step) if "forEach" in step else self._once(step, key, {})
            self.statuses[key] = "completed" if done else "failed"
            if done:
                self.outputs[key] = output

    def _escalates(self) -> bool:
        """Tell whether the approval is asked for that people leave open until it escalates."""
        asking = [
            step["key"]
            for step in self.definition["steps"]
            if "escalation" in step.get("approval", {})
        ]
        return all(self.statuses[key] == "completed" for key in asking)

    def _blocks(self, key: str) -> bool:
        steps = {step["key"]: step for step in self.definition["steps"]}
        status = self.statuses[key]
        return key in self.upstream or (
            status == "failed" and not steps[key].get("continueOnError")
        )

    def _wanted(self, step: Definition) -> bool:
        condition = step.get("when")
        if condition is None:
            return True
        if condition == "{{ flag }}":
            return bool(self.inputs["flag"])
        asked = _CONDITION.fullmatch(condition)
        if asked is None:
            raise ValueError(f"the model does not know the condition {condition!r}")
        return self.statuses[asked[1]] == "completed"

    def _of_all(self, step: Definition) -> tuple[bool, Any]:
        items = self._render(step["forEach"]["items"], {})
        results = [
            self._once(step, f"{step['key']}~{index}", {"item": item, "index": index})
            for index, item in enumerate(items)
        ]
        done = all(one for one, _ in results) or bool(step.get("continueOnError"))
        if not done:  # which items had begun by then is left to chance
            items_undone = {name for name in self.undone if name.startswith(f"{step['key']}~")}
            self.undone -= items_undone
            self.perhaps |= items_undone
        return done, [output for _, output in results]

    def _once(self, step: Definition, name: str, values: Mapping[str, Any]) -> tuple[bool, Any]:
        """Return whether a step or item succeeds, and its output."""
        if "wait" in step:
            return True, self._waited(step["wait"])
        if "approval" in step:
            return True, {"decision": "approved"}
        given = {key: self._render(value, values) for key, value in step["with"].items()}
        if "workflow" in step:
            below = _Run(self.workflows, step["workflow"], given).expected()
            done, output = below.status == "completed", below.outputs
        else:
            done, output = not is_doomed(given), answer(name, given)
        if done and "compensate" in step:
            self.undone.add(name)
        return done, output if done else None

    def _waited(self, wait: Any) -> Any:
        if isinstance(wait, dict) and "signal" in wait:
            return {"n": wait["signal"]}
        if isinstance(wait, dict) and "event" in wait:
            return {"x": self.inputs["x"]}
        return None

    def _render(self, template: Any, values: Mapping[str, Any]) -> Any:
        if isinstance(template, dict):
            return {key: self._render(one, values) for key, one in template.items()}
        match = _REFERENCE.fullmatch(template) if isinstance(template, str) else None
        if match is None:
            return template
        key, what, path, name = match.groups()
        if name:
            return {**self.inputs, **values}[name]
        if what == "status":
            return self.statuses[key]
        value: Any = self.outputs.get(key)
        for part in filter(None, path.split(".")):
            value = value[part]
        return value


def expected(workflows: Mapping[str, Definition], name: str, inputs: Mapping[str, Any]) -> Expected:
    """Return what a run of a workflow must come to."""
    return _Run(workflows, name, inputs).expected()
