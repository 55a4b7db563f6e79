"""Provider-neutral chat: what is asked of a model, and what came back?

The shape is lossless over the public chat interfaces of Anthropic, OpenAI and Google: whatever only
one of them understands travels in `opaque` or `raw` parts and is echoed to that provider alone.
"""

from typing import Any, Literal

from msgspec import UNSET, UnsetType

from segue_contracts.envelope import Message
from segue_contracts.v1.metering import Allowance, CacheWrites, Cost, Usage
from segue_contracts.v1.parts import (
    ChatMessage,
    Media,
    Opaque,
    Part,
    RawPart,
    Reasoning,
    Refusal,
    Role,
    Source,
    Text,
    ToolCall,
    ToolResult,
)
from segue_contracts.v1.values import Value

__all__ = [
    "Allowance",
    "CacheOptions",
    "CacheWrites",
    "CallAttempt",
    "ChatMessage",
    "ChatRequest",
    "ChatResponse",
    "Cost",
    "ErrorClass",
    "Fallback",
    "Hedge",
    "Media",
    "Opaque",
    "OutputFormat",
    "OutputOptions",
    "Part",
    "RawPart",
    "Reasoning",
    "ReasoningOptions",
    "Refusal",
    "Role",
    "RouteOptions",
    "Sampling",
    "Source",
    "Stop",
    "StopReason",
    "StreamOptions",
    "Text",
    "Timing",
    "Tool",
    "ToolCall",
    "ToolChoice",
    "ToolResult",
    "Usage",
]

StopReason = Literal[
    "end",
    "max_tokens",
    "stop_sequence",
    "tool_use",
    "pause",
    "refusal",
    "content_filter",
    "context_window",
    "malformed",
    "other",
]

ErrorClass = Literal[
    "rate_limited",
    "quota_exhausted",
    "overloaded",
    "server_error",
    "timeout_connect",
    "timeout_first_token",
    "timeout_idle",
    "timeout_total",
    "transport",
    "truncated",
    "auth",
    "bad_request",
    "context_window",
    "content_policy",
    "model_not_found",
    "not_configured",
    "budget_exceeded",
    "cancelled",
]


class Tool(Message, frozen=True, kw_only=True):
    """A tool the model may call."""

    name: str
    """The name by which the model calls it."""
    description: str
    """What it does, for the model."""
    parameters: dict[str, Any] = {}
    """JSON Schema of the arguments."""
    kind: Literal["function", "custom", "server"] = "function"
    """`function` takes JSON, `custom` takes free text, `server` is run by the provider."""
    strict: bool = False
    """Whether the provider must enforce `parameters`."""
    server: dict[str, Any] = {}
    """Configuration of a tool that the provider runs."""


class ToolChoice(Message, frozen=True, kw_only=True):
    """Which tools the model may or must call."""

    mode: Literal["auto", "none", "any", "tool"] = "auto"
    """`any` demands some tool, `tool` one of `names`."""
    names: list[str] = []
    """The tools meant by mode `tool`."""
    parallel: bool = True
    """Whether the model may call several at once."""


class OutputFormat(Message, frozen=True, kw_only=True):
    """The form the answer shall have."""

    type: Literal["text", "json", "json_schema", "grammar"] = "text"
    """Which form."""
    name: str = ""
    """The schema's or grammar's name, for providers that want one."""
    json_schema: dict[str, Any] = {}
    """The JSON Schema of type `json_schema`."""
    strict: bool = True
    """Whether the provider must enforce the schema."""


class OutputOptions(Message, frozen=True, kw_only=True):
    """Limits and form of the answer."""

    max_tokens: int | UnsetType = UNSET
    """Tokens of output at most, reasoning included; absent for the model's limit."""
    stop: list[str] = []
    """Texts at which the model stops."""
    modalities: list[str] = []
    """What it shall answer in, such as `text` or `audio`; empty for text."""
    format: OutputFormat = OutputFormat()
    """The form of the text."""
    verbosity: str = ""
    """How wordy, in the provider's word; empty for its default."""


class Sampling(Message, frozen=True, kw_only=True):
    """How tokens are drawn; what a provider lacks is handled by `on_unsupported`."""

    temperature: float | UnsetType = UNSET
    """Randomness, 0 to 2; 0 is the least."""
    top_p: float | UnsetType = UNSET
    """Share of probability mass drawn from, 0 to 1."""
    top_k: int | UnsetType = UNSET
    """How many of the likeliest tokens are drawn from."""
    seed: int | UnsetType = UNSET
    """Asks for the same draw again; providers promise no more than an effort."""
    presence_penalty: float | UnsetType = UNSET
    """Weight against tokens that occurred at all, -2 to 2."""
    frequency_penalty: float | UnsetType = UNSET
    """Weight against tokens by how often they occurred, -2 to 2."""


class ReasoningOptions(Message, frozen=True, kw_only=True):
    """How much the model shall reason, and what is shown of it."""

    mode: Literal["off", "auto", "on"] = "auto"
    """`auto` leaves it to the model."""
    effort: str = ""
    """How hard, in the provider's word, such as `low` or `high`; empty for its default."""
    budget_tokens: int | UnsetType = UNSET
    """Tokens of reasoning at most."""
    display: Literal["omitted", "summary", "full"] = "omitted"
    """What of the reasoning the answer carries."""


class StreamOptions(Message, frozen=True, kw_only=True):
    """Whether and how deltas are published while the model answers."""

    on: bool = False
    """Whether deltas are published."""
    include: list[Literal["reasoning", "tool_args", "usage"]] = []
    """What is published beyond text."""
    on_break: Literal["fail", "restart", "continue"] = "fail"
    """What follows when an answer breaks off after something was shown."""
    to: str = ""
    """A subject of its own on which the caller listens for the deltas too, as
    `subjects.call_deltas` makes them; empty for none."""
    credit: int = 0
    """Deltas that may be sent there before the caller grants more by `ctl.<call>.credit`; while
    none is left the provider is not read. 0 sends without waiting."""


class Hedge(Message, frozen=True, kw_only=True):
    """When to ask a second provider in parallel."""

    after_ms: int
    """Milliseconds without a first token after which another is asked."""
    max: int = 1
    """How many others are asked at most."""


class Fallback(Message, frozen=True, kw_only=True):
    """Where to go on after which errors."""

    on: list[ErrorClass] = []
    """The errors meant; empty for all."""
    chain: list[str] = []
    """Providers or models to try, in order."""


class RouteOptions(Message, frozen=True, kw_only=True):
    """How the router may choose."""

    policy: str = ""
    """Name of a configured routing policy; empty for the default."""
    order: list[str] = []
    """Preferred providers or models, first first; the router may go past them."""
    allow: list[str] = []
    """Only these providers or models; empty for all."""
    deny: list[str] = []
    """Never these providers or models."""
    require: list[str] = []
    """Capabilities the model must have."""
    max_price_usd: str = ""
    """US dollars for a million output tokens at most, a decimal string; empty for no limit."""
    max_first_token_ms: int = 0
    """Milliseconds to the first token expected at most; 0 for no limit."""
    sticky_key: str = ""
    """Requests with the same key prefer the same provider, for its prompt cache."""
    hedge: Hedge | UnsetType = UNSET
    """Ask a second provider when the first is slow; absent for never."""
    fallback: list[Fallback] = []
    """Where to go on after which errors; the first entry that fits counts."""
    max_attempts: int = 0
    """Tries over all providers at most; 0 for the router's default."""


class CacheOptions(Message, frozen=True, kw_only=True):
    """Whether the answer may come from, and go into, a cache."""

    mode: Literal["auto", "explicit", "off"] = "off"
    """`explicit` uses the cache under `key`, `auto` derives one of everything that matters to the
    answer; either does so only where the namespace allows it."""
    key: str = ""
    """The cache key."""
    ttl_s: int = 0
    """Seconds an answer stays in the cache; 0 for the default."""


class ChatRequest(Message, frozen=True, kw_only=True):
    """Command `providers.chat`: ask a model."""

    messages: list[ChatMessage] = []
    """The conversation so far."""
    conversation: Value | UnsetType = UNSET
    """The conversation by reference, when it is larger than a message may be; `messages` then is
    what follows it."""
    id: str = ""
    """Idempotency key, `run:step:turn` from agents; empty for none."""
    run: str = ""
    """The run this belongs to; deltas go to its subject."""
    step: str = ""
    """The step's key."""
    attempt: int = 0
    """The step's attempt."""
    model: str = ""
    """An alias, `provider/model`, or empty for the provider's default."""
    deadline_ms: int = 0
    """Give up then, Unix milliseconds; 0 for the router's default."""
    tools: list[Tool] = []
    """The tools the model may call."""
    tool_choice: ToolChoice = ToolChoice()
    """Which of them it may or must call."""
    output: OutputOptions = OutputOptions()
    """Limits and form of the answer."""
    sampling: Sampling = Sampling()
    """How tokens are drawn."""
    reasoning: ReasoningOptions = ReasoningOptions()
    """How much the model shall reason."""
    stream: StreamOptions = StreamOptions()
    """Whether deltas are published."""
    route: RouteOptions = RouteOptions()
    """How the router may choose."""
    cache: CacheOptions = CacheOptions()
    """Whether a cache may answer."""
    budget_usd: str = ""
    """Spend at most this, a decimal string."""
    allowances: list[Allowance] = []
    """Accounts that are charged, the outermost first; beside them the namespace's own."""
    service_tier: str = ""
    """The provider's tier asked for; empty for its default."""
    on_unsupported: Literal["warn", "drop", "error"] = "warn"
    """An option that the provider lacks: leave it out and `warn`, `drop` it silently, or refuse."""
    metadata: dict[str, str] = {}
    """Labels passed on to the provider where it takes them."""
    provider_options: dict[str, dict[str, Any]] = {}
    """Further options by provider, passed on as they are."""


class Stop(Message, frozen=True, kw_only=True):
    """Why the model stopped."""

    reason: StopReason
    """The neutral reason."""
    raw: str = ""
    """The provider's own word for it."""
    sequence: str = ""
    """The stop sequence that was met."""
    category: str = ""
    """The provider's class of a refusal or filter."""
    explanation: str = ""
    """The provider's words on a refusal or filter."""


class Timing(Message, frozen=True, kw_only=True):
    """Where the time went."""

    queue_ms: float = 0
    """Milliseconds until the request was sent."""
    first_token_ms: float = 0
    """Milliseconds from sending to the first token; 0 when unknown."""
    total_ms: float = 0
    """Milliseconds from request to reply."""
    overhead_us: float = 0
    """Microseconds of the total that the router itself spent."""


class CallAttempt(Message, frozen=True, kw_only=True):
    """One try at one provider, also when it was not even possible."""

    number: int
    """Counted from 1."""
    provider: str
    """The provider tried."""
    model: str = ""
    """The model tried."""
    error: ErrorClass | UnsetType = UNSET
    """Absent when it succeeded."""
    message: str = ""
    """One sentence on the error; never a secret."""
    http_status: int = 0
    """The provider's HTTP status; 0 when there was none."""
    total_ms: float = 0
    """Milliseconds the try took."""
    usage: Usage = Usage()
    """Tokens it used."""
    cost: Cost = Cost()
    """What it cost."""


class ChatResponse(Message, frozen=True, kw_only=True):
    """Reply to `providers.chat`: a complete answer; a truncated one is never this."""

    provider: str
    """Who answered, `offline` for the stand-in."""
    message: ChatMessage
    """The answer; empty when it is in `message_at`."""
    stop: Stop
    """Why the model stopped."""
    message_at: Value | UnsetType = UNSET
    """The answer by reference, when it is larger than a message may be."""
    id: str = ""
    """The request's id."""
    model_requested: str = ""
    """The model asked for, as the router understood it."""
    model_served: str = ""
    """The model that answered, in the provider's word."""
    endpoint: str = ""
    """The provider's interface that was called."""
    key_ref: str = ""
    """Which configured key was used, never the key."""
    service_tier: str = ""
    """The tier that served; empty when the provider did not say."""
    usage: Usage = Usage()
    """Tokens of the winning try."""
    cost: Cost = Cost()
    """What the winning try cost."""
    timing: Timing = Timing()
    """Where the time went."""
    attempts: list[CallAttempt] = []
    """All tries in order, the winning one last."""
    warnings: list[str] = []
    """What the caller should know, such as a fallback."""
    rate_limit: dict[str, str] = {}
    """What the provider said of its limits, by header."""
    provider_ids: dict[str, str] = {}
    """The provider's own ids, such as its request's, for its support."""
    cached: Literal["none", "exact", "coalesced"] = "none"
    """`exact` came from the cache, `coalesced` from an equal request in flight."""
