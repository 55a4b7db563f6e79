"""Dialects: is every name that people use read as its canonical one?"""

from typing import Any

import pytest

from segue_language.aliases import LLM_FIELDS, NESTED_ALIASES, STEP_ALIASES, WORKFLOW_ALIASES
from segue_language.dialects import to_canonical
from segue_language.parse import parse

STEP_VALUES: dict[str, object] = {
    "key": "scan",
    "agent": "security",
    "with": {"depth": 3},
    "dependsOn": ["first"],
    "when": "true",
    "timeout": 5_000,
    "continueOnError": True,
    "outputSchema": {"type": "object"},
    "forEach": [1],
}


def first_step(**fields: object) -> Any:
    """Translate a workflow with one step and return the step."""
    return steps([{"key": "scan", **fields}])[0]


def steps(listed: list[dict[str, object]], **fields: object) -> Any:
    """Translate a workflow and return its steps."""
    value: Any = to_canonical({"name": "review", "steps": listed, **fields}).value
    return value["steps"]


@pytest.mark.parametrize(("alias", "name"), sorted(STEP_ALIASES.items()))
def test_an_alias_of_a_steps_field_is_read_as_it(alias: str, name: str) -> None:
    """Each row of the table for steps holds."""
    document: Any = to_canonical({"steps": [{alias: STEP_VALUES[name]}]}).value
    assert document["steps"][0] == {name: STEP_VALUES[name]}


@pytest.mark.parametrize(("alias", "name"), sorted(WORKFLOW_ALIASES.items()))
def test_an_alias_of_a_workflows_field_is_read_as_it(alias: str, name: str) -> None:
    """Each row of the table for workflows holds."""
    assert to_canonical({alias: {"a": 1}}).value == {name: {"a": 1}}


@pytest.mark.parametrize(
    ("field", "alias", "name"),
    [
        (field, alias, name)
        for field, aliases in NESTED_ALIASES.items()
        for alias, name in aliases.items()
    ],
)
def test_an_alias_within_a_part_of_a_step_is_read_as_it(field: str, alias: str, name: str) -> None:
    """Each row of the tables for maps, timeouts and undoing holds."""
    assert first_step(**{field: {alias: "x"}})[field] == {name: "x"}


def test_undoing_is_repeated_in_every_dialect() -> None:
    """What says how often to repeat is gathered there, too."""
    assert first_step(compensate={"retries": 2})["compensate"] == {"retry": {"maxAttempts": 3}}


@pytest.mark.parametrize("alias", ["id", "workflow_id", "workflowId"])
def test_an_identifier_is_the_workflows_name(alias: str) -> None:
    """Machines name a workflow by its identifier."""
    assert to_canonical({alias: "review"}).value == {"name": "review"}


def test_a_name_beside_an_identifier_is_the_title() -> None:
    """The identifier names the workflow, the other name is for people."""
    expected = {"name": "review", "title": "Code review"}
    assert to_canonical({"id": "review", "name": "Code review"}).value == expected


def test_a_name_equal_to_the_identifier_is_no_title() -> None:
    """Saying it twice says it once."""
    assert to_canonical({"id": "review", "name": "review"}).value == {"name": "review"}


@pytest.mark.parametrize("wrapper", ["workflow", "definition"])
def test_a_wrapped_workflow_is_unwrapped(wrapper: str) -> None:
    """What stands beside the wrapper belongs to the workflow too."""
    document = {"version": 2, wrapper: {"name": "review", "steps": []}}
    assert to_canonical(document).value == {"name": "review", "steps": [], "version": "2"}


def test_a_dependency_as_text_is_a_list_of_one() -> None:
    """`dependsOn: scan` means one step."""
    assert first_step(dependsOn="first")["dependsOn"] == ["first"]


def test_retries_count_what_follows_the_first_attempt() -> None:
    """Two retries are three attempts."""
    assert first_step(retries=2)["retry"] == {"maxAttempts": 3}


def test_a_retry_policy_is_a_retry() -> None:
    """Its delays are milliseconds, its multiplier the factor."""
    policy = {"maxRetries": 4, "retryDelayMs": 500, "retryBackoffMultiplier": 1.5}
    expected = {"maxAttempts": 5, "delay": 500, "factor": 1.5}
    assert first_step(retryPolicy=policy)["retry"] == expected


def test_retries_in_a_config_are_a_retry() -> None:
    """Only `maxRetries` is read from a config."""
    assert first_step(config={"maxRetries": 1})["retry"] == {"maxAttempts": 2}


def test_a_workflows_retries_are_its_steps_default() -> None:
    """The same names hold on the workflow."""
    assert to_canonical({"retries": 1}).value == {"retry": {"maxAttempts": 2}}


def test_other_fields_of_a_config_are_problems() -> None:
    """Nothing in a config is silently ignored."""
    text = "name: x\nsteps:\n- key: a\n  agent: b\n  config: {maxRetries: 1, speed: 9}\n"
    rendered = [problem.render() for problem in parse(text).problems]
    assert rendered == ["<definition>:5:27: unknown field 'config.speed'"]


def test_a_config_that_is_no_mapping_is_a_problem() -> None:
    """A config holds settings."""
    text = "name: x\nsteps:\n- key: a\n  agent: b\n  config: fast\n"
    assert parse(text).problems[0].render() == "<definition>:5:3: unknown field 'config'"


@pytest.mark.parametrize("alias", ["next_step", "nextStep"])
def test_an_edge_forward_is_a_dependency_of_the_next_step(alias: str) -> None:
    """The step that is led to waits for the one that leads there."""
    listed: list[dict[str, object]] = [
        {"key": "a", alias: "c"},
        {"key": "b", alias: None},
        {"key": "c", "needs": ["b"]},
    ]
    assert [step.get("dependsOn") for step in steps(listed)] == [None, None, ["b", "a"]]


def test_an_edge_forward_can_lead_to_several_steps() -> None:
    """A list fans out."""
    listed: list[dict[str, object]] = [
        {"key": "a", "next_step": ["b", "c"]},
        {"key": "b"},
        {"key": "c"},
    ]
    assert [step.get("dependsOn") for step in steps(listed)] == [None, ["a"], ["a"]]


def test_an_edge_to_nowhere_is_a_problem_where_it_stands() -> None:
    """The suggestion is the step that was meant."""
    text = "name: x\nsteps:\n- {key: a, agent: x, next_step: [reprot]}\n- {key: report, agent: x}\n"
    expected = "<definition>:3:34: unknown step 'reprot' (did you mean 'report'?)"
    assert [problem.render() for problem in parse(text).problems] == [expected]


def test_a_workflow_that_is_not_parallel_chains_its_steps() -> None:
    """Each step follows the one before, unless it says otherwise."""
    listed: list[dict[str, object]] = [{"key": "a"}, {"key": "b"}, {"key": "c", "needs": ["a"]}]
    listed += [{"key": "d", "dependsOn": []}, {"key": "e"}]
    chained = [step.get("dependsOn") for step in steps(listed, parallel=False)]
    assert chained == [None, ["a"], ["a"], [], ["d"]]


def test_a_parallel_workflow_chains_nothing() -> None:
    """That is how steps are anyway."""
    assert steps([{"key": "a"}, {"key": "b"}], parallel=True) == [{"key": "a"}, {"key": "b"}]


def test_parallel_that_is_neither_true_nor_false_is_a_problem() -> None:
    """It is a switch."""
    text = "name: x\nparallel: 3\nsteps:\n- {key: a, agent: x}\n"
    expected = "<definition>:2:11: 'parallel' must be true or false"
    assert [problem.render() for problem in parse(text).problems] == [expected]


@pytest.mark.parametrize("field", ["type", "step_type", "stepType"])
def test_a_step_of_type_openai_is_a_call_of_a_model(field: str) -> None:
    """What the call needs is taken from the parameters; the rest fills the placeholders."""
    step = first_step(**{field: "openai", "params": {"prompt": "Review {code}", "code": "x"}})
    assert step == {"key": "scan", "with": {"code": "x"}, "llm": {"prompt": "Review {code}"}}


@pytest.mark.parametrize(("alias", "name"), sorted(LLM_FIELDS.items()))
def test_a_model_call_may_hold_its_fields_in_the_step(alias: str, name: str) -> None:
    """Each row of the table for calls holds."""
    assert first_step(**{"type": "openai", alias: "x"})["llm"] == {name: "x"}


@pytest.mark.parametrize("connector", ["github", "notion", "gmail"])
def test_a_step_of_a_connectors_type_uses_it(connector: str) -> None:
    """The action completes the name."""
    step = first_step(type=connector, action="create")
    assert step == {"key": "scan", "uses": f"{connector}.create"}


def test_an_action_may_name_its_connector_already() -> None:
    """The connector stands once in the name."""
    assert first_step(type="github", action="github.create")["uses"] == "github.create"


def test_a_type_that_repeats_the_kind_says_nothing_new() -> None:
    """`type: agent` beside `agent` is fine."""
    assert first_step(type="agent", agent="security") == {"key": "scan", "agent": "security"}


@pytest.mark.parametrize(
    ("step", "rendered"),
    [
        ("type: github", "3:18: a step of type 'github' says in 'action' what it does"),
        ("type: agent", "3:18: a step of type 'agent' says in 'agent' which one"),
        ("type: opnai", "3:18: unknown type 'opnai' (did you mean 'openai'?)"),
        ("type: 3", "3:18: unknown type '3'"),
    ],
)
def test_a_type_that_says_too_little_is_one_problem(step: str, rendered: str) -> None:
    """The step's missing kind is not reported twice."""
    text = f"name: x\nsteps:\n- {{key: a, {step}}}\n"
    found = [problem.render() for problem in parse(text).problems]
    assert found == [f"<definition>:{rendered}"]


@pytest.mark.parametrize(
    ("fields", "rendered"),
    [
        (
            {"agent": "a", "gpt": "b"},
            "'gpt' and 'agent' mean the same and differ; keep one",
        ),
        (
            {"agent": "a", "retries": 1, "config": {"maxRetries": 2}},
            "'config.maxRetries' and 'retries' mean the same and differ; keep one",
        ),
        (
            {"agent": "a", "retry": {"maxAttempts": 1}, "retryPolicy": {"maxRetries": 2}},
            "'retryPolicy.maxRetries' and 'retry.maxAttempts' mean the same and differ; keep one",
        ),
    ],
)
def test_an_alias_that_contradicts_its_canonical_name_is_a_problem(
    fields: dict[str, object], rendered: str
) -> None:
    """There is no silent choice."""
    found = to_canonical({"name": "x", "steps": [{"key": "k", **fields}]}).findings
    assert [(finding.code, finding.message) for finding in found] == [("conflict", rendered)]


def test_a_wrapper_that_contradicts_what_is_inside_is_a_problem() -> None:
    """The names are those the author sees."""
    found = to_canonical({"name": "a", "workflow": {"name": "b", "steps": []}}).findings
    assert [finding.code for finding in found] == ["conflict"]


def test_an_alias_that_says_the_same_is_fine() -> None:
    """Saying it twice says it once."""
    canonical = to_canonical({"steps": [{"key": "k", "agent": "a", "gpt": "a"}]})
    assert canonical.findings == []


def test_a_faulty_value_under_an_alias_is_named_by_the_alias() -> None:
    """Position and name are those of the text."""
    text = "name: x\nsteps:\n- id: a\n  gpt: x\n  timeoutMs: soon\n  retries: many\n"
    assert [problem.render() for problem in parse(text).problems] == [
        (
            "<definition>:5:14: 'timeoutMs' is wrong: 'soon' is no duration: "
            "write it like 250ms, 30s, 5m or 1h30m"
        ),
        "<definition>:6:12: 'retries' must be a whole number, not text",
    ]


def test_a_retry_policy_that_is_no_mapping_is_named_by_its_alias() -> None:
    """It is passed on to be refused, not dropped."""
    text = "name: x\nsteps:\n- {id: a, gpt: x, retryPolicy: often}\n"
    expected = "<definition>:3:32: 'retryPolicy' must be a mapping, not text"
    assert [problem.render() for problem in parse(text).problems] == [expected]


def test_a_whole_file_in_a_dialect_is_a_workflow() -> None:
    """The names of the dialects work together."""
    parsed = parse(
        """
        {"workflow": {
          "id": "review", "name": "Code review", "parallel": false,
          "variables": {"repository": "."},
          "steps": [
            {"stepId": "scan", "gpt": "security", "params": {"path": "{{repository}}"}},
            {"stepId": "sum-up", "type": "openai", "prompt": "Sum up {{scan.findings}}",
             "retryPolicy": {"maxRetries": 2, "retryDelayMs": 100}, "timeout": 30000},
            {"stepId": "post", "type": "github", "action": "comment", "optional": true,
             "condition": "{{sum-up.text}} != ''", "params": {"body": "{{sum-up}}"},
             "dependencies": ["sum-up"]}
          ]}}
        """
    )
    assert parsed.problems == ()
    assert parsed.workflow is not None
    assert [step.kind for step in parsed.workflow.steps] == ["agent", "llm", "uses"]
    assert [step.depends_on for step in parsed.workflow.steps] == [(), ("scan",), ("sum-up",)]
