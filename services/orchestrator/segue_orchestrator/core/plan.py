"""The plan: what does the engine need of a definition, ready to be looked up?"""

from collections.abc import Mapping
from typing import Any

import msgspec

from segue_contracts.v1.steps import TaskKind
from segue_contracts.v1.subjects import escape_key
from segue_language import Step, Workflow, compile_graph, parse_duration


class RetryPlan(msgspec.Struct, frozen=True, kw_only=True):
    """When a step is tried again."""

    max_attempts: int
    """Attempts at most, the first included."""
    delay_ms: int
    """Wait before the second attempt."""
    factor: float
    """Growth of the wait from attempt to attempt."""
    max_delay_ms: int
    """The wait never grows past this."""
    non_retryable: frozenset[str]
    """Failure codes after which no attempt follows."""


class StepPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A step, compiled."""

    key: str
    """As the author wrote it."""
    token: str
    """Its subject token, which names it in the state."""
    kind: TaskKind
    """What kind of work it is."""
    pool: str
    """Who serves it."""
    priority: str
    """`p0` to `p3`."""
    agent: str
    action: str
    provider: str
    model: str
    input: Mapping[str, Any]
    """The `with` template."""
    when: str
    """Its condition; empty for none."""
    dependencies: tuple[str, ...]
    """Tokens of the steps it waits for."""
    dependents: tuple[str, ...]
    """Tokens of the steps that wait for it."""
    reads: tuple[str, ...]
    """Tokens of the steps whose outputs its templates read."""
    timeout_ms: int
    """Start-to-close limit of an attempt; 0 for none."""
    retry: RetryPlan
    continue_on_error: bool
    """Whether its failure counts as settled for those that wait for it."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A definition, compiled."""

    name: str
    steps: Mapping[str, StepPlan]
    """By token, in the definition's order."""
    order: Mapping[str, int]
    """Token to place in the definition."""
    outputs: Mapping[str, Any]
    """Templates of the run's outputs; by default the outputs of the last steps."""
    output_reads: tuple[str, ...]
    """Tokens of the steps that the outputs read."""
    timeout_ms: int
    """Limit of the whole run; 0 for none."""
