"""The workflow language: which definitions are there, and what do they mean?"""

from segue_language.canonical import canonical_json, content_hash, load_canonical, to_yaml
from segue_language.durations import DurationError, format_duration, parse_duration
from segue_language.expressions import (
    ExpressionError,
    References,
    Scope,
    references,
    render,
    render_prompt,
    truthy,
)
from segue_language.features import FEATURES, unsupported
from segue_language.fields import workflow_reference
from segue_language.graph import Graph, GraphError
from segue_language.json_schemas import SchemaFault, schema_faults, schema_problems
from segue_language.models import (
    COMPENSATIONS,
    KINDS,
    POOLS,
    Approval,
    Budget,
    Compensation,
    Concurrency,
    Escalation,
    ForEach,
    InputSpec,
    LlmCall,
    Rate,
    Retry,
    RetryClass,
    Step,
    Timeouts,
    Wait,
    Workflow,
)
from segue_language.parse import Parsed, parse, parse_bytes
from segue_language.problems import Problem
from segue_language.schema import definition_schema
from segue_language.versions import is_semantic, version_key

__all__ = [
    "COMPENSATIONS",
    "FEATURES",
    "KINDS",
    "POOLS",
    "Approval",
    "Budget",
    "Compensation",
    "Concurrency",
    "DurationError",
    "Escalation",
    "ExpressionError",
    "ForEach",
    "Graph",
    "GraphError",
    "InputSpec",
    "LlmCall",
    "Parsed",
    "Problem",
    "Rate",
    "References",
    "Retry",
    "RetryClass",
    "SchemaFault",
    "Scope",
    "Step",
    "Timeouts",
    "Wait",
    "Workflow",
    "canonical_json",
    "content_hash",
    "definition_schema",
    "format_duration",
    "is_semantic",
    "load_canonical",
    "parse",
    "parse_bytes",
    "parse_duration",
    "references",
    "render",
    "render_prompt",
    "schema_faults",
    "schema_problems",
    "to_yaml",
    "truthy",
    "unsupported",
    "version_key",
    "workflow_reference",
]
