"""Conventions: how is a call to a model named in a trace?

These are OpenTelemetry's semantic conventions for generative AI, which are still in development;
this module alone knows their names, so that a change of theirs is a change here. Prompts and
answers are never among them.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from msgspec import UnsetType

from segue_contracts.v1.chat import CallAttempt, Stop
from segue_providers.core.configuration import Wire

OPERATION: Final = "chat"
"""The operation of a call that answers a conversation."""

_SYSTEMS: Final[Mapping[Wire, str]] = MappingProxyType(
    {"anthropic": "anthropic", "gemini": "gcp.gemini", "openai-responses": "openai"}
)

Facts = dict[str, str | int | float | bool]


def span_name(record: CallAttempt) -> str:
    """Return the name of a try's span."""
    return f"{OPERATION} {record.model}" if record.model else OPERATION


def facts_of(record: CallAttempt, *, wire: Wire, requested: str, stop: Stop | None) -> Facts:
    """Return the attributes of a try's span.

    Args:
        record: How it went.
        wire: The interface of its provider.
        requested: The model that was asked for.
        stop: Why the model stopped; None when it did not.
    """
    usage = record.usage
    facts: Facts = {
        "gen_ai.operation.name": OPERATION,
        "gen_ai.provider.name": _SYSTEMS.get(wire, record.provider),
        "gen_ai.request.model": requested,
        "gen_ai.response.model": record.model,
        "gen_ai.usage.input_tokens": usage.input_total,
        "gen_ai.usage.output_tokens": usage.output_total,
        "gen_ai.usage.cache_read.input_tokens": usage.cache_read,
        "gen_ai.usage.cache_creation.input_tokens": _written(record),
        "gen_ai.usage.reasoning.output_tokens": usage.output_reasoning,
        "gen_ai.response.finish_reasons": "" if stop is None else stop.raw or stop.reason,
        "error.type": "" if isinstance(record.error, UnsetType) else record.error,
        "segue.provider": record.provider,
        "segue.cost_usd": record.cost.usd,
    }
    return {name: fact for name, fact in facts.items() if fact != ""}


def _written(record: CallAttempt) -> int:
    kept = record.usage.cache_write
    return kept.five_minutes + kept.thirty_minutes + kept.one_hour + kept.twelve_hours + kept.other
