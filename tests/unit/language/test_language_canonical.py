"""The canonical form: do equal workflows have equal bytes, and do the bytes say everything?"""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue_language.canonical import canonical_json, content_hash, load_canonical, to_yaml
from segue_language.models import Workflow
from segue_language.parse import parse
from segue_language.yaml_source import read_yaml

names = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(min_value=-(2**63), max_value=2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.sampled_from(
        [
            "yes",
            "null",
            "1e3",
            "0o7",
            "2024-01-01",
            "<<",
            "~",
            "- a",
            "a: b",
            "#",
            "co\x85de",
            "a\u2028b\r",
        ]
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=3)
    ),
    max_leaves=10,
)
durations = st.integers(min_value=1, max_value=10**9)


@st.composite
def kinds(draw: st.DrawFn) -> dict[str, object]:
    """Draw what a step does."""
    return draw(
        st.sampled_from(
            [
                {"agent": "security", "action": "scan", "model": "m"},
                {"llm": {"prompt": "Sum up", "responseType": "json"}},
                {"pool": "gpu"},
                {"uses": "github.create"},
                {"workflow": "other"},
                {"wait": {"signal": "go", "timeout": "5m"}},
                {"approval": {}},
                {"fleet": {"agents": ["a"]}},
            ]
        )
    )


@st.composite
def workflows(draw: st.DrawFn) -> Workflow:
    """Draw a valid workflow."""
    keys = draw(st.lists(names, min_size=1, max_size=4, unique=True))
    steps = []
    for index, key in enumerate(keys):
        step = {"key": key, **draw(kinds()), "dependsOn": keys[:index]}
        if draw(st.booleans()):
            step["with"] = draw(st.dictionaries(st.sampled_from(["a", "b\x85 c"]), values))
        if draw(st.booleans()):
            step |= {"timeout": draw(durations), "retry": {"delay": draw(durations)}}
        steps.append(step)
    inputs = draw(
        st.dictionaries(names, st.integers(-9, 9) | st.none() | st.just({"type": "string"}))
    )
    return Workflow.model_validate({"name": draw(names), "steps": steps, "inputs": inputs})


@given(workflows())
def test_the_canonical_json_says_everything(workflow: Workflow) -> None:
    """Writing and reading lose nothing, and writing again gives the same bytes."""
    data = canonical_json(workflow)
    again = load_canonical(data)
    assert again == workflow
    assert canonical_json(again) == data


@given(workflows())
def test_the_yaml_says_everything(workflow: Workflow) -> None:
    """What is written for people is the same workflow."""
    assert load_yaml(to_yaml(workflow)) == json.loads(canonical_json(workflow))


def load_yaml(text: str) -> object:
    """Read YAML the way definitions are read."""
    source = read_yaml(text)
    assert source.flaws == []
    return source.value


EXAMPLE_HASH = "caa5f926665d7a2a81fb854ca392705d7f165279372ebbde2d48611ff983c4c6"
EXAMPLE = """\
name: review
inputs:
  depth: 3
steps:
- key: scan
  agent: security
  timeout: 1h30m
"""


def test_the_canonical_json_has_sorted_names_no_defaults_and_no_blanks() -> None:
    """The form is stable, since its hash names the definition for ever."""
    workflow = parse(EXAMPLE).workflow
    assert workflow is not None
    assert canonical_json(workflow) == (
        b'{"inputs":{"depth":{"default":3}},"name":"review",'
        b'"steps":[{"agent":"security","key":"scan","timeout":"1h30m"}]}'
    )
    assert content_hash(workflow) == EXAMPLE_HASH


def test_equal_workflows_have_equal_hashes() -> None:
    """Neither order, notation, dialect nor spelled-out defaults matter."""
    texts = [
        EXAMPLE,
        (
            '{"steps": [{"agent": "security", "timeout": "90m", "key": "scan", "priority": "p2"}],'
            ' "inputs": {"depth": {"default": 3}}, "name": "review"}'
        ),
        "id: review\nvariables: {depth: 3}\nsteps: [{id: scan, gpt: security, timeoutMs: 5400000}]",
    ]
    workflows = [parse(text).workflow for text in texts]
    assert len({content_hash(each) for each in workflows if each is not None}) == 1
    assert None not in workflows


def test_different_workflows_have_different_hashes() -> None:
    """A run keeps exactly the definition it started with."""
    first, second = parse(EXAMPLE).workflow, parse(EXAMPLE.replace("3", "4")).workflow
    assert first is not None
    assert second is not None
    assert content_hash(first) != content_hash(second)


def test_yaml_is_written_in_the_order_in_which_people_read() -> None:
    """Name first, then inputs, then steps."""
    workflow = parse(EXAMPLE).workflow
    assert workflow is not None
    assert to_yaml(workflow) == (
        "name: review\ninputs:\n  depth:\n    default: 3\n"
        "steps:\n- key: scan\n  timeout: 1h30m\n  agent: security\n"
    )


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"name": "x"}', b"\xff"])
def test_what_is_no_canonical_workflow_is_refused(data: bytes) -> None:
    """A damaged document is never half a workflow."""
    with pytest.raises(ValueError, match=r".+"):
        load_canonical(data)
