"""What do the tests of routing have in common?"""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence

from msgspec import structs
from pydantic import SecretStr

from segue_contracts.v1.chat import ChatMessage, ChatRequest, RouteOptions, Text
from segue_providers.core.answer import AnswerEvent
from segue_providers.core.catalogue import Catalogue, Facts, Found, Target, catalogue_of
from segue_providers.core.configuration import Configuration, Provider
from segue_providers.core.configuration_file import parse
from segue_providers.core.filters import Moment
from segue_providers.core.fleet import Admission, Fleet
from segue_providers.core.health import Result
from segue_providers.core.routing import Decision, decide
from segue_providers.shell.ports import Embedded

NOW = 1_800_000_000_000


def said(text: str) -> ChatMessage:
    """Return a user's message."""
    return ChatMessage(role="user", parts=[Text(text=text)])


def configured(**fields: object) -> Configuration:
    """Return a configuration of claude (sonnet, opus, haiku), gemini (pro) and the stand-in."""
    whole: dict[str, object] = {
        "providers": {
            "claude": provider("anthropic", 1, "sonnet", "opus", "haiku", aliases=["anthropic"]),
            "gemini": provider("gemini", 2, "pro", "flash", aliases=["google"]),
            "offline": provider("offline", 9, "extractive"),
        },
        "aliases": {"strong": ["claude/opus", "gemini/pro"]},
    }
    return Configuration.model_validate(whole | fields)


def provider(wire: str, priority: int, *models: str, **fields: object) -> dict[str, object]:
    """Return a provider; its first model is the default."""
    told: dict[str, object] = {model: {} for model in models}
    given = fields.pop("models", {})
    assert isinstance(given, dict)
    told |= given
    default = models[0] if models else ""
    return {"wire": wire, "priority": priority, "default_model": default, "models": told, **fields}


def nothing(_name: str, _provider: Provider, _model: str) -> Facts | None:
    """Know no model."""
    return None


def catalogue(configuration: Configuration | None = None, **found: Found) -> Catalogue:
    """Return a catalogue of a configuration, with what is in the way of some."""
    return catalogue_of(configuration or configured(), look=nothing, found=found)


def fleet_of(configuration: Configuration | None = None, *refs: str) -> Fleet:
    """Return a fleet in which each provider has these keys."""
    fleet = Fleet()
    names = (configuration or configured()).providers
    fleet.renew({name: dict.fromkeys(refs or ("env:KEY",), "1") for name in names}, most={})
    return fleet


def asking(model: str = "", *, tokens: int = 0, **route: object) -> ChatRequest:
    """Return a request that is routed so."""
    request = ChatRequest(
        id="request",
        messages=[said("hello")],
        model=model,
        route=structs.replace(RouteOptions(), **route),
    )
    if tokens:
        output = structs.replace(request.output, max_tokens=tokens)
        return structs.replace(request, output=output)
    return request


def routed(
    request: ChatRequest | None = None,
    configuration: Configuration | None = None,
    *,
    fleet: Fleet | None = None,
    found: Mapping[str, Found] | None = None,
    **moment: object,
) -> Decision:
    """Decide on a request."""
    at: dict[str, object] = {"now_ms": NOW, **moment}
    return decide(
        request or asking(),
        catalogue(configuration, **(found or {})),
        fleet or fleet_of(configuration),
        Moment(**at),  # type: ignore[arg-type]
    )


def names(decision: Decision) -> list[str]:
    """Return the targets in order, as a person would write them."""
    return ["/".join(target) for target in decision.targets]


def reason(decision: Decision, provider_name: str) -> str:
    """Return what was said of a candidate."""
    return next(one.reason for one in decision.candidates if one.provider == provider_name)


def called(
    fleet: Fleet, target: Target, *results: Result, now_ms: int = NOW, jitter: float = 0.5
) -> None:
    """Let calls to a model end so."""
    for result in results or (Result(total_ms=100, first_token_ms=10),):
        admission = fleet.admit(target, now_ms=now_ms)
        assert isinstance(admission, Admission)
        fleet.record(admission, result, now_ms=now_ms, jitter=jitter)


def parsed(text: str = "", **environ: str) -> Configuration:
    """Return what a file configures."""
    found = parse(text, where="providers.yaml", environ=environ)
    assert isinstance(found, Configuration), found
    return found


def problems(text: str, **environ: str) -> list[str]:
    """Return what is wrong with a file."""
    found = parse(text, where="providers.yaml", environ=environ)
    assert isinstance(found, list)
    return found


CLAUDE = Target("claude", "sonnet")
OPUS = Target("claude", "opus")
GEMINI = Target("gemini", "pro")
OFFLINE = Target("offline", "extractive")


class IdleModelClient:
    """A client that knows whether it is closed and what it was made of."""

    def __init__(self, provider: Provider, key: SecretStr | None) -> None:
        self.provider = provider
        self.key = "" if key is None else key.get_secret_value()
        self.closed = asyncio.Event()

    def answer(self, request: ChatRequest) -> AsyncGenerator[AnswerEvent, None]:
        """Answer nothing; these tests ask nothing."""
        raise NotImplementedError

    async def embed(self, texts: Sequence[str], *, model: str, dimensions: int) -> Embedded:
        """Embed nothing."""
        raise NotImplementedError

    async def count(self, request: ChatRequest) -> int | None:
        """Count nothing."""
        raise NotImplementedError

    async def probe(self) -> None:
        """Be there."""

    async def close(self) -> None:
        """Note it."""
        assert not self.closed.is_set()
        self.closed.set()
