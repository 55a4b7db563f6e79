"""Commands of the provider router beside `chat`: what else may it be asked?"""

from typing import Literal

from segue_contracts.envelope import Message
from segue_contracts.v1.chat import ChatRequest
from segue_contracts.v1.metering import Allowance, Cost, Usage
from segue_contracts.v1.telemetry import RouteCandidate

BreakerState = Literal["closed", "open", "half_open", "ramping"]
"""`half_open` admits a few probes, `ramping` a growing share of calls."""


class ModelHealth(Message, frozen=True, kw_only=True):
    """How one model of a provider fares, over the rolling window."""

    model: str
    """The model."""
    breaker: BreakerState = "closed"
    """Whether calls are let through."""
    open_until_ms: int = 0
    """When an open breaker admits its first probe, Unix milliseconds; 0 unless it is open."""
    latency_ms: float = 0
    """Moving average of the milliseconds a call takes; 0 while nothing was measured."""
    first_token_ms: float = 0
    """Moving average of the milliseconds to the first token; 0 while nothing was measured."""
    error_rate: float = 0
    """Share of calls that the provider failed, 0 to 1."""
    requests_per_minute: float = 0
    """Calls per minute."""
    in_flight: int = 0
    """Calls that run now, in the answering instance."""


class KeyState(Message, frozen=True, kw_only=True):
    """One configured key, without the key."""

    ref: str
    """Where the key comes from, such as `env:OPENAI_API_KEY`."""
    usable: bool
    """Whether calls may use it now."""
    reason: str = ""
    """Why not: `auth`, `quota_exhausted` or `rate_limited`."""
    until_ms: int = 0
    """When it may be used again, Unix milliseconds; 0 when nothing but a new key helps."""


class ProviderState(Message, frozen=True, kw_only=True):
    """One provider as the router sees it."""

    name: str
    """Its configured name."""
    available: bool
    """Whether a call could go there now."""
    reason: str = ""
    """Why not."""
    wire: str = ""
    """The interface it speaks, such as `anthropic` or `openai-chat`."""
    priority: int = 0
    """Its rank under the policy `priority`; the lowest goes first."""
    default_model: str = ""
    """The model of calls that name none."""
    models: list[ModelHealth] = []
    """The models that were called lately."""
    keys: list[KeyState] = []
    """Its keys."""


class ProvidersStatus(Message, frozen=True, kw_only=True):
    """Command `providers.status`."""


class ProviderList(Message, frozen=True, kw_only=True):
    """Result of `providers.status`, in order of priority."""

    providers: list[ProviderState]
    """All providers."""
    policy: str = ""
    """The routing policy of calls that name none."""
    configuration: str = ""
    """SHA-256 of the configuration in use, hexadecimal."""
    refused: list[str] = []
    """What is wrong with a newer configuration, which is therefore not in use."""
    instance: str = ""
    """Which instance answered; health is what that one saw."""


class ProvidersReported(Message, frozen=True, kw_only=True):
    """How the providers fare, told by each instance whenever that changed."""

    state: ProviderList
    """All providers, as the instance sees them."""


class ExplainRoute(Message, frozen=True, kw_only=True):
    """Command `providers.route`: say how a request would be routed, and call nobody."""

    request: ChatRequest
    """The request."""


class RouteExplained(Message, frozen=True, kw_only=True):
    """Result of `providers.route`."""

    policy: str
    """The policy that ranked them."""
    candidates: list[RouteCandidate]
    """Everybody considered, the first to be asked first, those ruled out last."""
    warnings: list[str] = []
    """What the caller should know."""


class CheckProvider(Message, frozen=True, kw_only=True):
    """Command `providers.test`: make the cheapest call that proves a provider works."""

    provider: str
    """Its name."""
    model: str = ""
    """The model; empty for the provider's default."""


class ProviderChecked(Message, frozen=True, kw_only=True):
    """Result of `providers.test`."""

    provider: str
    """Its name."""
    model: str
    """The model that was asked."""
    ok: bool
    """Whether it answered."""
    error: str = ""
    """The class of the error; empty when it answered."""
    message: str = ""
    """One sentence on the error and the way out; never a secret."""
    total_ms: float = 0
    """Milliseconds it took."""
    cost: Cost = Cost()
    """What the check cost."""


class EmbedTexts(Message, frozen=True, kw_only=True):
    """Command `providers.embed`: turn texts into vectors."""

    texts: list[str]
    """The texts, at most 2,048."""
    model: str = ""
    """An alias, `provider/model`, or empty for the first provider that can."""
    dimensions: int = 0
    """Length of the vectors, where the model offers a choice; 0 for its own."""
    deadline_ms: int = 0
    """Give up then, Unix milliseconds; 0 for the router's default."""
    allowances: list[Allowance] = []
    """Accounts that are charged, the outermost first."""


class TextsEmbedded(Message, frozen=True, kw_only=True):
    """Result of `providers.embed`."""

    provider: str
    """Who answered."""
    model: str
    """The model that answered."""
    vectors: list[list[float]]
    """One for each text, in order, all of one length."""
    usage: Usage = Usage()
    """Tokens it used."""
    cost: Cost = Cost()
    """What it cost."""


class CountTokens(Message, frozen=True, kw_only=True):
    """Command `providers.count`: how many tokens of input is a request?"""

    request: ChatRequest
    """The request; its options count as little as they do for the provider."""


class TokensCounted(Message, frozen=True, kw_only=True):
    """Result of `providers.count`."""

    provider: str
    """Who counted."""
    model: str
    """The model it was counted for."""
    tokens: int
    """Tokens of input."""
    estimated: bool = False
    """Whether the router estimated, since the provider has no way to count."""


class GetSpending(Message, frozen=True, kw_only=True):
    """Command `providers.spending`: what does the ledger hold of an account?"""

    account: str = ""
    """The account, such as `run.<id>`; empty for the namespace's own."""


class Spending(Message, frozen=True, kw_only=True):
    """Result of `providers.spending`."""

    account: str
    """The account."""
    settled_usd: str = "0"
    """US dollars spent for certain, a decimal string."""
    settled_tokens: int = 0
    """Tokens used for certain."""
    reserved_usd: str = "0"
    """US dollars set aside for calls that run now."""
    reserved_tokens: int = 0
    """Tokens set aside for calls that run now."""
    limit_usd: str = ""
    """The limit in US dollars; empty for none."""
    limit_tokens: int = 0
    """The limit in tokens; 0 for none."""
