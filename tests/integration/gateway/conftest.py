"""Fixtures: what do the tests of the ingress share?"""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from integration.gateway.openai_ingress import Ingress, ingress
from support.emulating import Emulated, emulating

from segue_testing.broker import Broker


@pytest.fixture(scope="module")
def vendor() -> Iterator[Emulated]:
    """An emulator of all wires, as a process of this module's own."""
    with emulating() as running:
        yield running


@pytest.fixture
async def ingress_(broker: Broker, vendor: Emulated, tmp_path: Path) -> AsyncIterator[Ingress]:
    """A gateway, the providers service and an emulated vendor."""
    async with ingress(broker, vendor, tmp_path) as running:
        yield running
