"""Which names do people use already, and what are they called in the canonical form?"""

from typing import Final

from segue_language.models import KINDS

WRAPPERS: Final = ("workflow", "definition")
"""A mapping under one of these is the workflow, unless `steps` stand beside it."""

IDENTIFIERS: Final = ("workflowId", "workflow_id", "id")
"""Name the workflow; a `name` beside them is its title."""

WORKFLOW_ALIASES: Final = {
    "variables": "inputs",
    "context": "inputs",
    "timeoutMs": "timeout",
    "timeout_ms": "timeout",
    "compensate_on": "compensateOn",
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
    "for_each": "forEach",
}
FOR_EACH_ALIASES: Final = {
    "concurrency": "maxConcurrency",
    "max_concurrency": "maxConcurrency",
    "maxParallel": "maxConcurrency",
}
TIMEOUTS_ALIASES: Final = {
    "start_to_close": "startToClose",
    "schedule_to_close": "scheduleToClose",
}
COMPENSATE_ALIASES: Final = {
    "gpt": "agent",
    "params": "with",
    "parameters": "with",
    "timeoutMs": "timeout",
    "timeout_ms": "timeout",
}
NESTED_ALIASES: Final = {
    "forEach": FOR_EACH_ALIASES,
    "timeouts": TIMEOUTS_ALIASES,
    "compensate": COMPENSATE_ALIASES,
}
"""Fields of a step that are mappings with aliases of their own."""

RETRY_ALIASES: Final = {
    "max_attempts": "maxAttempts",
    "max_delay": "maxDelay",
    "non_retryable": "nonRetryable",
    "on_exhausted": "onExhausted",
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
CONNECTORS: Final = ("github", "notion", "gmail")
"""Types that are connectors: with `action` they become `uses`."""

TYPE_TO_KIND: Final = {
    "openai": "llm",
    "gpt": "agent",
    **dict.fromkeys(CONNECTORS, "uses"),
    **{kind: kind for kind in KINDS},
}
"""`openai` says which kind of step it is; routing among providers stays what it is."""

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
