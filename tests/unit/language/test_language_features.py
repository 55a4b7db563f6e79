"""Features: is everything named that an engine would not execute?"""

import pytest

from segue_language.features import FEATURES, unsupported
from segue_language.models import KINDS, Workflow


def workflow(step: dict[str, object], **fields: object) -> Workflow:
    """Build a workflow of one step."""
    return Workflow.model_validate({"name": "x", "steps": [{"key": "k", **step}], **fields})


AGENT: dict[str, object] = {"agent": "a"}


@pytest.mark.parametrize(
    ("feature", "given", "where"),
    [
        ("agent", workflow(AGENT), "/steps/0/agent"),
        ("llm", workflow({"llm": {"prompt": "x"}}), "/steps/0/llm"),
        ("pool", workflow({"pool": "x"}), "/steps/0/pool"),
        ("uses", workflow({"uses": "a.b"}), "/steps/0/uses"),
        ("workflow", workflow({"workflow": "x"}), "/steps/0/workflow"),
        ("wait", workflow({"wait": "1s"}), "/steps/0/wait"),
        ("approval", workflow({"approval": "x"}), "/steps/0/approval"),
        ("fleet", workflow({"fleet": {}}), "/steps/0/fleet"),
        ("when", workflow({**AGENT, "when": "true"}), "/steps/0/when"),
        ("timeout", workflow({**AGENT, "timeout": "1s"}), "/steps/0/timeout"),
        ("retry", workflow({**AGENT, "retry": {}}), "/steps/0/retry"),
        (
            "continueOnError",
            workflow({**AGENT, "continueOnError": True}),
            "/steps/0/continueOnError",
        ),
        ("priority", workflow({**AGENT, "priority": "p0"}), "/steps/0/priority"),
        ("outputSchema", workflow({**AGENT, "outputSchema": {}}), "/steps/0/outputSchema"),
        ("forEach", workflow({**AGENT, "forEach": []}), "/steps/0/forEach"),
        ("compensate", workflow({**AGENT, "compensate": {"pool": "x"}}), "/steps/0/compensate"),
        ("retry", workflow(AGENT, retry={}), "/retry"),
        ("runTimeout", workflow(AGENT, timeout="1s"), "/timeout"),
        ("budget", workflow(AGENT, budget={"usd": 1}), "/budget"),
        ("concurrency", workflow(AGENT, concurrency={"key": "x", "limit": 1}), "/concurrency"),
        ("rate", workflow(AGENT, rate={"key": "x", "limit": 1, "per": "1m"}), "/rate"),
        ("priority", workflow(AGENT, priority="p0"), "/priority"),
        ("compensate", workflow(AGENT, compensateOn=["cancelled"]), "/compensateOn"),
        ("timeouts", workflow({**AGENT, "timeouts": {"queue": "1s"}}), "/steps/0/timeouts"),
        ("outputs", workflow(AGENT, outputs={"a": 1}), "/outputs"),
    ],
)
def test_a_construct_that_is_not_supported_is_a_problem(
    feature: str, given: Workflow, where: str
) -> None:
    """Each feature is told apart from all others."""
    problems = unsupported(given, FEATURES - {feature})
    assert [(problem.pointer, problem.code) for problem in problems] == [(where, "unsupported")]
    assert unsupported(given, FEATURES) == ()


def test_a_problem_names_the_construct_and_the_file() -> None:
    """There is no line where there is no text."""
    problem = unsupported(workflow(AGENT), frozenset(), file="review.yaml")[0]
    expected = "review.yaml: /steps/0/agent: 'agent' is valid, but this engine cannot run it yet"
    assert problem.render() == expected


def test_every_kind_is_a_feature() -> None:
    """A new kind is refused by engines that do not know it."""
    assert set(KINDS) <= FEATURES
