"""The stand of the provider router: what does a benchmark of it run against?"""

import asyncio
import http.client
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

import anthropic
import msgspec
import openai

from bench.processes import ROOT, running
from segue_contracts.v1 import subjects
from segue_contracts.v1.chat import (
    ChatMessage,
    ChatRequest,
    ChatResponse,
    OutputOptions,
    RouteOptions,
    Text,
)
from segue_contracts.v1.providers import ProviderList, ProvidersStatus
from segue_contracts.v1.topology import topology
from segue_shared.bootstrap import apply
from segue_shared.bus import Bus
from segue_shared.errors import TransientError
from segue_testing.broker import free_port, running_broker

MODELS: Final = {"claude": "claude-sonnet-5-5", "chat": "gpt-6-luna"}
"""The models that are asked, by provider; `chat` is one that is compatible with OpenAI's chat."""
CACHED: Final = "cached"
"""The namespace that may use the exact cache."""

_PROGRAM: Final = ROOT / "tests" / "support" / "emulator.py"
_KEY: Final = "the-key-of-an-emulator"
QUESTION: Final = "What is the shortest way from one part to the next?"
MOST_TOKENS: Final = 256
_PATIENCE_S: Final = 60

Ask = Callable[[], Awaitable[object]]
"""Makes one call."""


class Emulator:
    """The providers' side: a process that answers as they would."""

    def __init__(self, port: int) -> None:
        self._port = port

    def url(self, path: str) -> str:
        """Return the base URL of a scenario."""
        return f"http://127.0.0.1:{self._port}/{path}"

    def reset(self) -> None:
        """Have it forget the requests that it keeps."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_PATIENCE_S)
        connection.request("POST", "/_reset", "{}")
        connection.getresponse().read()
        connection.close()


class Stand:
    """A broker, the providers service as a process, and the emulator that both sides call."""

    def __init__(self, bus: Bus, emulator: Emulator, pid: int) -> None:
        self.bus: Final = bus
        self.emulator: Final = emulator
        self.pid: Final = pid
        """The service's process."""
        self.claude: Final = anthropic.AsyncAnthropic(
            api_key=_KEY, base_url=emulator.url("ok"), max_retries=0
        )
        self.chat: Final = openai.AsyncOpenAI(
            api_key=_KEY, base_url=emulator.url("ok/v1"), max_retries=0
        )

    async def routed(self, request: ChatRequest, namespace: str = "default") -> ChatResponse:
        """Have the service answer a request."""
        subject = subjects.command(namespace, "providers", "chat")
        return await self.bus.call(subject, request, ChatResponse, timeout_s=_PATIENCE_S)

    def bare(self, provider: str) -> Ask:
        """Return what makes the same call with the vendor's library alone."""
        model = MODELS[provider]
        if provider == "claude":
            return lambda: self.claude.messages.create(
                model=model,
                max_tokens=MOST_TOKENS,
                messages=[{"role": "user", "content": QUESTION}],
            )
        return lambda: self.chat.chat.completions.create(
            model=model,
            max_completion_tokens=MOST_TOKENS,
            messages=[{"role": "user", "content": QUESTION}],
        )

    async def close(self) -> None:
        """Close the libraries' connections."""
        await self.claude.close()
        await self.chat.close()


def asking(*order: str, text: str = QUESTION, **fields: Any) -> ChatRequest:
    """Return a request that these providers or models may answer, the first of them first."""
    request = ChatRequest(
        messages=[ChatMessage(role="user", parts=[Text(text=text)])],
        output=OutputOptions(max_tokens=MOST_TOKENS),
        route=RouteOptions(order=list(order), allow=list(order)),
    )
    return msgspec.structs.replace(request, **fields)


@asynccontextmanager
async def stand() -> AsyncIterator[Stand]:
    """Start the broker, the emulator and the service, and wait until it answers."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        broker = stack.enter_context(running_broker(directory))
        emulator = Emulator(stack.enter_context(_emulating()))
        bus = await Bus.connect(broker.url, name="bench", max_wait_s=10)
        await apply(bus, topology())
        file = directory / "providers.yaml"
        file.write_text(json.dumps(_configuration(emulator)))
        environment = {
            "SEGUE_NATS_URL": broker.url,
            "SEGUE_LOG_LEVEL": "error",
            "SEGUE_PROVIDERS_FILE": str(file),
            "SEGUE_PROVIDERS_OFFLINE": "false",
            "BENCH_KEY": _KEY,
        }
        made = Stand(bus, emulator, stack.enter_context(running("segue_providers", **environment)))
        await _until_answered(made)
        try:
            yield made
        finally:
            await made.close()
            await bus.close()


def _configuration(emulator: Emulator) -> dict[str, object]:
    def provider(wire: str, model: str, url: str, **fields: object) -> dict[str, object]:
        keys = [{"env": "BENCH_KEY"}]
        told = {"wire": wire, "default_model": model, "base_url": url, "keys": keys}
        return {**told, "max_in_flight": 1_000, **fields}

    model, broken = MODELS["claude"], emulator.url("error.500")
    gone = f"http://127.0.0.1:{free_port()}"
    return {
        "providers": {
            "claude": provider("anthropic", model, emulator.url("ok")),
            "chat": provider("openai-chat", MODELS["chat"], emulator.url("ok/v1")),
            "gone": provider("anthropic", model, gone),
            "ill": provider("anthropic", model, broken, max_retries=0),
            "ailing": provider("anthropic", model, broken, max_retries=2),
            "gemini": {"enabled": False},
            "openai": {"enabled": False},
        },
        "namespaces": {CACHED: {"cache": True}},
    }


@contextmanager
def _emulating() -> Iterator[int]:
    """Run the emulator; yields its port."""
    process = subprocess.Popen(
        [sys.executable, str(_PROGRAM), "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL if not os.environ.get("BENCH_VERBOSE") else None,
        text=True,
    )
    try:
        if process.stdout is None or not (line := process.stdout.readline().strip()).isdigit():
            raise RuntimeError("the emulator of providers did not start")
        yield int(line)
    finally:
        process.terminate()
        process.wait(timeout=15)


async def _until_answered(made: Stand) -> None:
    """Wait until the service answers commands."""
    status = subjects.command("default", "providers", "status")
    async with asyncio.timeout(_PATIENCE_S):
        while True:
            try:
                await made.bus.call(status, ProvidersStatus(), ProviderList)
            except TransientError:
                await asyncio.sleep(0.05)
            else:
                return
