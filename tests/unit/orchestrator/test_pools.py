"""Pools: does the orchestrator come up although the broker does not answer at once?"""

import asyncio
from collections.abc import Callable
from typing import cast

from segue_orchestrator.shell.pools import Pools
from segue_shared.bus import Bus
from segue_shared.errors import TimedOutError
from segue_testing.fakes import FakeClock


class HesitantBus:
    """Makes consumers, and answers from the second time on."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def on_reconnect(self, callback: Callable[[], None]) -> None:
        """Never reconnect."""

    async def request(self, subject: str, data: bytes) -> bytes:
        """Tell that there is no consumer, or that it was made; nothing at first."""
        self.calls.append(subject)
        if len(self.calls) == 1:
            raise TimedOutError(f"{subject} did not answer to {len(data)} bytes")
        return b"{}" if ".CREATE." in subject else b'{"error": {"code": 404}}'


async def test_a_pool_is_made_once_the_broker_answers() -> None:
    """A process that starts while the broker has no leader waits instead of ending."""
    bus, clock = HesitantBus(), FakeClock()
    pools = Pools(cast("Bus", bus), clock, ack_wait_s=2)
    making = asyncio.create_task(pools.made("gpu", "default"))

    while not making.done():
        await clock.advance(1)

    await making
    assert ".CREATE." in bus.calls[-1]
    assert pools.is_ready("gpu", "default")
