"""Two whole services on a real broker: do their calls keep one limit together?"""

import asyncio
import json
from pathlib import Path

from msgspec import structs
from pydantic import SecretStr
from support.replicas import FastClock, connections
from unit.providers.provider_support import FakeModelClient, asking

from segue_contracts.v1 import subjects
from segue_providers.app import Providers, build
from segue_providers.core.configuration import Provider
from segue_providers.settings import Settings
from segue_shared.bus import Bus
from segue_shared.clock import Clock
from segue_shared.errors import RefusedError
from segue_shared.health import Health
from segue_shared.ids import SystemIds
from segue_shared.metrics import Metrics
from segue_shared.runtime import Runtime
from segue_testing.broker import Broker

SPEED = 12
RPM = 600
CALLERS = 8


def configured(directory: Path) -> Settings:
    """Return the settings of a service with one provider that may be asked so often."""
    limited = {
        "wire": "anthropic",
        "keys": [{"env": "A_KEY"}],
        "default_model": "model-1",
        "limits": {"rpm": RPM},
    }
    off = {name: {"enabled": False} for name in ("claude", "gemini", "openai")}
    file = directory / "providers.yaml"
    file.write_text(json.dumps({"providers": {**off, "limited": limited}}))
    return Settings(providers_file=str(file), providers_offline=False, drain_s=1)


def service(settings: Settings, bus: Bus, clock: Clock, client: FakeModelClient) -> Providers:
    """Return one replica, whose provider answers at once."""

    def connect(_provider: Provider, _key: SecretStr | None) -> FakeModelClient:
        return client

    runtime = Runtime(
        settings=settings,
        bus=bus,
        clock=clock,
        ids=SystemIds(),
        metrics=Metrics("providers", template=subjects.template),
        health=Health(),
    )
    return build(settings, runtime, connect=connect, environ={"A_KEY": "k"})


async def ask_on(replica: Providers, clock: Clock, until_ms: int) -> int:
    """Ask one call after the other until a time, and return how many were answered."""
    count = 0
    request = structs.replace(asking("Hello."), id="", deadline_ms=until_ms)
    while clock.now_ms() < until_ms:
        try:
            await replica.parts.router.chat(request, namespace="default")
        except RefusedError:
            return count
        count += 1
    return count


async def test_two_services_under_load_keep_a_shared_limit(broker: Broker, tmp_path: Path) -> None:
    """In a minute their calls are within 5 % of what one may make, and none is made beside them."""
    clock, settings, client = FastClock(SPEED), configured(tmp_path), FakeModelClient()
    async with connections(broker, 2) as buses:
        replicas = [service(settings, bus, clock, client) for bus in buses]
        until_ms = clock.now_ms() + 60_000
        counts = await asyncio.gather(
            *(ask_on(one, clock, until_ms) for one in replicas for _ in range(CALLERS))
        )
        await asyncio.gather(*(one.parts.stores.rates.close() for one in replicas))

    assert RPM * 0.95 <= len(client.requests) <= RPM * 1.05
    assert sum(counts) == len(client.requests)
    first, second = sum(counts[:CALLERS]), sum(counts[CALLERS:])
    assert min(first, second) > RPM * 0.1
