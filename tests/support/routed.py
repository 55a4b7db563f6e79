"""The router with the vendors' real libraries: how does a test route calls to the emulator?"""

import itertools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

import httpx2
import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg
from support.emulating import Emulated
from support.replicas import FastClock
from unit.providers.provider_support import FakeBus, FakeCompletions

from segue_contracts.envelope import Message
from segue_contracts.reply import Refused
from segue_contracts.v1 import subjects
from segue_contracts.v1.chat import ChatMessage, ChatRequest, ChatResponse, StreamOptions, Text
from segue_contracts.v1.control import CancelCall, GrantCredit
from segue_contracts.v1.deltas import Delta, DeltaEnd, DeltaError, PartDelta, StepDelta
from segue_contracts.v1.events import frame
from segue_contracts.v1.telemetry import ModelCalled
from segue_providers.app import build
from segue_providers.core.configuration import Wire
from segue_providers.settings import Settings
from segue_providers.shell.completions import Completions
from segue_providers.shell.setup import connector
from segue_shared.bus import Bus
from segue_shared.errors import RefusedError
from segue_shared.health import Health
from segue_shared.ids import SystemIds
from segue_shared.metrics import Metrics
from segue_shared.runtime import Runtime

SECRET: Final = "the-key-that-nobody-may-read-7351"
"""A key without the form of any vendor's, so that only cutting it out hides it."""
INBOX: Final = subjects.call_deltas("default", "caller")
MODELS: Final[Mapping[Wire, str]] = {
    "anthropic": "claude-opus-5",
    "gemini": "gemini-3-pro",
    "openai-responses": "gpt-6",
    "openai-chat": "gpt-6",
}
PREAMBLES: Final[Mapping[Wire, int]] = {
    "anthropic": 3,
    "gemini": 0,
    "openai-responses": 4,
    "openai-chat": 1,
}
"""Frames of a stream before anything is said."""
SPOKEN: Final[Mapping[Wire, int]] = {wire: frames + 2 for wire, frames in PREAMBLES.items()}
"""Frames of a stream after which something was said, and more is to come."""
PRICE: Final = {"input": "3", "output": "15", "cache_read": "0.3", "cache_write": "3.75"}
"""US dollars for a million tokens, of every model here."""

_numbers: Final = itertools.count()
_SPEED: Final = 20.0
_SUFFIXES: Final[Mapping[Wire, str]] = {"openai-responses": "/v1", "openai-chat": "/v1"}
_AT: Final = "2027-01-15T08:00:00.000Z"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one call."""

    response: ChatResponse | None = None
    refused: Refused | None = None
    deltas: list[Delta] = field(default_factory=list)
    """What the caller was shown."""
    tries: list[ModelCalled] = field(default_factory=list)
    """What was told of each try."""

    @property
    def error(self) -> str:
        """The class of the error that it ended with; empty for none."""
        return "" if self.refused is None else self.refused.details.get("error", "")

    @property
    def ends(self) -> list[Delta]:
        """The deltas that say that nothing follows."""
        return [one for one in self.deltas if isinstance(one, DeltaEnd | DeltaError)]

    @property
    def shown(self) -> str:
        """All text that the caller was shown."""
        pieces = (one.text for one in self.deltas if isinstance(one, PartDelta))
        return "".join(piece for piece in pieces if isinstance(piece, str))

    @property
    def text(self) -> str:
        """All text of the answer."""
        parts = [] if self.response is None else self.response.message.parts
        return "".join(part.text for part in parts if isinstance(part, Text))


Route = Callable[..., "Routed"]
"""Makes the service with a provider of a wire in a scenario."""


class Routed:
    """The service over a bus in memory, and real connections to an emulator.

    Time goes fast, so that backoffs and waits take no time of a test; timeouts are as they are.

    Args:
        providers: The providers that may be asked, the preferred one first.
        http: The HTTP client that the vendors' libraries share.
        directory: Where the configuration is written.
    """

    def __init__(
        self, providers: Mapping[str, object], *, http: httpx2.AsyncClient, directory: Path
    ) -> None:
        self.bus: Final = FakeBus()
        self._metrics = Metrics("providers", template=subjects.template)
        self._said: list[bytes] = []
        settings = Settings(
            providers_offline=False, providers_file=str(_written(providers, directory))
        )
        runtime = Runtime(
            settings=settings,
            bus=cast("Bus", self.bus),
            clock=FastClock(_SPEED),
            ids=SystemIds(),
            metrics=self._metrics,
            health=Health(),
        )
        self.service: Final = build(
            settings,
            runtime,
            connect=connector(lambda: http),
            environ={"SECRET_KEY": SECRET},
            draw=lambda: 0.0,
            completions=cast("Completions", FakeCompletions()),
        )

    async def call(self, request: ChatRequest) -> Outcome:
        """Have a request answered."""
        response, refused = None, None
        try:
            response = await self.service.parts.router.chat(request, namespace="default")
        except RefusedError as error:
            refused = error.refused
        self._said.append(msgspec.json.encode((response, refused)))
        told = self.bus.bodies("*.tel.providers.router.model_called")
        return Outcome(
            response=response,
            refused=refused,
            deltas=self.deltas(),
            tries=[one for one in told if isinstance(one, ModelCalled)],
        )

    def deltas(self) -> list[Delta]:
        """Return what the caller was shown so far."""
        bodies = self.bus.bodies(INBOX)
        return [one.delta for one in bodies if isinstance(one, StepDelta)]

    async def hint(self, body: CancelCall | GrantCredit) -> None:
        """Have the caller say something of its call."""
        await self.service.parts.controls.on_hint(_hint(body))

    def everything(self) -> bytes:
        """Return all that anybody could read: replies, deltas, telemetry and metrics."""
        published = [subject.encode() + data for subject, data in self.bus.published]
        return b"\n".join([*self._said, *published, self._metrics.exposition()[0]])


def provider(wire: Wire, emulator: Emulated, scenario: str, **fields: Any) -> dict[str, object]:
    """Return the configuration of an emulated provider."""
    model = MODELS[wire]
    told = {
        "wire": wire,
        "base_url": emulator.url(scenario, suffix=_SUFFIXES.get(wire, "")),
        "keys": [{"env": "SECRET_KEY"}],
        "default_model": model,
        "models": {model: {"price": PRICE}},
        "max_retries": 1,
    }
    return {**told, **fields}


def asking(*, stream: bool, **fields: Any) -> ChatRequest:
    """Return a request with one question, whose deltas go to the caller."""
    options = StreamOptions(on=stream, to=INBOX, include=["reasoning", "tool_args", "usage"])
    message = ChatMessage(role="user", parts=[Text(text="Hello")])
    told: dict[str, Any] = {"id": "call-1", "messages": [message], "stream": options}
    return ChatRequest(**told, **fields)


def unique(scenario: str) -> str:
    """Return a scenario with a log of its own."""
    return f"{scenario}+id.{next(_numbers)}"


def check_ending(outcome: Outcome, *, stream: bool) -> None:
    """Check that watchers are told once how it ended, and the same as the caller."""
    if not stream:
        assert outcome.deltas == []
        return
    assert outcome.ends == outcome.deltas[-1:]
    [end] = outcome.ends
    if outcome.response is not None:
        assert isinstance(end, DeltaEnd)
        assert outcome.shown == outcome.text
    else:
        assert isinstance(end, DeltaError)
        assert end.error == outcome.error
    assert [one.seq for one in outcome.deltas] == [*range(len(outcome.deltas))]


def _written(providers: Mapping[str, object], directory: Path) -> Path:
    ranked = {
        name: {**cast("dict[str, object]", one), "priority": place}
        for place, (name, one) in enumerate(providers.items())
    }
    off = {name: {"enabled": False} for name in ("claude", "gemini", "openai")}
    file = directory / "providers.yaml"
    file.write_text(json.dumps({"providers": {**off, **ranked}, "max_attempts": 4}))
    return file


def _hint(body: Message) -> Msg:
    data = frame(body, subject="s", source="segue/tests", about="call-1", time=_AT)
    return Msg(_client=Client(), subject="s", data=data)
