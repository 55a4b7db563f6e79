"""The ingress and all behind it: a gateway, the providers service, and an emulated vendor."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

from openai import AsyncOpenAI
from support.emulating import Emulated
from support.wait import until

from segue_gateway import app as gateway_app
from segue_gateway.settings import Settings as GatewaySettings
from segue_providers import app as providers_app
from segue_providers.settings import Settings as ProvidersSettings
from segue_shared.process import Process
from segue_shared.runtime import Plan
from segue_shared.settings import ServiceSettings
from segue_testing.broker import Broker

SECRET: Final = "sk-proj-z9y8x7w6v5u4t3s2r1q0"
MODEL: Final = "emu/gpt-5.5"
PATIENCE_S: Final = 20.0

_CONFIGURATION: Final = """\
providers:
  emu:
    wire: openai-chat
    base_url: {url}
    keys: [{{env: EMU_KEY}}]
    default_model: gpt-5.5
    embedding_model: text-embedding-3-small
    max_retries: 0
    timeouts: {{first_token_s: 5, idle_s: 10}}
    models:
      gpt-5.5: {{price: {{input: 2, output: 10}}}}
"""


class Ingress:
    """What a test speaks to, and what it looks at."""

    def __init__(self, url: str, emulator: Emulated) -> None:
        self.url: Final = url
        self.emulator: Final = emulator
        self.client: Final = AsyncOpenAI(
            base_url=f"{url}/v1", api_key="unused", max_retries=0, timeout=PATIENCE_S
        )

    def play(self, scenario: str) -> None:
        """Let the vendor behave in some way from now on."""
        self.emulator.reset()
        self.emulator.switch(scenario)

    def asked(self) -> list[dict[str, Any]]:
        """Return the requests that the vendor got."""
        return self.emulator.log()


@asynccontextmanager
async def ingress(broker: Broker, emulator: Emulated, folder: Path) -> AsyncIterator[Ingress]:
    """Run all of it for the length of a block."""
    file = folder / "providers.yaml"
    file.write_text(_CONFIGURATION.format(url=emulator.url("switch", suffix="/v1")))
    build = partial(providers_app.build, environ={"EMU_KEY": SECRET})
    settings = ProvidersSettings(
        nats_url=broker.url, drain_s=2, providers_file=str(file), providers_offline=False
    )
    providers = Plan(
        name="providers", settings=settings, build=build, requires=providers_app.REQUIRES
    )
    async with _running(providers), alone(broker) as url:
        stage = Ingress(url, emulator)
        async with stage.client:
            yield stage


@asynccontextmanager
async def alone(broker: Broker) -> AsyncIterator[str]:
    """Run a gateway by itself for the length of a block; gives its address."""
    gateway = Plan(
        name=gateway_app.NAME,
        settings=GatewaySettings(nats_url=broker.url, drain_s=2),
        build=gateway_app.build,
        requires=gateway_app.REQUIRES,
        asgi=lambda service: service.asgi,
    )
    async with _running(gateway) as url:
        yield url


@asynccontextmanager
async def _running(plan: Plan[Any, Any]) -> AsyncIterator[str]:
    process: Process[ServiceSettings, Any] = Process(plan)
    stop = asyncio.Event()
    serve = asyncio.create_task(process.serve(stop))

    async def is_ready() -> bool:
        return bool(process.http.port) and process._phase is None

    await until(is_ready)
    try:
        yield process.http.url
    finally:
        stop.set()
        await serve
