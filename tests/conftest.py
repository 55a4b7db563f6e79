"""Fixtures: what does every test of Segue share?"""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from segue_contracts.v1.topology import topology
from segue_shared.bootstrap import apply
from segue_shared.bus import Bus
from segue_testing.broker import Broker, broker_choice, running_broker
from segue_testing.choice import BrokerChoiceError

# A shell that starts the tests in the background has them ignore Ctrl-C, and so everything that
# they start; tests that press Ctrl-C need it heard.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_report_header() -> str:
    """Say which nats-server the tests use, and why."""
    try:
        return f"broker: {broker_choice()}"
    except BrokerChoiceError as error:
        raise pytest.UsageError(str(error)) from error


async def _apply_topology(url: str) -> None:
    bus = await Bus.connect(url, name="tests", max_wait_s=10)
    await apply(bus, topology())
    await bus.close()


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A real nats-server per module, with Segue's topology."""
    with running_broker(tmp_path_factory.mktemp("broker")) as running:
        asyncio.run(_apply_topology(running.url))
        yield running


@pytest.fixture
def fresh_broker(tmp_path: Path) -> Iterator[Broker]:
    """A real nats-server of this test alone, empty."""
    with running_broker(tmp_path) as running:
        yield running


@pytest.fixture
async def bus(broker: Broker) -> AsyncIterator[Bus]:
    """A connection to the module's broker."""
    connection = await Bus.connect(broker.url, name="test", max_wait_s=10)
    yield connection
    await connection.close()
