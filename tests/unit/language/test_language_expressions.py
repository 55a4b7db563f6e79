"""Expressions: do they give what people mean, with its type, and name what they use?"""

from collections.abc import Iterator, Mapping

import pytest

from segue_language.expressions import (
    ExpressionError,
    Scope,
    references,
    render,
    render_prompt,
    truthy,
)
from segue_language.paths import Reference
from segue_language.templates import Mode

SCOPE = Scope(
    inputs={"prompt": "hello", "count": 5, "flag": False, "nothing": None},
    outputs={
        "scan": {"severity": "high", "items": [1, 2, {"name": "z"}], "high-risk": True},
        "parse-changes": {"files": ["a.py", "b.py"], "count": 2},
        "generate-report": {"report": "R"},
        "my step": [1],
        "wrapped": {"output": {"x": 1}},
    },
)


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("{{ steps.scan.output.severity }}", "high"),
        ("{{ inputs.count }}", 5),
        ("{{inputs}}", SCOPE.inputs),
        ("{{scan.severity}}", "high"),
        ("{{scan}}", SCOPE.outputs["scan"]),
        ("{{scan_output}}", SCOPE.outputs["scan"]),
        ("{{scan_output.severity}}", "high"),
        ("{{scan.output.severity}}", "high"),
        ("{{wrapped.output}}", {"x": 1}),
        ("{{steps.wrapped.output.output.x}}", 1),
        ("{{prompt}}", "hello"),
        ("{{flag}}", False),
        ("{{nothing}}", None),
        ("{{parse-changes.files}}", ["a.py", "b.py"]),
        ("{{ parse-changes.files[1] }}", "b.py"),
        ("{{scan.items.2.name}}", "z"),
        ("{{scan.high-risk}}", True),
        ("{{steps.generate-report.output.report}}", "R"),
        ("{{ steps['my step'].output[0] }}", 1),
        ("\n  {{ count }}\n", 5),
        ("\n  {{ count + 1 }}\n", 6),
    ],
)
def test_a_path_is_looked_up_and_keeps_its_type(template: str, value: object) -> None:
    """Canonical names and short forms lead to the same values."""
    assert render(template, SCOPE) == value


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("{{ count > 3 and scan.severity == 'high' }}", True),
        ("{{ parse-changes.count * 2 }}", 4),
        ("{{ steps.generate-report.output.report | lower }}", "r"),
        ("{{ count-1 }}", 4),
        ("{{ count - 1 }}", 4),
        ("{{ scan.items | length }}", 3),
        ("{{ scan.items[1:] | list }}", [2, {"name": "z"}]),
        ("{{ scan.items[count - 4] }}", 2),
        ("{{ scan.missing | default('d') }}", "d"),
        ("{{ scan.missing is defined }}", False),
        ("{{ parse-changes.files[count] | default('none') }}", "none"),
        ("{{ ', '.join(parse-changes.files) }}", "a.py, b.py"),
        ("{{ parse-changes.files | join('; ') }}", "a.py; b.py"),
        ("{{ [{'n': 1}, {'n': 2}] | join('+', attribute='n') }}", "1+2"),
        ("{{ prompt.upper() }}", "HELLO"),
        ("{{ prompt.replace('l', 'L') }}", "heLLo"),
        ("{{ prompt | replace('l', 'L', 1) }}", "heLlo"),
        ("{{ prompt ~ count }}", "hello5"),
        ("{{ (1, 2) }}", [1, 2]),
        ("{{ {'a': count} }}", {"a": 5}),
        ("{{ scan.items | map('string') | list }}", ["1", "2", '{"name": "z"}']),
        ("{{ range(3) }}", [0, 1, 2]),
        (
            "{{ scan | tojson }}",
            '{"severity": "high", "items": [1, 2, {"name": "z"}], "high-risk": true}',
        ),
        ("{{ [0.1, 0.26] | map('round', 1) | list }}", [0.1, 0.3]),
        ("{{ [{'n': 1}, {'n': 2.5}] | sum(attribute='n') }}", 3.5),
        ("{{ 'a\nb' | indent(2, first=True) }}", "  a\n  b"),
        ("{{ [{'k': 'x', 'v': 1}] | groupby('k') | map(attribute='grouper') | list }}", ["x"]),
        ("{{ 'x' if flag else 'y' }}", "y"),
        ("{{ true }}", True),
        ("{{ 7 % 4 + 2 ** 3 }}", 11),
        ("{{ -count }}", -5),
    ],
)
def test_an_expression_is_computed_and_keeps_its_type(template: str, value: object) -> None:
    """Operators, filters and methods work on data."""
    assert render(template, SCOPE) == value


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("no braces", "no braces"),
        ("{not a path}", "{not a path}"),
        ("{{scan.severity}} for {{prompt}}", "high for hello"),
        (
            "is {{flag}}, {{nothing}}: {{parse-changes}}",
            'is false, null: {"files": ["a.py", "b.py"], "count": 2}',
        ),
        ("{{ scan.severity | upper }}!\n", "HIGH!\n"),
        ("have {{count-1}}", "have 4"),
        ("{% if flag %}a{% else %}b{% endif %}", "b"),
        (
            (
                "{% for f in parse-changes.files %}{{loop.index}}{{ f }}{{loop.cycle(',', '')}}"
                "{% endfor %}"
            ),
            "1a.py,2b.py",
        ),
        ("{% for n in [1, 2, 3] if n != 2 %}{{ n }}{% endfor %}", "13"),
        ("{% for k, v in {'a': 1}.items() %}{{ k }}={{ v }}{% endfor %}", "a=1"),
        ("{% for i in scan['items'][2:] %}{{ i.name }}{% endfor %}", "z"),
        (
            "{% for g in [{'k': 'x'}] | groupby('k') %}{{ g.grouper }}={{ g.list }}{% endfor %}",
            'x=[{"k": "x"}]',
        ),
        ("{% raw %}{{x}}{% endraw %}", "{{x}}"),
        ("a{# nothing #}b", "ab"),
    ],
)
def test_a_text_is_filled(template: str, text: str) -> None:
    """Text stands as it is, anything else as JSON."""
    assert render(template, SCOPE) == text


def test_a_value_is_filled_all_the_way_down() -> None:
    """Lists and mappings are walked; what is no text stays."""
    value = {"a": ["{{count}}", 3, None], "b": {"c": "{{prompt}}!"}, "t": ("{{flag}}",)}
    filled = {"a": [5, 3, None], "b": {"c": "hello!"}, "t": [False]}
    assert render(value, SCOPE) == filled


def test_what_a_template_gives_is_not_filled_again() -> None:
    """Data cannot become code."""
    scope = Scope({"x": "{{ y }}", "y": 1}, {})
    assert render("{{x}} and {{ x ~ '' }}", scope) == "{{ y }} and {{ y }}"
    assert render_prompt("{x}", scope) == "{{ y }}"


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{{ scan.nope }}", "'scan.nope' has no 'nope'; there is 'severity', 'items'"),
        ("{{ scan.items.9 }}", "has no '9'; the list there has 3 items"),
        ("{{ prompt.x }}", "has no 'x'; the value there holds no others"),
        ("{{ nope }}", "'nope' is neither a step with an output nor an input"),
        ("{{ no-such.x }}", "'no-such' is neither a step with an output nor an input"),
        ("{{ nope | upper }}", "'nope' is neither a step with an output nor an input"),
        ("{{ steps.nope.output }}", "there is an output of 'scan', 'parse-changes'"),
        (
            "{{ steps.scan.severity }}",
            "a step has its 'output', 'status' and 'error' only, as in steps.scan.output",
        ),
        ("{{ steps }}", "there is an output of"),
        ("{{ inputs.nope }}", "there is input 'prompt', 'count', 'flag', 'nothing'"),
        ("{{ 1 / 0 }}", "division by zero"),
        ("{{ 'a' + 1 }}", "can only concatenate str"),
        ("{{ scan.severity", "unexpected end of template"),
        ("{{ scan | nope }}", "there is no filter 'nope'"),
        ("{{ scan | lenght }}", "there is no filter 'lenght'; did you mean 'length'?"),
        ("{{ scan is nope }}", "there is no test 'nope'"),
        ("{{ prompt.uper() }}", "there is no method 'uper'; did you mean 'upper'?"),
        ("{{ prompt.upper ~ '' }}", "has no 'upper'"),
        ("{{ [].index }}", "which is no JSON value"),
        ("{{ {1: 2} }}", "a mapping's names must be text"),
        ("{{ [1] | join(attribute='a') }}", "there is no 'a' to join"),
        ("{{ 5 | join }}", "a list was expected"),
        ("{{ [1, 'a'] | sum }}", "sum() takes numbers"),
        ("{{ 1e308 * 10 }}", "the result is no finite number"),
        ("{{ (-8) ** 0.5 }}", "the result is no real number"),
        ("{{ 'a' ** 2 }}", "'**' takes numbers"),
    ],
)
def test_an_expression_that_leads_to_nothing_says_why(template: str, reason: str) -> None:
    """The error holds the expression and the reason."""
    with pytest.raises(ExpressionError) as caught:
        render(template, SCOPE)
    assert reason in caught.value.reason
    assert template[:20] in str(caught.value)


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("scan.severity == 'high'", True),
        ("{{ scan.severity == 'high' }}", True),
        ("{{scan.severity}} == 'high'", True),
        ("'{{scan.severity}}' == 'high'", True),
        ('"{{scan.severity}}" != "high"', False),
        ("{{ parse-changes.count }} > 5 and not {{flag}}", False),
        ("parse-changes.count > 1", True),
        ("parse-changes.files", True),
        ("{{flag}}", False),
        ("not flag", True),
        ("nothing", False),
        ("true", True),
        ("{{ 'false' }}", False),
        ("{{ 'False ' }}", False),
        ("{{ '' }}", False),
        ("{{ 'no' }}", True),
        ("count-5", False),
    ],
)
def test_a_condition_holds_with_or_without_braces(condition: str, holds: bool) -> None:  # noqa: FBT001 - a parameter of the table
    """The text `false` does not hold."""
    assert truthy(condition, SCOPE) is holds


@pytest.mark.parametrize(
    ("condition", "reason"),
    [
        ("'is {{prompt}}' == 'is hello'", "write the condition without braces"),
        ("{% if flag %}{{flag}}{% endif %}", "a condition is an expression"),
        ("scan.severity ==", "unexpected end of the expression"),
        ("nope", "neither a step with an output nor an input"),
    ],
)
def test_a_condition_that_is_no_expression_says_why(condition: str, reason: str) -> None:
    """A condition never holds by accident."""
    with pytest.raises(ExpressionError) as caught:
        truthy(condition, SCOPE)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("prompt", "text"),
    [
        ("Review {code} in {{scan.severity}}", "Review x = 1 in high"),
        ("{code}", "x = 1"),
        ("{prompt} {parse-changes.count}", "hello 2"),
        ('Answer {"a": {nope}} {unknown} {{code}}', 'Answer {"a": {nope}} {unknown} x = 1'),
        ("{% if flag %}no{% else %}{code} {nope}{% endif %}", "x = 1 {nope}"),
        ("{% raw %}{code}{% endraw %}", "{code}"),
        ("{{ parse-changes }}", '{"files": ["a.py", "b.py"], "count": 2}'),
    ],
)
def test_a_prompt_is_filled_with_its_placeholders(prompt: str, text: str) -> None:
    """A placeholder that names nothing stays, since prompts hold braces of their own."""
    scope = Scope(SCOPE.inputs, SCOPE.outputs, {"code": "x = 1"})
    assert render_prompt(prompt, scope) == text


def test_single_braces_are_text_outside_of_prompts() -> None:
    """Only prompts have placeholders."""
    assert render("{prompt}", SCOPE) == "{prompt}"


def test_the_values_of_a_step_come_before_steps_and_inputs() -> None:
    """What is nearest wins."""
    scope = Scope({"x": "input"}, {"x": "step"}, {"x": "value"})
    assert render("{{x}} {{steps.x.output}} {{inputs.x}}", scope) == "value step input"


class Offloaded(Exception):  # noqa: N818 - a request, no error
    """An output that is not there yet."""


class LazyOutputs(Mapping[str, object]):
    """Outputs of which one must be fetched first."""

    def __getitem__(self, key: str) -> object:
        raise Offloaded(key)

    def __iter__(self) -> Iterator[str]:
        return iter(("scan",))

    def __len__(self) -> int:
        return 1


@pytest.mark.parametrize("template", ["{{scan.x}}", "{{ scan.x | upper }}", "a {{scan.x}}"])
def test_what_the_scope_raises_passes_through(template: str) -> None:
    """Whoever fills templates can fetch an output and enter again."""
    with pytest.raises(Offloaded):
        render(template, Scope({}, LazyOutputs()))


@pytest.mark.parametrize(
    ("value", "mode", "steps", "inputs"),
    [
        ("{{ steps.scan.output.x }} {{inputs.count}}", "text", {"scan"}, {"count"}),
        ("{{scan}} {{scan_output}} {{prompt}}", "text", {"scan"}, {"prompt"}),
        ({"a": ["{{parse-changes.x}}"], "b": 3}, "text", {"parse-changes"}, set()),
        ("{{ count-1 }} {{ parse-changes.x-count | abs }}", "text", {"parse-changes"}, {"count"}),
        ("{% for s in scan.items %}{{ s.x }}{{ loop.index }}{% endfor %}", "text", {"scan"}, set()),
        (
            "{% for s in [1] if prompt %}{% else %}{{scan}}{% endfor %}",
            "text",
            {"scan"},
            {"prompt"},
        ),
        ("scan.x == '{{ prompt }}'", "text", set(), {"prompt"}),
        ("scan.x == prompt", "condition", {"scan"}, {"prompt"}),
        ("'{{scan.x}}' == prompt", "condition", {"scan"}, {"prompt"}),
        ("{prompt} {unknown} {scan.x}", "prompt", {"scan"}, {"prompt"}),
        ("{% if 1 %}{prompt}{% endif %}", "prompt", set(), {"prompt"}),
        ("{{ steps['my step'].output }}", "text", {"my step"}, set()),
        ("plain", "text", set(), set()),
    ],
)
def test_references_name_the_steps_and_inputs_in_use(
    value: object, mode: Mode, steps: set[str], inputs: set[str]
) -> None:
    """Short forms are resolved by the names there are."""
    found = references(value, steps=SCOPE.outputs, inputs=SCOPE.inputs, mode=mode)
    assert (set(found.steps), set(found.inputs)) == (steps, inputs)
    assert found.unknown == ()


def test_references_list_what_names_nothing() -> None:
    """Unknown names are for the author to mend."""
    template = "{{ nope.x }} {{ steps.gone.output }} {{ steps[prompt] }} {{ a-b }}"
    found = references(template, steps=SCOPE.outputs, inputs=SCOPE.inputs)
    assert [path.text for path in found.unknown] == ["nope.x", "steps.gone.output", "steps", "a-b"]
    assert found.unknown[0] == Reference("nope.x", ("nope", "x"))


SETTLED = Scope(
    inputs={"order": 1},
    outputs={"scan": {"status": "ours"}},
    states={
        "scan": {"status": "completed"},
        "post": {"status": "failed", "error": {"code": "timeout", "message": "too slow"}},
    },
)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ steps.scan.status }}", "completed"),
        ("{{ steps.scan.error }}", None),
        ("{{ steps.scan.error.code }}", None),
        ("{{ steps.post.error.code }}", "timeout"),
        ("{{ steps.post.error }}", {"code": "timeout", "message": "too slow"}),
        ("{{ scan.status }}", "ours"),
        ("{{ steps.post.error.code == 'timeout' and steps.scan.error.code is none }}", True),
    ],
)
def test_the_state_of_a_step_is_known_beside_its_output(source: str, expected: object) -> None:
    """A step without an error has nothing where it would stand."""
    assert render(source, SETTLED) == expected


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("{{ steps.post.output }}", "step 'post' has no output"),
        ("{{ post.text }}", "step 'post' has no output"),
        ("{{ steps.post.error.cause }}", "has no 'cause'"),
        ("{{ steps.nope.status }}", "there is an output of 'scan'"),
    ],
)
def test_what_is_not_known_of_a_step_says_so(source: str, reason: str) -> None:
    """A failed step has a state and no output."""
    with pytest.raises(ExpressionError, match=reason):
        render(source, SETTLED)


def test_the_state_of_a_step_that_is_not_settled_is_not_there() -> None:
    """An output alone is no state."""
    with pytest.raises(ExpressionError, match="step 'scan' is not settled"):
        render("{{ steps.scan.status }}", Scope(inputs={}, outputs={"scan": 1}))


def test_references_tell_outputs_from_states() -> None:
    """A step whose status alone is read need not hand over its output."""
    value = ["{{ steps.a.status }}", "{{ b.x }}", "{{ steps.c.error.code }} {{ c }}"]
    found = references(value, steps=["a", "b", "c"])
    assert found.steps == {"a", "b", "c"}
    assert found.outputs == {"b", "c"}


def test_the_run_is_known_unless_something_else_has_its_name() -> None:
    """A step or an input called `run` stays what it was."""
    values = {"run": {"id": "r1"}}
    assert render("{{ run.id }}", Scope(inputs={}, outputs={}, values=values)) == "r1"
    assert render("{{ run }}", Scope(inputs={"run": "mine"}, outputs={}, values=values)) == "mine"
    outputs = {"run": {"id": "theirs"}}
    assert render("{{ run.id }}", Scope(inputs={}, outputs=outputs, values=values)) == "theirs"
