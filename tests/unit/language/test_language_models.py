"""Models: do they hold what a definition says, and refuse the rest?"""

import pytest
from pydantic import ValidationError

from segue_language.models import InputSpec, Retry, Step, Workflow


def step(**fields: object) -> Step:
    """Read a step as files have it."""
    return Step.model_validate({"key": "scan", **fields})


def workflow(**fields: object) -> Workflow:
    """Read a workflow as files have it."""
    given = {"name": "review", "steps": [{"key": "scan", "agent": "security"}], **fields}
    return Workflow.model_validate(given)


@pytest.mark.parametrize(
    ("fields", "kind", "pool"),
    [
        ({"agent": "security"}, "agent", "agents"),
        ({"llm": {"prompt": "hi"}}, "llm", "llm"),
        ({"pool": "gpu"}, "pool", "gpu"),
        ({"uses": "github.create_issue"}, "uses", "connectors"),
        ({"workflow": "other"}, "workflow", None),
        ({"wait": "5m"}, "wait", None),
        ({"approval": True}, "approval", None),
        ({"fleet": {"agents": ["a"]}}, "fleet", None),
    ],
)
def test_a_step_knows_its_kind_and_its_pool(
    fields: dict[str, object], kind: str, pool: str | None
) -> None:
    """The kind follows from the field, the pool from the kind."""
    assert (step(**fields).kind, step(**fields).pool) == (kind, pool)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"agent": "a", "pool": "b"},
        {"llm": {"prompt": "x"}, "action": "y"},
        {"pool": "x", "model": "y"},
    ],
)
def test_a_step_without_exactly_one_kind_is_refused(fields: dict[str, object]) -> None:
    """Fields of another kind do not go with it either."""
    with pytest.raises(ValidationError):
        step(**fields)


def test_a_step_has_the_defaults_of_the_reference() -> None:
    """What is not said is the default."""
    given = step(agent="security")
    assert (given.priority, given.depends_on, given.continue_on_error) == (None, (), False)


def test_retry_has_the_defaults_of_the_reference() -> None:
    """One attempt, a second's delay that doubles up to a minute."""
    retry = Retry()
    expected = (1, 1_000, 2.0, 60_000, ())
    assert (
        retry.max_attempts,
        retry.delay,
        retry.factor,
        retry.max_delay,
        retry.non_retryable,
    ) == expected


def test_a_steps_retry_wins_over_the_workflows() -> None:
    """The workflow's retry is the default for its steps."""
    given = workflow(
        retry={"maxAttempts": 3},
        steps=[{"key": "a", "agent": "x", "retry": {"maxAttempts": 5}}, {"key": "b", "agent": "x"}],
    )
    assert [given.retry_of(each).max_attempts for each in given.steps] == [5, 3]


def test_a_step_without_any_retry_is_tried_once() -> None:
    """Nothing is repeated that nobody asked to repeat."""
    given = workflow()
    assert given.retry_of(given.steps[0]).max_attempts == 1


def test_models_cannot_be_changed() -> None:
    """A definition is a value."""
    with pytest.raises(ValidationError):
        setattr(workflow(), "name", "other")  # noqa: B010 - the assignment is the point


def test_models_refuse_unknown_fields() -> None:
    """A field with a typing error is not silently ignored."""
    with pytest.raises(ValidationError, match="extra_forbidden"):
        workflow(agents=[])


@pytest.mark.parametrize("field", ["maxAttempts", "factor"])
def test_numbers_in_quotes_are_refused(field: str) -> None:
    """Types are strict: nothing is converted behind the author's back."""
    with pytest.raises(ValidationError):
        Retry.model_validate({field: "3"})


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        ("main", InputSpec(default="main")),
        (None, InputSpec(default=None)),
        ({"a": 1}, InputSpec(default={"a": 1})),
        ({"type": "string"}, InputSpec(type="string", required=True)),
        ({"description": "why"}, InputSpec(description="why", required=True)),
        ({"type": "integer", "default": 3}, InputSpec(type="integer", default=3)),
        ({"type": "string", "required": False}, InputSpec(type="string")),
        (InputSpec(default=1), InputSpec(default=1)),
    ],
)
def test_an_input_is_a_default_or_a_declaration(declared: object, expected: InputSpec) -> None:
    """Without a default a declared input is required."""
    assert workflow(inputs={"x": declared}).inputs["x"] == expected


def test_a_default_of_another_type_is_refused() -> None:
    """A declaration does not contradict itself."""
    with pytest.raises(ValidationError, match="the default is no integer"):
        workflow(inputs={"x": {"type": "integer", "default": "three"}})


@pytest.mark.parametrize(
    ("spec", "must"),
    [
        (InputSpec(required=True), True),
        (InputSpec(required=True, default=1), False),
        (InputSpec(), False),
    ],
)
def test_an_input_must_be_given_when_nothing_stands_in_for_it(spec: InputSpec, must: bool) -> None:  # noqa: FBT001 - a parameter of the table
    """A default stands in for a required value."""
    assert spec.must_be_given is must


def test_short_forms_are_spelled_out() -> None:
    """`wait: 5m`, `approval: text`, `forEach: template` and a boolean `when` are short forms."""
    assert step(wait="5m").wait == step(wait={"duration": "5m"}).wait
    assert step(approval="Ship?").approval == step(approval={"message": "Ship?"}).approval
    given = step(agent="a", forEach="{{ x }}", when=True)
    assert given.for_each is not None
    assert (given.for_each.items, given.when) == ("{{ x }}", "true")


@pytest.mark.parametrize("wait", [{}, {"duration": "1s", "signal": "x"}, True])
def test_a_wait_without_exactly_one_reason_is_refused(wait: object) -> None:
    """A wait that nothing ends would hold a run for ever."""
    with pytest.raises(ValidationError):
        step(wait=wait)


@pytest.mark.parametrize("pool", ["GPU", "a.b", "", "-x", "x" * 65])
def test_a_pool_is_one_token_of_a_subject(pool: str) -> None:
    """A pool's name stands in subjects."""
    with pytest.raises(ValidationError):
        step(pool=pool)
