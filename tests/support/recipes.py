"""Recipes: which random definitions try every construct of the language, in every combination?"""

import json
from typing import Any, Final

from hypothesis import strategies as st

SUB: Final = """
name: sub
inputs: {x: 1}
steps:
  - {key: c0, pool: p, with: {x: "{{ x }}"}, compensate: {pool: u}}
  - {key: c1, pool: p, dependsOn: [c0], retry: {maxAttempts: 2, delay: 10s}}
"""
SCHEMA: Final = {"type": "object", "required": ["token"]}

_Fields = dict[str, Any]


def _kinds(key: str) -> st.SearchStrategy[_Fields]:
    return st.sampled_from(
        [
            {"pool": "p"},
            {"pool": "p"},
            {"pool": "q", "outputSchema": SCHEMA},
            {"workflow": "sub"},
            {"wait": "0s"},
            {"wait": "50s"},
            {"wait": {"until": "2025-10-09T09:00:00Z"}},
            {"wait": {"signal": f"go-{key}"}},
            {"wait": {"event": f"topic.{key}"}},
            {"approval": {"quorum": 2, "approvers": ["p0", "p1", "p2"]}},
        ]
    )


_RETRIES: Final = st.fixed_dictionaries(
    {"maxAttempts": st.integers(1, 3), "delay": st.sampled_from(["0s", "5s", "100s"])},
    optional={
        "onExhausted": st.just("park"),
        "nonRetryable": st.just(["fatal"]),
        "classes": st.just({"slow": {"maxAttempts": 2, "delay": "70s"}}),
    },
)

_PHASES: Final = st.fixed_dictionaries(
    {},
    optional={
        "queue": st.just("20s"),
        "startToClose": st.just("30s"),
        "scheduleToClose": st.just("3m"),
        "heartbeat": st.just("10s"),
    },
)

_MAPS: Final = st.fixed_dictionaries(
    {"items": st.lists(st.integers(0, 9), max_size=4)},
    optional={"maxConcurrency": st.integers(1, 3)},
)

_COMPENSATIONS: Final = st.sampled_from(
    [{"pool": "u"}, {"pool": "u", "retry": {"maxAttempts": 2}}, {"workflow": "sub"}]
)


@st.composite
def _step(draw: st.DrawFn, number: int, *, timed: bool) -> _Fields:
    """Draw a step that may depend on those before it."""
    key = f"s{number}"
    step: _Fields = {"key": key, **draw(_kinds(key))}
    before = [f"s{other}" for other in range(number)]
    if before and (needed := draw(st.lists(st.sampled_from(before), max_size=2, unique=True))):
        step["dependsOn"] = needed
        if "wait" not in step and "approval" not in step:
            step["with"] = {"before": f"{{{{ steps.{needed[0]}.output }}}}"}
    for name, strategy in (
        ("retry", _RETRIES),
        ("forEach", _MAPS),
        ("continueOnError", st.just(value=True)),
        ("when", st.sampled_from(["{{ flag }}", "{{ not flag }}", "{{ flag or true }}"])),
    ):
        if draw(st.integers(0, 3)) == 0:
            step[name] = draw(strategy)
    if "wait" not in step and "approval" not in step and draw(st.integers(0, 2)) == 0:
        step["compensate"] = draw(_COMPENSATIONS)
    return _timed(draw, step) if timed else step


def _timed(draw: st.DrawFn, step: _Fields) -> _Fields:
    """Add limits in time, which make what happens depend on the order in which it does."""
    if draw(st.integers(0, 3)) == 0:
        if "approval" in step:
            step["approval"] = {**step["approval"], "timeout": "2m"}
        elif isinstance(step.get("wait"), dict) and "until" not in step["wait"]:
            step["wait"] = {**step["wait"], "timeout": "2m"}
        elif "wait" not in step:
            step["timeout"] = "1m"
            if "pool" in step:
                step["timeouts"] = draw(_PHASES)
    return step


def _escalated(steps: list[_Fields]) -> list[_Fields]:
    """Have the first approval that can escalate do so, to a step of its own."""
    for step in steps:
        if "approval" in step and "forEach" not in step:
            escalation = {"after": "1m", "step": "escalation"}
            step["approval"] = {**step["approval"], "escalation": escalation}
            return [*steps, {"key": "escalation", "pool": "p"}]
    return steps


@st.composite
def workflows(draw: st.DrawFn, *, timed: bool = True) -> str:
    """Draw a definition named `main`; `timed` ones depend on the order in which things happen."""
    count = draw(st.integers(1, 5))
    steps = [draw(_step(number, timed=timed)) for number in range(count)]
    document: _Fields = {"name": "main", "inputs": {"flag": True}, "steps": steps}
    if draw(st.booleans()):
        document["compensateOn"] = draw(
            st.sampled_from([["failed"], ["cancelled"], ["failed", "cancelled"]])
        )
    if timed:
        document["steps"] = _escalated(steps)
        for name, value in (
            ("timeout", "5m"),
            ("budget", {"tokens": 4, "onExceed": "pause"}),
            ("budget", {"usd": 0.03, "seconds": 400, "onExceed": "fail"}),
            ("rate", {"key": "r", "limit": 1, "per": "30s"}),
        ):
            if draw(st.integers(0, 5)) == 0:
                document[name] = value
        if draw(st.integers(0, 3)) == 0:
            policy = draw(st.sampled_from(["queue", "cancelNewest", "cancelRunning"]))
            document["concurrency"] = {"key": "k", "limit": 1, "policy": policy}
    return json.dumps(document)
