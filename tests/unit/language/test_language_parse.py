"""Parsing: is everything that is wrong named at once, at its exact place, with the way out?"""

import json
import time
from collections.abc import Collection, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue_language.models import MAX_STEPS
from segue_language.parse import MAX_PROBLEMS, parse, parse_bytes

GOOD = """\
name: review
inputs:
  repository: {type: string}
  depth: 3
steps:
  - key: scan
    agent: security
    with: {path: "{{ inputs.repository }}"}
  - key: report
    llm: {prompt: "Sum up {{scan.findings}} for {audience}"}
    with: {audience: "{{ scan.owner }}"}
    dependsOn: [scan]
    when: scan.findings
outputs: {text: "{{ report }}"}
"""


def rendered(
    text: str,
    *,
    known_agents: Collection[str] | None = None,
    inputs: Mapping[str, object] | None = None,
) -> list[str]:
    """Return the problems as people read them, without the file's name."""
    parsed = parse(text, file="f", known_agents=known_agents, inputs=inputs)
    assert (parsed.workflow is None) == bool(parsed.problems)
    return [problem.render().removeprefix("f:") for problem in parsed.problems]


def step(fields: str, before: str = "") -> str:
    """Write a workflow whose last step stands on line 4 and has these fields."""
    return f"name: x\ninputs: {{given: 1}}\nsteps: [{before}\n{{key: last, {fields}}}]\n"


def test_a_good_definition_is_a_workflow() -> None:
    """Nothing is wrong with it, so it has no problems."""
    parsed = parse(GOOD)
    assert parsed.problems == ()
    assert parsed.workflow is not None
    assert [each.key for each in parsed.workflow.steps] == ["scan", "report"]


def test_yaml_and_json_give_the_same_workflow() -> None:
    """The notation makes no difference."""
    workflow = parse(GOOD).workflow
    assert workflow is not None
    as_json = json.dumps(workflow.model_dump(mode="json", by_alias=True, exclude_defaults=True))
    assert parse(as_json).workflow == workflow


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "1:1: the document is empty"),
        ("# nothing\n", "1:1: the document is empty"),
        ("- a\n", "1:1: a workflow is a mapping with 'name' and 'steps'"),
        ("hello", "1:1: a workflow is a mapping with 'name' and 'steps'"),
        ("[]", "1:1: a workflow is a mapping with 'name' and 'steps'"),
        (
            "name: x\n  steps: []\n",
            "2:8: mapping values are not allowed here; put text that holds ': ' in quotes",
        ),
        ('{"name": "x",\n "steps": [}', "2:12: expected a value"),
        ('{"name": "x"\n "steps": []}', "2:2: expected ',' or '}'"),
        (
            "name: x\nname: y\nsteps: [{key: a, agent: b}]\n",
            "2:1: 'name' stands here again, first on line 1",
        ),
        (
            '{"name": "x", "name": "y", "steps": [{"key": "a", "agent": "b"}]}',
            "1:15: 'name' stands here again, first on line 1",
        ),
        ("steps: [{key: a, agent: b}]\n", "1:1: the workflow has no 'name'"),
        ("name: x\n", "1:1: the workflow has no 'steps'"),
        ("name: x\nsteps: []\n", "2:8: 'steps' must hold 1 to 10,000 steps"),
        ("name: x\nsteps: {a: 1}\n", "2:8: 'steps' must be a list, not a mapping"),
        ("name: [x]\nsteps: [{key: a, agent: b}]\n", "1:7: 'name' must be text, not a list"),
        (
            "name: x\nversion: 1.10\nsteps: [{key: a, agent: b}]\n",
            "2:10: 'version' must be text, not a number",
        ),
        (
            "name: x\nstesp: 1\nsteps: [{key: a, agent: b}]\n",
            "2:1: unknown field 'stesp' (did you mean 'steps'?)",
        ),
        (
            "name: x\nlabels: {team: 3}\nsteps: [{key: a, agent: b}]\n",
            "2:16: 'labels.team' must be text, not a number",
        ),
        (
            "name: x\nbudget: {usd: -1, onExceed: pasue}\nsteps: [{key: a, agent: b}]\n",
            "2:15: 'budget.usd' must be greater than 0",
        ),
        ("name: ''\nsteps: [{key: a, agent: b}]\n", "1:7: 'name' must have 1 to 128 characters"),
        ('name: "a\\tb"\nsteps: [{key: a, agent: b}]\n', "1:7: 'name' holds a control character"),
        (
            "name: x\ninputs: [a]\nsteps: [{key: a, agent: b}]\n",
            "2:9: 'inputs' must be a mapping, not a list",
        ),
        (
            "name: x\ninputs: {a: {type: text}}\nsteps: [{key: a, agent: b}]\n",
            (
                "2:20: 'inputs.a.type' must be one of "
                "string, number, integer, boolean, array, object, any"
            ),
        ),
        (
            "name: x\ninputs: {a: {type: string, defualt: 1}}\nsteps: [{key: a, agent: b}]\n",
            "2:28: unknown field 'defualt' (did you mean 'default'?)",
        ),
        (
            "name: x\ninputs: {a: {type: integer, default: b}}\nsteps: [{key: a, agent: b}]\n",
            "2:13: 'inputs.a' - the default is no integer",
        ),
        (
            "name: x\nconcurrency: {limit: 1}\nsteps: [{key: a, agent: b}]\n",
            "2:14: 'concurrency' has no 'key'",
        ),
        ("name: x\nsteps:\n  - agent: b\n", "3:5: the step has no 'key'"),
        ("name: x\nsteps:\n  - hello\n", "3:5: a step must be a mapping, not text"),
        ("name: x\nsteps:\n  -\n", "3:4: a step must be a mapping, not nothing"),
    ],
)
def test_a_wrong_document_is_named_at_its_place(text: str, problem: str) -> None:
    """Line, column and sentence are exact."""
    assert problem in rendered(text)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ("agnet: x", "4:13: unknown field 'agnet' (did you mean 'agent'?)"),
        ("agent: x, timout: 5s", "4:23: unknown field 'timout' (did you mean 'timeout'?)"),
        ("agent: x, paramters: {}", "4:23: unknown field 'paramters' (did you mean 'parameters'?)"),
        ("agent: x, qqq: 1", "4:23: unknown field 'qqq'"),
        ("agent: 3", "4:20: 'agent' must be text, not a number"),
        ("agent: ''", "4:20: 'agent' must not be empty"),
        ("agent: true", "4:20: 'agent' must be text, not true"),
        (
            "agent: x, timeout: 5 minutes",
            (
                "4:32: 'timeout' is wrong: '5 minutes' is no duration: "
                "write it like 250ms, 30s, 5m or 1h30m"
            ),
        ),
        ("agent: x, timeout: 0", "4:32: 'timeout' must be greater than 0"),
        (
            "agent: x, timeout: [1]",
            "4:32: 'timeout' is wrong: this is no duration: write it like 250ms, 30s, 5m or 1h30m",
        ),
        (
            "agent: x, retry: {maxAttempts: 0}",
            "4:44: 'retry.maxAttempts' must be greater than or equal to 1",
        ),
        (
            "agent: x, retry: {maxAttempts: '3'}",
            "4:44: 'retry.maxAttempts' must be a whole number, not text",
        ),
        ("agent: x, retry: {dely: 1s}", "4:31: unknown field 'dely' (did you mean 'delay'?)"),
        (
            "agent: x, retry: {nonRetryable: timeout}",
            "4:45: 'retry.nonRetryable' must be a list, not text",
        ),
        (
            "agent: x, continueOnError: 'yes'",
            "4:40: 'continueOnError' must be true or false, not text",
        ),
        ("agent: x, priority: p9", "4:33: 'priority' must be one of p0, p1, p2, p3"),
        ("agent: x, with: [1]", "4:29: 'with' must be a mapping, not a list"),
        ("agent: x, dependsOn: {a: 1}", "4:34: 'dependsOn' must be a list, not a mapping"),
        ("agent: x, dependsOn: [3]", "4:35: 'dependsOn.0' must be text, not a number"),
        ("llm: {}", "4:18: 'llm' has no 'prompt'"),
        (
            "llm: {prompt: x, responseType: xml}",
            "4:44: 'llm.responseType' must be one of text, json",
        ),
        ("uses: github", "4:19: 'uses' must be '<connector>.<action>'"),
        (
            "pool: GPU",
            (
                "4:19: 'pool' must be 1 to 64 of a-z, 0-9, '_' and '-', "
                "and begin with a letter or digit"
            ),
        ),
        ("pool: agents", "4:19: the pool 'agents' is built in; choose another name"),
        (
            "wait: {duration: 1s, signal: x}",
            "4:19: 'wait' - a wait has exactly one of 'duration', 'until', 'signal' and 'event'",
        ),
        (
            "name: only a name",
            (
                "4:1: the step does not say what it does; give it one of agent, llm, "
                "pool, uses, workflow, wait, approval, fleet"
            ),
        ),
        ("agent: x, pool: y", "4:23: 'pool' beside 'agent': a step has exactly one kind"),
        (
            "llm: {prompt: x}, action: y",
            "4:31: 'action' goes with 'agent' or 'pool', not with 'llm'",
        ),
        ("pool: y, model: z", "4:22: 'model' goes with 'agent', not with 'pool'"),
    ],
)
def test_a_wrong_field_of_a_step_is_named_at_its_place(fields: str, problem: str) -> None:
    """Line, column and sentence are exact."""
    assert problem in rendered(step(fields))


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ("dependsOn: [scna]", "4:35: unknown step 'scna' (did you mean 'scan'?)"),
        ("dependsOn: [scan, last]", "4:41: step 'last' depends on itself"),
        (
            "with: {a: '{{ scan.x }}'}",
            "4:33: 'scan' may not have run before 'last'; add it to 'dependsOn'",
        ),
        ("when: scan.x", "4:29: 'scan' may not have run before 'last'; add it to 'dependsOn'"),
        ("with: {a: '{{ last.x }}'}", "4:33: step 'last' uses its own output"),
        (
            "with: {a: [1, '{{ inputs.gven }}']}",
            "4:37: 'inputs.gven': unknown input 'gven' (did you mean 'given'?)",
        ),
        (
            "with: {a: '{{ gven }}'}",
            "4:33: 'gven': 'gven' is neither a step nor an input (did you mean 'given'?)",
        ),
        (
            "with: {a: '{{ scna.x }}'}",
            "4:33: 'scna.x': 'scna' is neither a step nor an input (did you mean 'scan'?)",
        ),
        (
            "with: {a: '{{ steps.scna.output }}'}",
            "4:33: 'steps.scna.output': unknown step 'scna' (did you mean 'scan'?)",
        ),
        (
            "dependsOn: [scan], with: {a: '{{ steps.scan.x }}'}",
            (
                "4:52: 'steps.scan.x': a step has its 'output', 'status' and 'error' only, "
                "as in steps.scan.output"
            ),
        ),
        (
            "with: {a: '{{ steps[given] }}'}",
            "4:33: 'steps': name the step, as in steps.<key>.output",
        ),
        (
            "with: {a: '{{ given '}",
            "4:33: unexpected end of template, expected end of the expression, in '{{ given '",
        ),
        (
            "with: {a: '{{ given | uper }}'}",
            "4:33: there is no filter 'uper'; did you mean 'upper'?, in '{{ given | uper }}'",
        ),
        ("when: 'given =='", "4:29: unexpected end of the expression, in 'given =='"),
        (
            "compensate: {pool: p, with: {a: '{{ nope }}'}}",
            "4:55: 'nope': 'nope' is neither a step nor an input",
        ),
        ("forEach: '{{ nope }}'", "4:32: 'nope': 'nope' is neither a step nor an input"),
    ],
)
def test_what_does_not_fit_together_is_named_at_its_place(fields: str, problem: str) -> None:
    """Dependencies and templates are checked against the steps and inputs there are."""
    assert rendered(step(f"agent: x, {fields}", before="{key: scan, agent: x},")) == [problem]


@pytest.mark.parametrize(
    ("before", "fields"),
    [
        ("{key: scan, agent: x},", "dependsOn: [scan], with: {a: '{{ scan.x }} {{ given }}'}"),
        (
            "{key: a, agent: x}, {key: b, agent: x, dependsOn: [a]},",
            "dependsOn: [b], with: {x: '{{ a }}'}",
        ),
        ("", "forEach: [1], with: {x: '{{ item }} {{ index }}'}"),
        ("", "compensate: {pool: p, with: {x: '{{ last.id }}'}}"),
        ("", "with: {x: '{{ given-1 }}'}"),
    ],
)
def test_templates_over_what_is_upstream_are_fine(before: str, fields: str) -> None:
    """Directly or not; a map's items and, to undo it, a step's own output are there too."""
    assert rendered(step(f"agent: x, {fields}", before=before)) == []


def test_a_repeated_step_key_is_named_where_it_repeats() -> None:
    """Keys name steps."""
    found = rendered(step("agent: x", before="{key: last, agent: x},"))
    assert found == ["4:7: another step has the key 'last' already"]


def test_a_key_that_is_too_long_for_a_subject_is_refused() -> None:
    """Special characters take more room in subjects."""
    text = f"name: x\nsteps: [{{key: {'é' * 100}, agent: x}}]\n"
    expected = "2:15: 'key' is too long for a subject; use fewer special characters"
    assert rendered(text) == [expected]


def test_a_cycle_is_named_with_its_path() -> None:
    """It stands at the dependency with which it begins."""
    before = "{key: a, agent: x, dependsOn: [c]}, {key: b, agent: x, dependsOn: [a]},"
    before += "{key: c, agent: x, dependsOn: [b]},"
    found = rendered(step("agent: x", before=before))
    assert found == ["3:40: the steps depend on each other: a -> c -> b -> a"]


def test_an_unknown_agent_is_named_when_the_agents_are_known() -> None:
    """Without a list, any name is accepted."""
    text = step("agent: securty")
    assert rendered(text) == []
    expected = ["4:20: unknown agent 'securty' (did you mean 'security'?)"]
    assert rendered(text, known_agents=["security", "writer"]) == expected


def test_the_inputs_of_a_run_are_checked_when_given() -> None:
    """Missing, undeclared and of another type; defaults and nulls are fine."""
    text = (
        "name: x\ninputs:\n  a: {type: string}\n  b: {type: integer}\n  c: 1\n"
        "  d: {required: true}\nsteps: [{key: k, agent: x}]\n"
    )
    assert rendered(text) == []
    assert rendered(text, inputs={"a": "x", "b": 1, "d": None}) == []
    assert rendered(text, inputs={"b": True, "ca": 1, "d": 1}) == [
        "3:3: the workflow declares no input 'ca' (did you mean 'c'?)",
        "3:6: the run needs a value for the input 'a'",
        "4:6: the run's value for 'b' must be of type integer",
    ]


def test_inputs_that_no_workflow_declares_are_named() -> None:
    """The document's start stands for what is not there."""
    found = rendered("name: x\nsteps: [{key: k, agent: x}]\n", inputs={"a": 1})
    assert found == ["1:1: the workflow declares no input 'a'"]


def test_results_and_concurrency_keys_are_checked() -> None:
    """Results see all steps, a concurrency key only inputs."""
    text = (
        "name: x\nsteps: [{key: k, agent: x}]\n"
        "outputs: {a: '{{ k.x }}', b: '{{ z }}', c: '{{ k'}\n"
        "concurrency: {key: '{{ k }}{{ y }}', limit: 1}\n"
    )
    assert rendered(text) == [
        "3:30: 'z': 'z' is neither a step nor an input",
        "3:44: unexpected end of template, expected end of the expression, in '{{ k'",
        "4:20: a key can use inputs only: no step has run yet",
        "4:20: 'y': 'y' is neither a step nor an input",
    ]


def test_a_concurrency_key_with_wrong_syntax_is_named() -> None:
    """Its template is checked like any other."""
    text = "name: x\nsteps: [{key: k, agent: x}]\nconcurrency: {key: '{{ k', limit: 1}\n"
    assert [problem[:5] for problem in rendered(text)] == ["3:20:"]


def test_everything_that_is_wrong_is_named_at_once_in_the_texts_order() -> None:
    """One faulty field hides nothing else."""
    text = (
        "name: x\nfoo: 1\nsteps:\n- key: a\n  agent: 3\n  timout: 1\n  dependsOn: [b]\n"
        "- key: b\n  pool: p\n  dependsOn: [a, zz]\n  with: {q: '{{ nope }}', q: 1}\n"
        "- nothing\n"
    )
    found = rendered(text)
    assert [problem.split(" ")[0] for problem in found] == [
        "2:1:",
        "5:10:",
        "6:3:",
        "7:15:",
        "10:18:",
        "11:27:",
        "12:3:",
    ]
    assert found[3] == "7:15: the steps depend on each other: a -> b -> a"


def test_problems_in_json_stand_where_json_has_them() -> None:
    """A text that reads well is read again when something in it is wrong."""
    text = '{\n  "name": "x",\n  "steps": [\n    {"key": "a", "agnt": "x", "agent": "y"}\n  ]\n}\n'
    problem = parse(text).problems[0]
    assert (problem.line, problem.column, problem.pointer) == (4, 18, "/steps/0/agnt")


@pytest.mark.parametrize(
    ("file", "problems"), [("x.json", 1), ("x.yaml", 0), ("x.yml", 0), ("x", 1)]
)
def test_the_files_name_decides_how_it_is_read(file: str, problems: int) -> None:
    """YAML allows a comma at the end, JSON does not."""
    text = '{"name": "x", "steps": [{"key": "a", "agent": "b"},]}'
    assert len(parse(text, file=file).problems) == problems


def test_a_flow_mapping_without_quotes_is_yaml() -> None:
    """Braces alone make no JSON."""
    assert parse("{name: x, steps: [{key: a, agent: b}]}").problems == ()


def test_a_json_file_is_json_whatever_it_holds() -> None:
    """A YAML text in it is refused where JSON stops."""
    assert parse("name: x", file="x.json").problems[0].code == "invalid_json"


def test_a_byte_order_mark_is_no_content() -> None:
    """Some editors write one."""
    assert parse("\ufeff" + GOOD).problems == ()
    assert parse_bytes(b"\xef\xbb\xbf" + GOOD.encode()).problems == ()


def test_bytes_that_are_no_utf_8_are_a_problem_where_they_stand() -> None:
    """The way out is in the message."""
    problem = parse_bytes("name: é\nsteps: ü".encode() + b"\xff", file="f").problems[0]
    expected = "f:2:9: the byte 0xff is no UTF-8; save the file as UTF-8"
    assert problem.render() == expected


def test_half_a_character_is_a_problem_where_it_stands() -> None:
    """Text from outside may be no text."""
    problem = parse("name: x\nsteps: \ud800").problems[0]
    assert (problem.line, problem.column, problem.code) == (2, 8, "invalid_text")


def test_a_definition_has_at_most_one_mebibyte() -> None:
    """Bytes count, not characters."""
    assert parse("#" + "é" * 600_000).problems[0].code == "too_large"
    assert parse("#" + "e" * 600_000).problems[0].code == "empty"


def test_a_workflow_has_a_bounded_number_of_steps() -> None:
    """More are one problem, not ten thousand."""
    listed = ",".join(['{"key":"a","agent":"b"}'] * (MAX_STEPS + 1))
    problems = parse(f'{{"name":"x","steps":[{listed}]}}').problems
    assert [problem.code for problem in problems] == ["too_many_steps"]


def test_many_problems_are_cut_with_a_count() -> None:
    """A reply has to fit into a message."""
    listed = ",".join(f'{{"key":"k{number}","agnet":"b"}}' for number in range(400))
    problems = parse(f'{{"name":"x","steps":[{listed}]}}').problems
    assert len(problems) == MAX_PROBLEMS + 1
    assert problems[-1].message == "300 more problems follow"


def test_what_the_engine_cannot_run_is_a_problem_at_its_place() -> None:
    """Nothing is accepted and then ignored."""
    supported = frozenset({"agent", "when"})
    problem = parse(step("agent: x, when: given, timeout: 5s"), supported=supported).problems[0]
    expected = "<definition>:4:36: 'timeout' is valid, but this engine cannot run it yet"
    assert problem.render() == expected


def test_an_alias_the_engine_cannot_run_is_named_where_it_stands() -> None:
    """The position is that of the author's name for it."""
    problem = parse(step("gpt: x, timeoutMs: 5"), supported=frozenset({"agent"})).problems[0]
    assert (problem.line, problem.column, problem.code) == (4, 21, "unsupported")


@given(st.text())
def test_any_text_is_parsed_or_refused(text: str) -> None:
    """Parsing never raises, whatever it is given."""
    for file in ("x", "x.json", "x.yaml"):
        parsed = parse(text, file=file, known_agents=[], inputs={})
        assert (parsed.workflow is None) == bool(parsed.problems)


@given(st.binary())
def test_any_bytes_are_parsed_or_refused(data: bytes) -> None:
    """Not even for bytes."""
    parsed = parse_bytes(data)
    assert (parsed.workflow is None) == bool(parsed.problems)


fields = st.sampled_from(
    [
        *("name", "id", "steps", "inputs", "key", "agent", "llm", "pool", "uses", "wait", "type"),
        *("with", "params", "dependsOn", "needs", "next_step", "parallel", "retry", "retries"),
        *("retryPolicy", "config", "when", "timeout", "workflow", "outputs", "concurrency"),
    ]
)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.sampled_from(["a", "b", "openai", "github", "{{a}}", "{{ a.b", "{a}", "1s", "x.y"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(fields, inner, max_size=5),
    max_leaves=25,
)


@given(st.dictionaries(fields, values, max_size=6))
def test_any_document_of_the_languages_words_is_parsed_or_refused(document: object) -> None:
    """Fields of any form in any place are problems with positions, never failures."""
    parsed = parse(json.dumps(document), inputs={"a": 1}, supported=frozenset())
    assert (parsed.workflow is None) == bool(parsed.problems)
    assert all(problem.line > 0 and problem.column > 0 for problem in parsed.problems)


def test_the_largest_definitions_are_checked_in_seconds() -> None:
    """Suggestions, cycles and references stay affordable with thousands of steps."""
    steps = [
        {"key": f"s{n}", "agent": "a", "dependsOn": [f"s{n - 1}"], "when": f"s{n // 2}.x"}
        for n in range(1, 9_000)
    ]
    text = json.dumps({"name": "x", "steps": [{"key": "s0", "agent": "a"}, *steps]})
    begun = time.perf_counter()
    assert parse(text).problems == ()
    assert time.perf_counter() - begun < 20
