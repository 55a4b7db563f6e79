"""The quick look and what is kept: do they ever say other than the whole way?"""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue_language.checks import check
from segue_language.dialects import to_canonical
from segue_language.outline import Outline
from segue_language.parse import parse
from segue_language.quick import is_faultless
from segue_language.recent import Recent

TEMPLATES = [
    "plain",
    "{{ inputs.a }}",
    "{{ a }}",
    "{{ s0.x }}",
    "{{ steps.s1.output.y }}",
    "{{ steps.s0.status }}",
    "{{ steps.s0.nope }}",
    "{{ steps }}",
    "{{ s2-1 }}",
    "{{ nope }}",
    "{{ item }}",
    "{{ run.id }}",
    "{{ a | upper }}{{ s1 }}",
    "{{ broken",
    "{a} {w} {nope} {s0}",
]
templates = st.sampled_from(TEMPLATES)
keys = st.sampled_from(["s0", "s1", "s2", "s3"])


@st.composite
def steps(draw: st.DrawFn) -> list[object]:
    """Draw steps that are right more often than not."""
    listed: list[object] = []
    for index in range(draw(st.integers(0, 4))):
        step: dict[str, object] = {"key": f"s{index}", **draw(KINDS)}
        for field, values in FIELDS.items():
            if draw(st.integers(0, 3)) == 0:
                step[field] = draw(values)
        if draw(st.booleans()):
            step["dependsOn"] = [f"s{other}" for other in range(index)]
        listed.append(step)
    return listed


KINDS = st.sampled_from(
    [{"agent": "x"}, {"agent": "y", "action": "z"}, {"pool": "gpu"}, {"pool": "llm"}]
    + [{"llm": {"prompt": text}} for text in TEMPLATES]
    + [{"agent": "x", "pool": "y"}, {}, {"pool": "p", "model": "m"}, {"workflow": "w@1.0.0"}]
    + [
        {"uses": "a.b"},
        {"wait": "5m"},
        {"approval": True},
        {"agent": None, "pool": "p"},
        {"gpt": "x"},
    ]
)
FIELDS: dict[str, st.SearchStrategy[object]] = {
    "key": st.sampled_from(["s0", "k" * 200, "", 3, "é" * 100]),
    "dependsOn": st.lists(keys | st.just(3), max_size=3) | st.sampled_from(["s0", 3]),
    "when": templates,
    "with": st.dictionaries(st.sampled_from(["w", "run"]), templates | st.lists(templates)),
    "forEach": templates | st.just([1]),
    "compensate": KINDS,
    "retry": st.sampled_from([{"maxAttempts": 2}, {"classes": {"a": {}}, "nonRetryable": ["a"]}]),
    "outputSchema": st.sampled_from([{}, {"type": "strin"}]),
}
documents = st.fixed_dictionaries(
    {"name": st.just("d"), "inputs": st.just({"a": 1}), "steps": steps()},
    optional={
        "outputs": st.dictionaries(st.just("r"), templates),
        "rate": st.just({"key": "{{ s0 }}", "limit": 1, "per": "1m"}),
        "retries": st.integers(0, 3),
    },
)


@given(documents, st.sampled_from([None, frozenset("x")]))
def test_a_quick_yes_is_what_the_checks_say(
    document: dict[str, object], known_agents: frozenset[str] | None
) -> None:
    """Where the look finds a definition faultless, the checks find nothing."""
    canonical = to_canonical(document)
    assert isinstance(canonical.value, dict)
    outline = Outline.of(canonical.value)
    found = [*check(outline, known_agents=known_agents)]
    if is_faultless(outline, known_agents):
        assert found == []


@given(documents)
def test_both_notations_are_one_workflow_or_one_list_of_faults(
    document: dict[str, object],
) -> None:
    """JSON is read without positions first, YAML with them: the outcome is the same."""
    text = json.dumps(document)
    quick, whole = parse(text), parse(text, file="<definition>.yaml")
    assert quick.workflow == whole.workflow
    assert [(p.code, p.pointer, p.message) for p in quick.problems] == [
        (p.code, p.pointer, p.message) for p in whole.problems
    ]


def test_a_common_definition_takes_the_quick_way() -> None:
    """A look is enough for agents, pools and models over what is upstream."""
    document = {
        "name": "d",
        "inputs": {"a": 1},
        "steps": [
            {"key": "s0", "agent": "x", "with": {"a": "{{ inputs.a }}", "b": ["{{ run.id }}"]}},
            {"key": "s1", "pool": "p", "dependsOn": ["s0"], "when": "steps.s0.status == 'failed'"},
            {"key": "s2", "llm": {"prompt": "{w} {{ s1 }}"}, "with": {"w": 1}, "dependsOn": ["s1"]},
        ],
        "outputs": {"r": "{{ s2 }}"},
    }
    assert is_faultless(Outline.of(document), None)
    assert is_faultless(Outline.of(document), {"x"})
    assert not is_faultless(Outline.of(document), {"y"})


def test_a_text_seen_before_gives_the_same_outcome() -> None:
    """It is the very same workflow, unless it is parsed against something else."""
    text = "name: x\ninputs: {a: {type: integer}}\nsteps: [{key: k, agent: a}]\n"
    first = parse(text)
    assert parse(text).workflow is first.workflow
    assert parse(text, inputs={"a": 1}).workflow is first.workflow
    assert [problem.code for problem in parse(text, inputs={"a": "b"}).problems] == ["wrong_input"]
    assert [problem.code for problem in parse(text, known_agents=["b"]).problems] == [
        "unknown_agent"
    ]
    assert parse(text, file="other").problems == ()
    assert parse(text).problems == ()


def test_all_faults_are_named_although_the_text_was_seen_before() -> None:
    """Those of the inputs come along with the others."""
    text = "name: x\ninputs: {a: {type: integer}}\nsteps: [{key: k}]\n"
    assert [problem.code for problem in parse(text).problems] == ["no_kind"]
    codes = [problem.code for problem in parse(text, inputs={}).problems]
    assert codes == ["missing_input", "no_kind"]


def test_what_was_used_longest_ago_is_dropped_first() -> None:
    """There is room for two."""
    recent: Recent[int] = Recent(entries=2, weight=100)
    recent.put("a", 1, 10)
    recent.put("b", 2, 10)
    assert recent.get("a") == 1
    recent.put("c", 3, 10)
    assert [recent.get(key) for key in "abc"] == [1, None, 3]


@pytest.mark.parametrize(("weight", "left"), [(50, [1, 2]), (60, [None, 2]), (101, [1, None])])
def test_weight_is_bounded_too(weight: int, left: list[int | None]) -> None:
    """What is heavier than everything together is not kept at all."""
    recent: Recent[int] = Recent(entries=9, weight=100)
    recent.put("a", 1, 20)
    recent.put("a", 1, 50)
    recent.put("b", 2, weight)
    assert [recent.get("a"), recent.get("b")] == left
