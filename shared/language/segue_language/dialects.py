"""Which names do people use already, and what are they called in the canonical form?

The tables say it all; the functions below only apply them. Every value that moves keeps a note of
where it came from, so that a problem points at what the author wrote.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from segue_language.problems import Finding, Path, shown

WRAPPERS: Final = ("workflow", "definition")
"""A mapping under one of these is the workflow, unless `steps` stand beside it."""

IDENTIFIERS: Final = ("workflowId", "workflow_id", "id")
"""Name the workflow; a `name` beside them is its title."""

WORKFLOW_ALIASES: Final = {
    "variables": "inputs",
    "context": "inputs",
    "timeoutMs": "timeout",
    "timeout_ms": "timeout",
}
STEP_ALIASES: Final = {
    "stepId": "key",
    "step_id": "key",
    "id": "key",
    "gpt": "agent",
    "params": "with",
    "parameters": "with",
    "dependencies": "dependsOn",
    "waitFor": "dependsOn",
    "wait_for": "dependsOn",
    "needs": "dependsOn",
    "depends_on": "dependsOn",
    "condition": "when",
    "timeoutMs": "timeout",
    "timeout_ms": "timeout",
    "optional": "continueOnError",
    "continue_on_error": "continueOnError",
    "output_schema": "outputSchema",
}
RETRY_ALIASES: Final = {
    "max_attempts": "maxAttempts",
    "max_delay": "maxDelay",
    "non_retryable": "nonRetryable",
    "retryDelayMs": "delay",
    "retry_delay_ms": "delay",
    "retryBackoffMultiplier": "factor",
    "retry_backoff_multiplier": "factor",
}
REPETITIONS: Final = ("maxRetries", "max_retries")
"""Count what follows the first attempt: n of them are n + 1 attempts."""

RETRY_COUNTS: Final = ("retries",)
RETRY_MAPPINGS: Final = ("retryPolicy", "retry_policy")
CONFIG: Final = "config"
"""Only its `maxRetries` is read."""

FORWARD: Final = ("next_step", "nextStep")
"""An edge to the steps that follow."""

KIND_FIELDS: Final = ("type", "step_type", "stepType")
TYPE_TO_KIND: Final = {
    "openai": "llm",
    "github": "uses",
    "notion": "uses",
    "gmail": "uses",
    "gpt": "agent",
    **{kind: kind for kind in ("agent", "llm", "pool", "uses", "workflow")},
    **{kind: kind for kind in ("wait", "approval", "fleet")},
}
LLM_FIELDS: Final = {
    "prompt": "prompt",
    "system": "system",
    "systemPrompt": "system",
    "system_prompt": "system",
    "model": "model",
    "provider": "provider",
    "responseType": "responseType",
    "response_type": "responseType",
}
"""What a step of type `openai` may hold itself or among its parameters."""

_WORKFLOW_TRIGGERS: Final = frozenset(
    {*WRAPPERS, *IDENTIFIERS, *WORKFLOW_ALIASES, *RETRY_COUNTS, *RETRY_MAPPINGS, CONFIG}
) | {"parallel", "version", "retry"}
_STEP_TRIGGERS: Final = frozenset(
    {*STEP_ALIASES, *RETRY_COUNTS, *RETRY_MAPPINGS, CONFIG, *FORWARD, *KIND_FIELDS, "retry"}
)

Fields = dict[str, object]


@dataclass(slots=True)
class Canonical:
    """A document in its canonical form, and where its parts came from."""

    value: object
    moves: dict[Path, Path] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def origin(self, path: Path) -> Path:
        """Return where the author wrote what now stands at a path."""
        for length in range(len(path), 0, -1):
            moved = self.moves.get(path[:length])
            if moved is not None:
                return moved + path[length:]
        return path

    def put(self, target: Fields, name: str, value: object, *, at: Path, came: Path) -> None:
        """Set a field, unless it has another value already: then that is a finding."""
        if name not in target:
            target[name] = value
            self.moves[(*at, name)] = came
        elif target[name] != value:
            message = f"{shown(str(came[-1]))} and '{name}' mean the same and differ: keep one"
            self.moves[(*at, came[-1])] = came
            self.findings.append(Finding(path=came, code="conflict", message=message, at_key=True))


def to_canonical(document: object) -> Canonical:
    """Translate a document's dialect; what is canonical already stays as it is."""
    canonical = Canonical(document)
    if not isinstance(document, dict):
        return canonical
    workflow: Fields = document
    if workflow.keys() & _WORKFLOW_TRIGGERS:
        workflow = _workflow(canonical, document)
    steps = workflow.get("steps")
    if isinstance(steps, list):
        workflow = {**workflow, "steps": [_step(canonical, i, s) for i, s in enumerate(steps)]}
        _link(canonical, workflow)
    workflow.pop("parallel", None) if workflow is not document else None
    canonical.value = workflow
    return canonical
