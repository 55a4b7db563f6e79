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
from segue_language.graph import Graph, GraphError
from segue_language.models import (
    KINDS,
    POOLS,
    Approval,
    Budget,
    Concurrency,
    ForEach,
    InputSpec,
    LlmCall,
    Retry,
    Step,
    Wait,
    Workflow,
)
from segue_language.parse import Parsed, parse, parse_bytes
from segue_language.problems import Problem
from segue_language.schema import definition_schema

__all__ = [
    "FEATURES",
    "KINDS",
    "POOLS",
    "Approval",
    "Budget",
    "Concurrency",
    "DurationError",
    "ExpressionError",
    "ForEach",
    "Graph",
    "GraphError",
    "InputSpec",
    "LlmCall",
    "Parsed",
    "Problem",
    "References",
    "Retry",
    "Scope",
    "Step",
    "Wait",
    "Workflow",
    "canonical_json",
    "content_hash",
    "definition_schema",
    "format_duration",
    "load_canonical",
    "parse",
    "parse_bytes",
    "parse_duration",
    "references",
    "render",
    "render_prompt",
    "to_yaml",
    "truthy",
    "unsupported",
]
