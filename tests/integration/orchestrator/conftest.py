"""Fixtures: what do tests of the engine share?"""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from support.runs import Desk, Runs
from support.worker import worker

from segue_contracts.v1 import subjects
from segue_orchestrator.app import NAME, REQUIRES, build
from segue_orchestrator.settings import Settings
from segue_shared.bus import Bus
from segue_shared.ids import SystemIds
from segue_testing.broker import Broker
from segue_testing.services import serving


@pytest.fixture
async def runs(broker: Broker, bus: Bus) -> AsyncIterator[Runs]:
    """A running orchestrator, and a worker that answers as the test says."""
    settings = Settings(nats_url=broker.url, ack_wait_s=2, drain_s=2)
    pool, desk = SystemIds().unique(), Desk()

    async def on_hint(message: Any) -> None:
        desk.stopped[message.subject.split(".")[-2]].set()

    async with (
        serving(NAME, settings, build, requires=REQUIRES),
        worker(bus, pool, desk.serve),
    ):
        await bus.subscribe(subjects.controls("cancel"), on_hint)
        yield Runs(bus, pool, desk)
