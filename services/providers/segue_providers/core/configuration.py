"""The configuration: which providers are there, and how shall the router treat them?

People write it as one YAML file; all that is wrong with it is told at once. It holds no key, only
where keys are found.
"""

import re
from decimal import Decimal
from typing import Annotated, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from segue_contracts.v1.chat import ErrorClass

Wire = Literal["anthropic", "gemini", "openai-responses", "openai-chat", "offline"]
"""The interface a provider speaks; `openai-chat` is also that of compatible servers."""

Policy = Literal["priority", "weighted", "latency", "cost", "least_busy"]

_TOKEN: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_NAMED: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_NAMESPACE: Final = re.compile(r"\*|[a-z0-9][a-z0-9_-]{0,63}")
_ENDING: Final[frozenset[ErrorClass]] = frozenset({"bad_request", "cancelled", "budget_exceeded"})


def _token(name: str) -> str:
    if _TOKEN.fullmatch(name) is None:
        raise ValueError("a name is made of a-z, 0-9, _ and -, and begins with a letter or digit")
    return name


def _named(name: str) -> str:
    if _NAMED.fullmatch(name) is None:
        raise ValueError("an alias is made of a-z, 0-9, '.', _ and -, and has no '/'")
    return name


def _namespace(name: str) -> str:
    if _NAMESPACE.fullmatch(name) is None:
        raise ValueError("a namespace is made of a-z, 0-9, _ and -; '*' stands for all others")
    return name


Token = Annotated[str, AfterValidator(_token)]
"""A provider's name."""
Named = Annotated[str, AfterValidator(_named)]
"""An alias's name."""
Namespace = Annotated[str, AfterValidator(_namespace)]
"""A namespace, or `*`."""

Seconds = Annotated[float, Field(gt=0, le=86_400)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class KeySource(_Part):
    """Where a key is found; exactly one of both is given."""

    env: str = Field(default="", pattern=r"^([A-Za-z_][A-Za-z0-9_]*)?$")
    """An environment variable."""
    file: str = ""
    """A file that holds nothing else, such as a mounted secret."""

    @property
    def ref(self) -> str:
        """How the key is named in answers and logs, such as `env:OPENAI_API_KEY`."""
        return f"env:{self.env}" if self.env else f"file:{self.file}"

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if bool(self.env) == bool(self.file):
            raise ValueError("give either env, a variable's name, or file, a path; not both")
        return self


class Timeouts(_Part):
    """How long the router waits for a provider, seconds."""

    connect_s: Seconds = 5
    """For a connection."""
    first_token_s: Seconds = 60
    """From sending the request to the first token, where an answer is streamed."""
    idle_s: Seconds = 20
    """Between two signs of life in a stream."""
    total_s: Seconds = 600
    """For one try."""


class Limits(_Part):
    """What all instances together may ask of a provider in a minute, for each key; 0 is none."""

    rpm: int = Field(default=0, ge=0)
    """Requests."""
    tpm: int = Field(default=0, ge=0)
    """Tokens of input and output."""


class Price(_Part):
    """What a model costs, US dollars for a million tokens, where the price table does not know."""

    input: Decimal = Field(default=Decimal(0), ge=0)
    output: Decimal = Field(default=Decimal(0), ge=0)
    cache_read: Decimal | None = Field(default=None, ge=0)
    cache_write: Decimal | None = Field(default=None, ge=0)


class Model(_Part):
    """What is known of a model."""

    context_window: int = Field(default=0, ge=0)
    """Tokens of input and output together; 0 when unknown, which rules nothing out."""
    max_output: int = Field(default=0, ge=0)
    """Tokens of output at most; 0 when unknown."""
    capabilities: frozenset[str] | None = None
    """What it can do, for `route.require`; those of its wire when absent."""
    price: Price | None = None
    """What it costs; from the price table when absent."""


class Provider(_Part):
    """One provider."""

    wire: Wire
    """The interface it speaks."""
    enabled: bool = True
    """Whether it may be asked."""
    aliases: frozenset[Token] = frozenset()
    """Other names that callers use for it."""
    priority: int = 100
    """Its rank under the policy `priority`; the lowest goes first."""
    weight: float = Field(default=1, ge=0, allow_inf_nan=False)
    """Its share of calls under the policy `weighted`."""
    base_url: str = ""
    """Where it is reached; empty for its vendor's own address."""
    keys: tuple[KeySource, ...] = ()
    """Its keys; several share the load. None for servers that want none."""
    default_model: str = ""
    """The model of calls that name none."""
    embedding_model: str = ""
    """The model of texts to embed when none is named; empty when it embeds none."""
    models: dict[str, Model] = {}
    """What is known of its models, beyond what ships with the service."""
    max_retries: int = Field(default=2, ge=0, le=10)
    """How often one call may be repeated here after the first try."""
    timeouts: Timeouts = Timeouts()
    """How long it may take."""
    limits: Limits = Limits()
    """What may be asked of it."""
    probe_s: float = Field(default=0, ge=0, le=86_400)
    """Seconds without a call after which it is checked by one that costs nothing; 0 for never."""
    max_in_flight: int = Field(default=256, ge=1)
    """Calls at once, for each instance of this service."""

    @field_validator("base_url")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        if not value:
            return value
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("write an address like 'http://127.0.0.1:11434/v1'")
        if parts.username is not None or parts.query or parts.fragment:
            raise ValueError("leave out user, password, query and fragment; keys belong in `keys`")
        return value


class FallbackRule(_Part):
    """Where to go on after which errors."""

    on: frozenset[ErrorClass] = Field(min_length=1)
    """The errors meant."""
    chain: tuple[str, ...]
    """Providers, models or aliases to try, in order; empty to ask nobody else."""

    @field_validator("on")
    @classmethod
    def _leads_on(cls, value: frozenset[ErrorClass]) -> frozenset[ErrorClass]:
        lasting = sorted(value & _ENDING)
        if lasting:
            raise ValueError(f"after {', '.join(lasting)} nobody else is asked; leave it out")
        return value


class NamespaceRules(_Part):
    """What holds for the calls of one namespace."""

    usd_per_day: Decimal | None = Field(default=None, ge=0)
    """US dollars a day (UTC) at most; no limit when absent."""
    tokens_per_day: int = Field(default=0, ge=0)
    """Tokens a day (UTC) at most; 0 for no limit."""
    cache: bool = False
    """Whether requests may be answered from the exact cache when they ask for it."""
    allow: tuple[str, ...] = ()
    """Only these providers or models; empty for all."""
    deny: tuple[str, ...] = ()
    """Never these providers or models."""


class Configuration(_Part):
    """Everything the router is told."""

    policy: Policy = "priority"
    """The routing policy of calls that name none."""
    providers: dict[Token, Provider]
    """The providers by name."""
    aliases: dict[Named, tuple[str, ...]] = {}
    """Names for a choice of models, such as `coding-strong`, the preferred one first."""
    fallbacks: tuple[FallbackRule, ...] = ()
    """Where to go on after errors, when the request says nothing of it."""
    namespaces: dict[Namespace, NamespaceRules] = {}
    """Rules of namespaces; `*` stands for those that are not named."""
    max_attempts: int = Field(default=6, ge=1, le=50)
    """Tries over all providers at most."""
    completion_ttl_s: int = Field(default=86_400, ge=60)
    """Seconds for which an answer is kept under the key of its request."""
    cache_ttl_s: int = Field(default=3_600, ge=1)
    """Seconds an answer stays in the exact cache unless its request says otherwise."""
    hedge_share: float = Field(default=0.05, ge=0, le=1)
    """Share of calls that may be hedged at most."""
