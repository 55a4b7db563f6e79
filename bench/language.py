"""How many definitions a second are parsed and validated by one core?"""

import json
import time
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from bench.frame import Figure, figure
from segue_language import parse, to_yaml

_GOAL: Final = 10_000
_STEPS: Final = 5


def definition(number: int) -> str:
    """Return a definition of five steps as JSON; no two numbers give the same text."""
    inputs = {"repository": "{{ inputs.repository }}", "branch": "{{ inputs.branch }}"}
    steps: list[dict[str, object]] = [
        {"key": "lint", "agent": "quality", "action": "lint-codebase", "with": inputs},
        {"key": "scan", "agent": "security", "with": inputs, "timeout": "5m"},
        {
            "key": "review",
            "agent": "architecture",
            "dependsOn": ["lint", "scan"],
            "with": {"lint": "{{ steps.lint.output.summary }}", "scan": "{{ scan }}"},
            "retry": {"maxAttempts": 3, "delay": "1s"},
        },
        {"key": "measure", "pool": "perf", "dependsOn": ["lint"], "when": "lint.ok == true"},
        {
            "key": "report",
            "llm": {"prompt": "Sum up {{ steps.review.output }} for {audience}"},
            "with": {"audience": f"team {number}"},
            "dependsOn": ["review", "measure"],
        },
    ]
    document = {
        "name": f"review-{number}",
        "inputs": {"repository": {"type": "string"}, "branch": f"feature/{number}"},
        "steps": steps,
        "outputs": {"report": "{{ steps.report.output.text }}"},
    }
    return json.dumps(document)


def per_second(work: Callable[[str], object], texts: Sequence[str]) -> float:
    """Return how many texts a second of CPU time takes."""
    begin = time.process_time()
    for text in texts:
        work(text)
    return len(texts) / (time.process_time() - begin)


def checked(text: str) -> None:
    """Parse a definition that has no problems.

    Raises:
        ValueError: It has.
    """
    parsed = parse(text)
    if parsed.workflow is None or len(parsed.workflow.steps) != _STEPS:
        raise ValueError(f"the definition is faulty: {parsed.problems}")


def in_yaml(text: str) -> str:
    """Return a definition as YAML."""
    workflow = parse(text).workflow
    if workflow is None:
        raise ValueError("the definition is faulty")
    return to_yaml(workflow)


async def parsing(quick: bool) -> Sequence[Figure]:  # noqa: FBT001 - the frame's form
    """Measure fresh definitions in JSON, and those in YAML that were seen before.

    The floor reads the same JSON text into plain values and checks nothing.
    """
    rounds, size = (3, 1_000) if quick else (15, 4_000)
    fresh: list[float] = []
    seen: list[float] = []
    floors: list[float] = []
    yaml = [in_yaml(definition(-number)) for number in range(1, 51)]
    for text in (*yaml, *(definition(-number) for number in range(51, 500))):
        checked(text)
    for place in range(rounds):
        texts = [definition(place * size + number) for number in range(size)]
        floors.append(per_second(msgspec.json.decode, texts))
        fresh.append(per_second(checked, texts))
        seen.append(per_second(checked, yaml * (size // len(yaml))))
    return [
        *_figures("language.json5.fresh_per_s", fresh, floors),
        *_figures("language.yaml5.seen_per_s", seen, floors),
    ]


def _figures(name: str, samples: Sequence[float], floors: Sequence[float]) -> list[Figure]:
    """Return the rate against its goal, and beside the floor."""
    told = figure(name, samples, unit="/s", goal=_GOAL, better="higher")
    floor = figure(name, floors, unit="/s", goal=0, better="higher").value
    return [msgspec.structs.replace(told, floor=floor, ratio=round(told.value / floor, 3))]
