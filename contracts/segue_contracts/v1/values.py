"""Parts of bodies: what do several events say in the same way?"""

from typing import Annotated

from msgspec import Meta

from segue_contracts.envelope import Message
from segue_contracts.payload import INLINE_LIMIT, PayloadRef, Value

__all__ = ["INLINE_LIMIT", "Failure", "PayloadRef", "UsageTotals", "Value"]


class UsageTotals(Message, frozen=True, kw_only=True):
    """What an attempt or a run has used so far."""

    input_tokens: int = 0
    """Tokens sent to models, cached ones included."""
    output_tokens: int = 0
    """Tokens received from models, reasoning included."""
    cost_usd: Annotated[str, Meta(pattern=r"^[0-9]{1,12}(\.[0-9]{1,12})?$")] = "0"
    """US dollars as a decimal string."""
    model_calls: int = 0
    """Completed calls to models."""
    tool_calls: int = 0
    """Completed calls to tools."""


class Failure(Message, frozen=True, kw_only=True):
    """Why something did not succeed, in words a person and a policy can act on."""

    code: str
    """Stable reason, such as `tool_failed`, `no_provider`, `timeout`, `worker_lost`."""
    message: str
    """One sentence for people; never a secret or a payload."""
    retryable: bool = True
    """Whether another attempt could help."""
    details: dict[str, str] = {}
    """Further facts, such as the tool or the file."""
