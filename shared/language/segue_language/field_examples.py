"""What does a value of each field look like?"""

from collections.abc import Mapping
from typing import Final

_TASK: Final = {
    "agent": "security",
    "llm": "{prompt: 'Sum up {text}'}",
    "pool": "gpu",
    "uses": "github.create_issue",
    "workflow": "publish@stable",
    "with": "{path: '{{ inputs.repository }}'}",
    "action": "scan-vulnerabilities",
    "provider": "claude",
    "model": "claude-sonnet",
    "timeout": "5m",
    "retry": "{maxAttempts: 3, delay: 1s}",
}
_REPEAT: Final = {"maxAttempts": "5", "delay": "2s", "factor": "1.5", "maxDelay": "1m"}
_MANY: Final = {"key": "'{{ inputs.team }}'", "limit": "10"}

FIELD_EXAMPLES: Final[Mapping[str, Mapping[str, str]]] = {
    "Workflow": {
        "name": "code-review",
        "version": "1.4.0",
        "title": "Code review",
        "description": "Review a repository and write one report.",
        "inputs": "{repository: {type: string}, branch: main}",
        "steps": "[{key: scan, agent: security}]",
        "outputs": "{report: '{{ steps.report.output }}'}",
        "timeout": "15m",
        "retry": "{maxAttempts: 3}",
        "priority": "p1",
        "compensateOn": "[failed, cancelled]",
        "budget": "{usd: 2.5}",
        "concurrency": "{key: '{{ inputs.repository }}', limit: 1}",
        "rate": "{key: all, limit: 100, per: 1h}",
        "labels": "{team: platform}",
    },
    "Step": {
        **_TASK,
        "key": "scan",
        "name": "Scan for vulnerabilities",
        "description": "Looks for known weaknesses.",
        "dependsOn": "[lint, test]",
        "when": "scan.findings and inputs.branch == 'main'",
        "timeouts": "{queue: 10m, heartbeat: 30s}",
        "continueOnError": "true",
        "priority": "p0",
        "outputSchema": "{type: object, required: [severity]}",
        "forEach": "'{{ steps.list.output.files }}'",
        "compensate": "{uses: github.close_issue, with: {number: '{{ scan.number }}'}}",
        "wait": "{signal: released}",
        "approval": "{message: Ship it?, approvers: [ada, grace]}",
        "fleet": "{agents: [security, quality]}",
    },
    "Compensation": _TASK,
    "InputSpec": {
        "type": "string",
        "default": "main",
        "required": "true",
        "description": "The branch to review.",
    },
    "LlmCall": {
        "prompt": "'Sum up {text} for {{ inputs.audience }}'",
        "system": "You write plain English.",
        "model": "claude-sonnet",
        "provider": "claude",
        "responseType": "json",
    },
    "ForEach": {"items": "'{{ steps.list.output.files }}'", "maxConcurrency": "4"},
    "Wait": {
        "duration": "5m",
        "until": "2030-01-31T09:00:00Z",
        "signal": "released",
        "event": "orders.paid",
        "match": "event.order == inputs.order",
        "timeout": "2d",
    },
    "Approval": {
        "message": "Ship {{ inputs.version }}?",
        "approvers": "[ada, grace]",
        "quorum": "2",
        "form": "{type: object, properties: {reason: {type: string}}}",
        "timeout": "2d",
        "escalation": "{after: 4h, step: call-the-lead}",
    },
    "Escalation": {"after": "4h", "step": "call-the-lead"},
    "Retry": {
        **_REPEAT,
        "nonRetryable": "[invalid_input, 'auth_*']",
        "onExhausted": "park",
        "classes": "{rate_limited: {maxAttempts: 9, delay: 30s}}",
    },
    "RetryClass": _REPEAT,
    "Timeouts": {
        "queue": "10m",
        "startToClose": "5m",
        "scheduleToClose": "1h",
        "heartbeat": "30s",
    },
    "Budget": {"usd": "2.5", "tokens": "200000", "seconds": "900", "onExceed": "fail"},
    "Concurrency": {**_MANY, "policy": "cancelRunning"},
    "Rate": {**_MANY, "per": "1m"},
}
"""By model and field, as YAML."""
