"""Pools: how are their consumers made, whatever the broker goes through?"""

import asyncio
from collections.abc import Callable
from typing import cast

import msgspec

from segue_orchestrator.shell.pools import Pools
from segue_shared.bus import Bus
from segue_shared.errors import TimedOutError
from segue_testing.fakes import FakeClock


class HesitantBus:
    """Makes consumers, and answers from the second time on."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.asked = b""

    def on_reconnect(self, callback: Callable[[], None]) -> None:
        """Never reconnect."""

    async def request(self, subject: str, data: bytes) -> bytes:
        """Tell how long the journal is, and that there is no consumer or that it was made."""
        self.calls.append(subject)
        self.asked = data
        if len(self.calls) == 1:
            raise TimedOutError(f"{subject} did not answer to {len(data)} bytes")
        if ".STREAM.INFO." in subject:
            return b'{"state": {"last_seq": 41}}'
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


async def test_a_pool_begins_after_the_journal_as_it_was_before_it_was_made() -> None:
    """A task that is stored while a cluster still elects the consumer's leader is delivered."""
    bus = HesitantBus()
    bus.calls.append("it has answered before")

    await Pools(cast("Bus", bus), FakeClock(), ack_wait_s=2).ensure("gpu", "default")

    config = msgspec.json.decode(bus.asked)["config"]
    assert (config["deliver_policy"], config["opt_start_seq"]) == ("by_start_sequence", 42)
