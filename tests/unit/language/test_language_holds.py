"""Holds, maps and undoing: is each rule broken named at its exact place, with the way out?"""

import pytest

from segue_language.parse import parse


def rendered(text: str, known_workflows: list[str] | None = None) -> list[str]:
    """Return the problems as people read them, without the file's name."""
    problems = parse(text, file="f", known_workflows=known_workflows).problems
    return [problem.render().removeprefix("f:") for problem in problems]


def step(fields: str, others: str = "") -> str:
    """Write a workflow whose step `k` stands on line 3; its fields begin in column 12."""
    return f"name: x\nsteps:\n- {{key: k, {fields}}}\n{others}inputs: {{order: 1, item: 2}}\n"


FIRST = "- {key: first, agent: a}\n"
CALL = "- {key: call, agent: a}\n"
OPEN = "approval: {message: ok, timeout: 2h, escalation: {after: 1h, step: call}}"


def test_an_approval_may_escalate_to_a_step_that_stands_alone() -> None:
    """It neither waits for the approval nor runs before it."""
    assert rendered(step(OPEN, CALL)) == []


@pytest.mark.parametrize(
    ("fields", "others", "problem"),
    [
        (OPEN, "", "3:79: unknown step 'call'"),
        (OPEN, "- {key: cal, agent: a}\n", "3:79: unknown step 'call' (did you mean 'cal'?)"),
        (
            OPEN.replace("call", "k"),
            "",
            "3:79: step 'k' escalates to itself; name another step",
        ),
        (
            OPEN,
            "- {key: call, agent: a, dependsOn: [k]}\n",
            "3:79: 'call' waits for the approval; it would not run while that is open",
        ),
        (
            f"dependsOn: [call], {OPEN}",
            CALL,
            "3:98: 'call' has run before the approval; name a step of its own for it",
        ),
        (
            OPEN,
            "- {key: call, agent: a, when: inputs.order}\n",
            "3:79: 'call' has a 'when'; whether it runs is up to the approval alone",
        ),
        (
            OPEN,
            "- {key: call, agent: a, forEach: [1]}\n",
            "3:79: 'call' has a 'forEach'; name a step that runs once",
        ),
        (
            f"forEach: [1], {OPEN}",
            CALL,
            "3:93: an approval with 'forEach' is open many times; escalate without it",
        ),
        (
            OPEN.replace("1h", "2h"),
            CALL,
            "3:69: the approval's 'timeout' ends it before; make 'after' shorter",
        ),
        (
            OPEN,
            f"{CALL}- {{key: l, {OPEN}}}\n",
            "5:79: another approval escalates to 'call' already; give each its own",
        ),
        (
            "approval: {escalation: {after: soon, step: call}}",
            CALL,
            (
                "3:43: 'approval.escalation.after' is wrong: 'soon' is no duration: "
                "write it like 250ms, 30s, 5m or 1h30m"
            ),
        ),
        (
            "approval: {escalation: {step: call}}",
            CALL,
            "3:35: 'approval.escalation' has no 'after'",
        ),
        (
            "approval: {approvers: [a], quorum: 2}",
            "",
            "3:22: 'approval' - the quorum is larger than the number of approvers",
        ),
        (
            "approval: {form: {properties: {a: {type: strin}}}}",
            "",
            ("3:53: this is no JSON Schema: 'strin' is not valid under any of the given schemas"),
        ),
        (
            "agent: a, outputSchema: {$ref: elsewhere}",
            "",
            (
                "3:43: this is no JSON Schema: 'elsewhere' leads to no schema; "
                "refer to '#' or '#/$defs/<name>'"
            ),
        ),
    ],
)
def test_what_keeps_an_approval_or_schema_from_working_is_named(
    fields: str, others: str, problem: str
) -> None:
    """Line, column and sentence are exact."""
    assert rendered(step(fields, others)) == [problem]


@pytest.mark.parametrize(
    "fields",
    [
        "agent: a, forEach: '{{ inputs.order }}', with: {a: '{{ item.name }} {{ index }}'}",
        "llm: {prompt: 'About {item} and {{ item.name }}', system: '{index}'}, forEach: [1]",
        "workflow: x, forEach: [1], with: {a: '{{ item }}'}",
        "agent: a, when: 'item == 2', with: {a: '{{ item }}'}",
        "agent: a, compensate: {pool: p, with: {a: '{{ k.id }} {{ inputs.order }}'}}",
        "agent: a, compensate: {llm: {prompt: 'Undo {what}'}, with: {what: '{{ k }}'}}",
        "agent: a, compensate: {gpt: b, params: {a: 1}, retries: 2, timeoutMs: 500}",
        "wait: {event: orders.paid, match: '{{ event.order == inputs.order }}'}",
        "wait: {event: go, match: event.ok}",
        "wait: {until: '{{ inputs.order }}'}",
        "approval: {message: 'Ship {{ inputs.order }} of {{ run.workflow }}?'}",
        "agent: a, with: {id: '{{ run.id }}', ns: '{{ run.namespace }}'}",
        "workflow: other@stable",
        "wait: {until: '{{ item }}'}, forEach: [1]",
        "approval: {message: '{{ item }}'}, forEach: [1]",
        "agent: a, forEach: [1], compensate: {pool: p, with: {a: '{{ k.id }} {{ item }}'}}",
    ],
)
def test_what_is_there_in_a_place_can_be_read_there(fields: str) -> None:
    """Items in a map, the own output when undoing, the event in a match."""
    assert rendered(step(fields)) == []


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        (
            "agent: a, forEach: [1], with: {a: '{{ nope }}'}",
            "3:46: 'nope': 'nope' is neither a step nor an input",
        ),
        (
            "agent: a, with: {a: '{{ index }}'}",
            "3:32: 'index': 'index' is there only under 'forEach', not in 'when' and 'items'",
        ),
        (
            "agent: a, forEach: [1], when: index",
            "3:42: 'index': 'index' is there only under 'forEach', not in 'when' and 'items'",
        ),
        (
            "agent: a, forEach: '{{ index }}'",
            "3:31: 'index': 'index' is there only under 'forEach', not in 'when' and 'items'",
        ),
        (
            "agent: a, with: {a: '{{ event.x }}'}",
            "3:32: 'event.x': 'event' is there only in the 'match' of a wait",
        ),
        (
            "wait: {event: go, match: 'evnt.ok'}",
            "3:37: 'evnt.ok': 'evnt' is neither a step nor an input (did you mean 'event'?)",
        ),
        (
            "wait: {event: go, match: 'event =='}",
            "3:37: unexpected end of the expression, in 'event =='",
        ),
        (
            "wait: {duration: 1s, match: 'true'}",
            "3:18: 'wait' - 'match' goes with 'event' only; a signal goes to one step by its name",
        ),
        (
            "wait: {event: a b}",
            ("3:26: 'wait.event' must be names of a-z, A-Z, 0-9, '_' and '-', joined by dots"),
        ),
        (
            "wait: {until: soon}",
            (
                "3:26: 'wait.until' - write a moment like 2030-01-31T09:00:00Z, "
                "or a template that gives one"
            ),
        ),
        (
            "agent: a, compensate: {pool: p, with: {a: '{{ first.id }}'}}",
            "3:54: 'first' may not have run before 'k'; add it to 'dependsOn'",
        ),
        (
            "agent: a, compensate: {pool: p, with: {a: '{{ item }}'}}, with: {a: '{{ k }}'}",
            "3:80: step 'k' uses its own output",
        ),
        (
            "agent: a, compensate: {with: {}}",
            (
                "3:34: 'compensate' does not say what undoes the step; "
                "give it one of agent, llm, pool, uses, workflow"
            ),
        ),
        (
            "agent: a, compensate: {pool: p, agent: b}",
            "3:35: 'pool' beside 'agent': a step has exactly one kind",
        ),
        (
            "agent: a, compensate: {pool: p, provider: c}",
            "3:44: 'provider' goes with 'agent', not with 'pool'",
        ),
        (
            "agent: a, compensate: {pool: llm}",
            "3:41: the pool 'llm' is built in; choose another name",
        ),
        (
            "agent: a, compensate: {pool: p, wait: 5m}",
            "3:44: unknown field 'wait' (did you mean 'with'?)",
        ),
        (
            "agent: a, forEach: {items: [1], maxConcurency: 1}",
            "3:44: unknown field 'maxConcurency' (did you mean 'maxConcurrency'?)",
        ),
        (
            "agent: a, forEach: {items: [1], maxConcurrency: 1, maxParallel: 2}",
            (
                "3:63: 'forEach.maxParallel' and 'forEach.maxConcurrency' "
                "mean the same and differ; keep one"
            ),
        ),
        (
            "agent: a, timeouts: {heartbeat: 500ms}",
            "3:44: 'timeouts.heartbeat' - must be at least 1s",
        ),
        (
            "agent: a, timeouts: {start_to_clos: 5s}",
            "3:33: unknown field 'start_to_clos' (did you mean 'startToClose'?)",
        ),
        (
            "agent: a, retry: {nonRetryable: ['a*b']}",
            "3:45: 'retry.nonRetryable.0' must be a code, in which '*' may stand at the end only",
        ),
        (
            "agent: a, retry: {nonRetryable: ['net_*'], classes: {net_down: {delay: 1s}}}",
            "3:65: 'nonRetryable' has 'net_*'; nothing repeats such a failure",
        ),
        (
            "agent: a, retry: {classes: {x: {dely: 1s}}}",
            "3:44: unknown field 'dely' (did you mean 'delay'?)",
        ),
        (
            "workflow: other@1.2",
            (
                "3:22: 'workflow' is wrong: write it like name, name@1.4.0 or name@alias "
                "(of a-z, 0-9 and '-')"
            ),
        ),
    ],
)
def test_a_construct_that_breaks_a_rule_is_named_at_its_place(fields: str, problem: str) -> None:
    """Line, column and sentence are exact."""
    assert rendered(step(fields, FIRST)) == [problem]


def test_an_unknown_workflow_is_named_when_the_workflows_are_known() -> None:
    """A workflow may start itself; a malformed reference is named once."""
    text = step(
        "workflow: reprot@1.0.0, compensate: {workflow: undo}",
        "- {key: a, workflow: x}\n- {key: b, workflow: report@beta}\n",
    )
    assert rendered(text) == []
    assert rendered(text, known_workflows=["report"]) == [
        "3:22: unknown workflow 'reprot' (did you mean 'report'?)",
        "3:59: unknown workflow 'undo'",
    ]
    assert len(rendered(step("workflow: a@"), known_workflows=["report"])) == 1


def test_the_keys_of_concurrency_and_rate_read_inputs_only() -> None:
    """No step has run, and no run has begun, when they are filled."""
    text = (
        "name: x\ninputs: {team: a}\nsteps: [{key: k, agent: a}]\n"
        "concurrency: {key: '{{ team }}{{ k.x }}', limit: 1}\n"
        "rate: {key: '{{ run.id }}', limit: 1, per: 1m}\n"
    )
    assert rendered(text) == [
        "4:20: a key can use inputs only: no step has run yet",
        "5:13: 'run.id': 'run' is neither a step nor an input",
    ]


def test_the_state_of_a_step_can_be_read_downstream() -> None:
    """Status and error are there beside the output, and results see them, too."""
    text = (
        "name: x\nsteps:\n- {key: a, agent: x, continueOnError: true}\n"
        "- {key: b, agent: x, dependsOn: [a], when: steps.a.status == 'failed',\n"
        "   with: {why: '{{ steps.a.error.code }}'}}\n"
        "- {key: c, agent: x, with: {why: '{{ steps.a.error }}'}}\n"
        "outputs: {a: '{{ steps.a.status }}', r: '{{ run.id }}'}\n"
    )
    assert rendered(text) == ["6:34: 'a' may not have run before 'c'; add it to 'dependsOn'"]
