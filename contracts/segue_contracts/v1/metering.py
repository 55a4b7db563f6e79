"""Metering: what did a call to a model use, and what did it cost?"""

from typing import Any, Literal

from segue_contracts.envelope import Message


class CacheWrites(Message, frozen=True, kw_only=True):
    """Tokens written to a provider's prompt cache, by lifetime."""

    five_minutes: int = 0
    """Tokens kept for five minutes."""
    thirty_minutes: int = 0
    """Tokens kept for thirty minutes."""
    one_hour: int = 0
    """Tokens kept for an hour."""
    twelve_hours: int = 0
    """Tokens kept for twelve hours."""
    other: int = 0
    """Tokens kept for another or an unknown time."""


class Usage(Message, frozen=True, kw_only=True):
    """Tokens of one call, normalised: totals include cached and reasoning tokens."""

    input_total: int = 0
    """Input tokens, cached ones included."""
    input_uncached: int = 0
    """Input tokens that no cache covered."""
    cache_read: int = 0
    """Input tokens read from the provider's cache."""
    cache_write: CacheWrites = CacheWrites()
    """Input tokens written to the provider's cache."""
    output_total: int = 0
    """Output tokens, reasoning included."""
    output_reasoning: int = 0
    """Output tokens spent on reasoning."""
    input_by_modality: dict[str, int] = {}
    """Input tokens by modality, such as `image`."""
    output_by_modality: dict[str, int] = {}
    """Output tokens by modality."""
    tool_prompt: int = 0
    """Input tokens that describe tools."""
    server_tools: dict[str, int] = {}
    """Calls of tools that the provider ran, by tool."""
    source: Literal["provider", "partial", "estimated"] = "provider"
    """Whether the provider counted, counted before a break, or the router estimated."""
    raw: Any = None
    """The provider's own usage object, kept so that the cost can be computed again."""


class Cost(Message, frozen=True, kw_only=True):
    """What a call cost."""

    usd: str = "0"
    """US dollars as a decimal string."""
    price_version: str = ""
    """The price table it was computed with; empty when nothing was charged."""


class Allowance(Message, frozen=True, kw_only=True):
    """An account of the ledger that a call is charged to, and how much it may hold in all.

    A call must fit into all of its accounts: its run's, those of the runs above, its agent's.
    """

    account: str
    """Its name within the namespace, `<kind>.<id>`, such as `run.01jd8…`."""
    usd: str = ""
    """US dollars at most over the account's whole life, a decimal string; empty for no limit."""
    tokens: int = 0
    """Input and output tokens at most; 0 for no limit."""
