"""What does a whole definition that uses a construct look like?"""

from typing import Final, NamedTuple


class Example(NamedTuple):
    """A construct, what it is for, and a definition that uses it."""

    title: str
    text: str
    definition: str


EXAMPLES: Final = (
    Example(
        "Steps and dependencies",
        "Steps run as soon as everything they depend on is settled; those that wait for nothing "
        "run at the same time.\nA step's output is there for all steps downstream.",
        """\
name: review
inputs:
  repository: {type: string}
  branch: main
steps:
  - key: lint
    agent: quality
    action: lint-codebase
    with: {path: "{{ inputs.repository }}"}
  - key: scan
    agent: security
    with: {path: "{{ inputs.repository }}"}
  - key: report
    agent: writer
    dependsOn: [lint, scan]
    with: {lint: "{{ steps.lint.output.summary }}", scan: "{{ scan }}"}
outputs:
  report: "{{ steps.report.output.text }}"
""",
    ),
    Example(
        "Calls of a model",
        "`{name}` in a prompt stands for a value of the step's `with`, an input or an output; "
        "a placeholder without a value stays as it is.",
        """\
name: summary
inputs: {text: {type: string}, audience: engineers}
steps:
  - key: sum-up
    llm:
      system: You write for {audience}.
      prompt: "Sum up in {words} words: {{ inputs.text }}"
      responseType: text
    with: {words: 50}
""",
    ),
    Example(
        "Conditions",
        "A step whose `when` is false is skipped; what depends on it runs all the same.\n"
        "The state of a step can be read, too: `steps.<key>.status` and `steps.<key>.error`.",
        """\
name: deploy
steps:
  - {key: test, pool: ci, continueOnError: true}
  - {key: ship, pool: ci, dependsOn: [test], when: steps.test.status == 'completed'}
  - key: tell
    uses: slack.post
    dependsOn: [test]
    when: steps.test.status == 'failed'
    with: {text: "{{ steps.test.error.code }}: {{ steps.test.error.message }}"}
""",
    ),
    Example(
        "Maps",
        "A step with `forEach` runs once for each `item` of a list, which has an `index`.\n"
        "Its output is the list of the outputs. In `when` and in `items` there is no item yet.",
        """\
name: review-files
steps:
  - {key: list, pool: git}
  - key: review
    agent: quality
    dependsOn: [list]
    forEach: {items: "{{ list.files }}", maxConcurrency: 4}
    with: {file: "{{ item.path }}", number: "{{ index }}"}
""",
    ),
    Example(
        "Sub-workflows",
        "A workflow is named alone, with a semantic version, or with an alias.\n"
        "It may start itself: how deep runs nest is bounded when they run.",
        """\
name: release
steps:
  - {key: review, workflow: code-review@1.4.0, with: {branch: main}}
  - {key: publish, workflow: publish@stable, dependsOn: [review]}
""",
    ),
    Example(
        "Waits",
        "A wait ends after a duration, at a moment, by a signal, or by an event on the bus.\n"
        "`match` reads what came as `event`; what does not match is passed over.",
        """\
name: order
inputs: {order: {type: string}, start: {type: string}}
steps:
  - {key: begin, wait: {until: "{{ inputs.start }}"}}
  - key: paid
    wait: {event: orders.paid, match: "event.order == inputs.order", timeout: 2d}
    dependsOn: [begin]
  - {key: packed, wait: {signal: packed}, dependsOn: [paid]}
  - {key: pause, wait: 5m, dependsOn: [packed]}
""",
    ),
    Example(
        "Approvals",
        "A step `escalation` names runs only if the approval is still open by then; "
        "it neither depends on the approval nor runs before it, and has no `when`.",
        """\
name: ship
inputs: {version: {type: string}}
steps:
  - key: decide
    approval:
      message: "Ship {{ inputs.version }}?"
      approvers: [ada, grace, joan]
      quorum: 2
      form: {type: object, properties: {reason: {type: string}}}
      timeout: 2d
      escalation: {after: 4h, step: call-the-lead}
  - {key: call-the-lead, uses: pager.call}
  - {key: ship, pool: deploy, dependsOn: [decide]}
""",
    ),
    Example(
        "Undoing",
        "When a run fails, or is cancelled and `compensateOn` says so, what finished is undone "
        "in reverse order.\nA compensation reads the step's own output, and all upstream of it.",
        """\
name: book
compensateOn: [failed, cancelled]
steps:
  - key: flight
    uses: travel.book_flight
    compensate:
      uses: travel.cancel_flight
      with: {id: "{{ flight.id }}"}
      retry: {maxAttempts: 10}
  - {key: hotel, uses: travel.book_hotel, dependsOn: [flight]}
""",
    ),
    Example(
        "Retries and timeouts",
        "`timeout` limits an attempt from its dispatch on; `timeouts` limit the phases of a step.\n"
        "A run that is parked waits for an operator instead of failing.",
        """\
name: fetch
retry: {maxAttempts: 3, delay: 1s, factor: 2, maxDelay: 1m}
steps:
  - key: fetch
    pool: crawler
    timeout: 5m
    timeouts: {queue: 10m, startToClose: 4m, scheduleToClose: 1h, heartbeat: 30s}
    retry:
      maxAttempts: 5
      nonRetryable: [invalid_input, "auth_*"]
      classes: {rate_limited: {maxAttempts: 20, delay: 30s}}
      onExhausted: park
""",
    ),
    Example(
        "Output schemas",
        "An output that does not satisfy its schema does not count.\n"
        "Schemas are of JSON Schema 2020-12 and stand on their own: a `$ref` leads to a place in "
        "the schema itself, and patterns have no look-ahead and no references back.",
        """\
name: triage
steps:
  - key: triage
    agent: security
    outputSchema:
      type: object
      required: [severity]
      properties:
        severity: {enum: [low, high]}
        files: {type: array, items: {$ref: "#/$defs/file"}}
      $defs: {file: {type: string, pattern: "^[a-z/]+[.]py$"}}
""",
    ),
    Example(
        "Limits of a workflow",
        "`concurrency` and `rate` count the runs of the workflow that have the same key, "
        "which reads inputs only.",
        """\
name: sync
inputs: {team: {type: string}}
priority: p1
timeout: 1h
budget: {usd: 5, tokens: 500000, seconds: 1800, onExceed: pause}
concurrency: {key: "{{ inputs.team }}", limit: 2, policy: cancelRunning}
rate: {key: all, limit: 100, per: 1h}
labels: {area: billing}
steps:
  - {key: sync, pool: billing, priority: p0}
""",
    ),
    Example(
        "Fleets",
        "Several agents solve one task together.",
        """\
name: research
steps:
  - {key: research, fleet: {agents: [reader, critic], task: "Compare the papers."}}
""",
    ),
)
