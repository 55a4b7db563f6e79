"""Rates on a real broker: do all replicas keep one limit together?"""

import asyncio

import pytest
from support.replicas import FastClock, connections
from support.wait import until

from segue_contracts.v1.topology import LEDGER, topology
from segue_providers.core.configuration import Limits
from segue_providers.shell.rates import Permit, Rates, Wait, place_of
from segue_shared.bootstrap import apply
from segue_shared.bus import Bus
from segue_shared.clock import Clock
from segue_shared.ids import SystemIds
from segue_shared.journal import Journal
from segue_testing.broker import Broker
from segue_testing.fakes import FakeClock

SPEED = 15


@pytest.fixture
def place() -> str:
    """A provider and key of this test alone."""
    return place_of(SystemIds().unique(), "env:KEY")


@pytest.fixture
def clock() -> FakeClock:
    """Time that stands still unless it is moved."""
    return FakeClock()


async def drain(rates: Rates, place: str, limits: Limits, *, tokens: int = 0) -> int:
    """Take as many requests as there are now."""
    count = 0
    while isinstance(await rates.reserve(place, limits, tokens=tokens), Permit):
        count += 1
    return count


async def load(rates: Rates, clock: Clock, place: str, *, limits: Limits, until_ms: int) -> int:
    """Send as many requests as are allowed, until a time."""
    count = 0
    while (left_ms := until_ms - clock.now_ms()) > 0:
        answer = await rates.reserve(place, limits, tokens=0)
        if isinstance(answer, Permit):
            count += 1
        else:
            await clock.sleep(min(answer.seconds, left_ms / 1000))
    return count


async def test_two_replicas_under_load_keep_a_shared_limit(broker: Broker, place: str) -> None:
    """In a minute they send within 5 % of what one may send."""
    clock, limits = FastClock(SPEED), Limits(rpm=600)
    async with connections(broker, 2) as buses:
        replicas = [Rates(bus, clock=clock) for bus in buses]
        until_ms = clock.now_ms() + 60_000
        counts = await asyncio.gather(
            *(
                load(rates, clock, place, limits=limits, until_ms=until_ms)
                for rates in replicas
                for _ in range(4)
            )
        )

    assert 600 * 0.95 <= sum(counts) <= 600 * 1.05


async def test_no_limit_asks_nobody(bus: Bus, clock: FakeClock, place: str) -> None:
    """What is not configured costs nothing."""
    journal, rates = Journal(bus, f"KV_{LEDGER}"), Rates(bus, clock=clock)
    before = await journal.last_sequence()
    permits = [await rates.reserve(place, Limits(), tokens=10**9) for _ in range(100)]

    assert all(isinstance(permit, Permit) for permit in permits)
    assert await journal.last_sequence() == before


async def test_a_fast_provider_costs_few_writes(bus: Bus, clock: FakeClock, place: str) -> None:
    """A replica takes a piece at once."""
    journal, rates = Journal(bus, f"KV_{LEDGER}"), Rates(bus, clock=clock)
    before = await journal.last_sequence()
    count = await drain(rates, place, Limits(rpm=6_000))

    assert count == 200
    assert await journal.last_sequence() - before <= 20


async def test_a_replica_that_must_wait_is_told_how_long(
    bus: Bus, clock: FakeClock, place: str
) -> None:
    """After that there is room."""
    rates, limits = Rates(bus, clock=clock), Limits(rpm=60)
    await drain(rates, place, limits)
    wait = await rates.reserve(place, limits, tokens=0)
    assert isinstance(wait, Wait)
    await clock.advance(wait.seconds + 0.001)

    assert wait.seconds == pytest.approx(1, abs=0.01)
    assert isinstance(await rates.reserve(place, limits, tokens=0), Permit)


async def test_keys_have_limits_of_their_own(bus: Bus, clock: FakeClock, place: str) -> None:
    """One that is used up says nothing of another."""
    rates, limits = Rates(bus, clock=clock), Limits(rpm=1)
    await drain(rates, place, limits)

    other = place_of(place, "env:OTHER")
    assert isinstance(await rates.reserve(other, limits, tokens=0), Permit)


async def test_tokens_that_were_not_used_may_be_used_by_another_replica(
    broker: Broker, clock: FakeClock, place: str
) -> None:
    """The estimate was the most that could be, and the truth comes back."""
    limits = Limits(tpm=1_000)
    async with connections(broker, 2) as buses:
        first, second = (Rates(bus, clock=clock) for bus in buses)
        permit = await first.reserve(place, limits, tokens=1_000)
        assert isinstance(permit, Permit)
        refused = await second.reserve(place, limits, tokens=900)
        first.settle(permit, 100)
        await first.close()
        answer = await second.reserve(place, limits, tokens=900)

    assert isinstance(refused, Wait)
    assert isinstance(answer, Permit)


async def test_what_comes_back_is_sent_soon(bus: Bus, clock: FakeClock, place: str) -> None:
    """Nobody needs to end for others to go on."""
    limits, rates = Limits(tpm=1_000), Rates(bus, clock=clock)
    permit = await rates.reserve(place, limits, tokens=1_000)
    assert isinstance(permit, Permit)
    rates.settle(permit, 0)

    async def is_back() -> bool:
        await clock.advance(0.01)
        return isinstance(await rates.reserve(place, limits, tokens=900), Permit)

    await until(is_back)


async def test_a_request_that_took_more_than_its_estimate_owes_it(
    bus: Bus, clock: FakeClock, place: str
) -> None:
    """Those after it wait the longer."""
    limits, rates = Limits(tpm=1_000), Rates(bus, clock=clock)
    permit = await rates.reserve(place, limits, tokens=500)
    assert isinstance(permit, Permit)
    rates.settle(permit, 1_500)
    await rates.close()
    wait = await rates.reserve(place, limits, tokens=500)

    assert isinstance(wait, Wait)
    assert wait.seconds == pytest.approx(60, abs=1)


async def test_a_request_that_never_went_out_is_given_back(
    bus: Bus, clock: FakeClock, place: str
) -> None:
    """Another may have its place."""
    limits, rates = Limits(rpm=30), Rates(bus, clock=clock)
    permit = await rates.reserve(place, limits, tokens=0)
    assert isinstance(permit, Permit)
    full = await rates.reserve(place, limits, tokens=0)
    rates.release(permit)
    await rates.close()

    assert isinstance(full, Wait)
    assert isinstance(await rates.reserve(place, limits, tokens=0), Permit)


async def test_what_a_provider_says_is_believed_by_all(
    broker: Broker, clock: FakeClock, place: str
) -> None:
    """One hears that nothing is left, and the other sends nothing either."""
    limits = Limits(rpm=600)
    async with connections(broker, 2) as buses:
        first, second = (Rates(bus, clock=clock) for bus in buses)
        await first.learn(place, limits, {"x-ratelimit-remaining-requests": "0"})

        assert isinstance(await first.reserve(place, limits, tokens=0), Wait)
        assert isinstance(await second.reserve(place, limits, tokens=0), Wait)


async def test_a_pause_that_a_provider_wants_is_kept_by_all(
    broker: Broker, clock: FakeClock, place: str
) -> None:
    """Until its end, and no longer."""
    limits = Limits(rpm=600)
    async with connections(broker, 2) as buses:
        first, second = (Rates(bus, clock=clock) for bus in buses)
        await first.learn(place, limits, {"retry-after": "7"})
        waits = [await rates.reserve(place, limits, tokens=0) for rates in (first, second)]
        await clock.advance(7)
        after = [await rates.reserve(place, limits, tokens=0) for rates in (first, second)]

    assert waits == [Wait(seconds=7), Wait(seconds=7)]
    assert all(isinstance(answer, Permit) for answer in after)


async def test_without_a_broker_a_replica_keeps_to_its_part(
    fresh_broker: Broker, clock: FakeClock, place: str
) -> None:
    """Two replicas that know nothing of each other send half each."""
    bus = await Bus.connect(fresh_broker.url, name="test", max_wait_s=10)
    await apply(bus, topology())
    rates = Rates(bus, clock=clock, live=lambda: 2)
    fresh_broker.kill()

    async def is_cut() -> bool:
        return not bus.connected

    await until(is_cut)
    alone = await drain(rates, place, Limits(rpm=600))
    fresh_broker.restart()
    await bus.wait_connected()
    await clock.advance(2)
    together = await drain(rates, place, Limits(rpm=600))
    await bus.close()

    assert (alone, together) == (10, 20)
