"""Completions on a real broker: is one request answered once, whoever asks how often?"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from msgspec import structs
from support.replicas import FastClock, connections
from support.wait import until

from segue_contracts.v1.chat import ChatMessage, ChatRequest, ChatResponse, Sampling, Stop, Text
from segue_contracts.v1.topology import COMPLETIONS, PAYLOADS
from segue_providers.shell.completions import Claim, Completions
from segue_shared.bus import Bus
from segue_shared.clock import Clock, SystemClock
from segue_shared.errors import RefusedError, TimedOutError
from segue_shared.ids import SystemIds
from segue_shared.keyvalue import KeyValue
from segue_shared.payloads import Payloads
from segue_testing.broker import Broker

SPEED = 50
TTL_S = 600


def completions_on(bus: Bus, clock: Clock) -> Completions:
    """Return a replica's completions."""
    return Completions(bus, payloads=Payloads(bus, PAYLOADS), clock=clock, ids=SystemIds())


@pytest.fixture
def request_() -> ChatRequest:
    """A request of this test alone."""
    said = ChatMessage(role="user", parts=[Text(text="Why?")])
    return ChatRequest(id=f"run:step:{SystemIds().unique()}", messages=[said])


def an_answer(text: str = "So.") -> ChatResponse:
    """Return an answer."""
    said = ChatMessage(role="assistant", parts=[Text(text=text)])
    return ChatResponse(provider="claude", message=said, stop=Stop(reason="end"))


async def claimed(
    completions: Completions, clock: Clock, request: ChatRequest, *, seconds: float = 30
) -> Claim | ChatResponse:
    """Claim a request."""
    deadline_ms = clock.now_ms() + round(seconds * 1000)
    return await completions.claim("default", request, deadline_ms=deadline_ms)


async def won(completions: Completions, clock: Clock, request: ChatRequest) -> Claim:
    """Claim a request that nobody else answers."""
    claim = await claimed(completions, clock, request)
    assert isinstance(claim, Claim)
    return claim


@asynccontextmanager
async def replicas(broker: Broker, clock: Clock) -> AsyncIterator[tuple[Completions, Completions]]:
    """Run two replicas."""
    async with connections(broker, 2) as (first, second):
        yield completions_on(first, clock), completions_on(second, clock)


async def test_a_repeated_request_gets_the_stored_answer(
    broker: Broker, request_: ChatRequest
) -> None:
    """Also from another replica."""
    clock = SystemClock()
    async with replicas(broker, clock) as (first, second):
        claim = await won(first, clock, request_)
        await first.store(claim, an_answer(), ttl_s=TTL_S)

        assert await claimed(second, clock, request_) == an_answer()
        assert await second.find("default", request_.id) == an_answer()


async def test_a_request_that_was_never_answered_is_not_found(bus: Bus) -> None:
    """Nothing is made up."""
    assert await completions_on(bus, SystemClock()).find("default", "nobody") is None


async def test_a_second_replica_waits_for_the_first_ones_answer(
    broker: Broker, request_: ChatRequest
) -> None:
    """The request is paid once."""
    clock = SystemClock()
    async with replicas(broker, clock) as (first, second):
        claim = await won(first, clock, request_)
        waiting = asyncio.create_task(claimed(second, clock, request_))
        await asyncio.wait([waiting], timeout=0.05)
        held = not waiting.done()
        await first.store(claim, an_answer(), ttl_s=TTL_S)

        assert held
        assert await waiting == an_answer()


async def test_of_many_that_claim_at_once_one_wins(broker: Broker, request_: ChatRequest) -> None:
    """The others give up at their deadlines."""
    clock = SystemClock()
    async with replicas(broker, clock) as both:
        results = await asyncio.gather(
            *(claimed(both[number % 2], clock, request_, seconds=0.5) for number in range(10)),
            return_exceptions=True,
        )

    assert sum(isinstance(result, Claim) for result in results) == 1
    assert sum(isinstance(result, TimedOutError) for result in results) == 9


async def test_a_claim_whose_holder_died_is_taken_over(
    broker: Broker, request_: ChatRequest
) -> None:
    """Nobody waits for the dead until the deadline."""
    clock = FastClock(SPEED)
    async with replicas(broker, clock) as (first, second):
        dead = await won(first, clock, request_)
        claim = await won(second, clock, request_)

    assert claim.holder != dead.holder


async def test_a_claim_that_is_kept_is_not_taken_over(
    broker: Broker, request_: ChatRequest
) -> None:
    """A long answer is waited for."""
    clock = FastClock(SPEED)
    async with replicas(broker, clock) as (first, second):
        claim = await won(first, clock, request_)
        keeping = asyncio.create_task(first.keep(claim))
        waiting = asyncio.create_task(claimed(second, clock, request_, seconds=3600))
        began = clock.now_ms()

        async def is_late() -> bool:
            return clock.now_ms() - began > 40_000

        await until(is_late)
        held = not waiting.done()
        await first.store(claim, an_answer(), ttl_s=TTL_S)

        assert held
        assert await waiting == an_answer()
        await keeping


async def test_the_first_stored_answer_is_everybodys(broker: Broker, request_: ChatRequest) -> None:
    """Whoever was thought dead and comes second gives out the other's answer."""
    clock = FastClock(SPEED)
    async with replicas(broker, clock) as (first, second):
        slow = await won(first, clock, request_)
        fast = await won(second, clock, request_)
        stored = await second.store(fast, an_answer("fast"), ttl_s=TTL_S)
        late = await first.store(slow, an_answer("slow"), ttl_s=TTL_S)

    assert stored == late == an_answer("fast")


async def test_a_released_claim_is_free_at_once(broker: Broker, request_: ChatRequest) -> None:
    """A failed call may be tried again."""
    clock = SystemClock()
    async with replicas(broker, clock) as (first, second):
        await first.release(await won(first, clock, request_))

        assert isinstance(await claimed(second, clock, request_), Claim)


async def test_releasing_late_takes_no_answer_away(bus: Bus, request_: ChatRequest) -> None:
    """What is stored stays."""
    clock = SystemClock()
    completions = completions_on(bus, clock)
    claim = await won(completions, clock, request_)
    await completions.store(claim, an_answer(), ttl_s=TTL_S)
    await completions.release(claim)

    assert await completions.find("default", request_.id) == an_answer()


async def test_another_request_with_the_same_id_is_refused(bus: Bus, request_: ChatRequest) -> None:
    """It must not get an answer to something else."""
    clock = SystemClock()
    completions = completions_on(bus, clock)
    claim = await won(completions, clock, request_)
    await completions.store(claim, an_answer(), ttl_s=TTL_S)
    other = structs.replace(request_, sampling=Sampling(temperature=1))
    with pytest.raises(RefusedError, match="give each request an id of its own") as caught:
        await claimed(completions, clock, other)

    assert caught.value.refused.code == "conflict"


async def test_namespaces_have_ids_of_their_own(bus: Bus, request_: ChatRequest) -> None:
    """The same id in another namespace is another request."""
    clock = SystemClock()
    completions = completions_on(bus, clock)
    claim = await won(completions, clock, request_)
    await completions.store(claim, an_answer(), ttl_s=TTL_S)

    assert await completions.find("other", request_.id) is None


async def test_a_large_answer_is_stored_by_reference(bus: Bus, request_: ChatRequest) -> None:
    """It comes back whole, and the key holds little."""
    clock, large = SystemClock(), an_answer("x" * 100_000)
    completions = completions_on(bus, clock)
    claim = await won(completions, clock, request_)
    await completions.store(claim, large, ttl_s=TTL_S)
    entry = await KeyValue(bus, COMPLETIONS).get(claim.key)

    assert entry is not None
    assert len(entry.value) < 1_000
    assert await completions.find("default", request_.id) == large


async def test_an_answer_that_is_gone_is_made_anew(bus: Bus, request_: ChatRequest) -> None:
    """A reference to nothing is no answer."""
    clock = SystemClock()
    completions = completions_on(bus, clock)
    claim = await won(completions, clock, request_)
    await completions.store(claim, an_answer("y" * 100_000), ttl_s=TTL_S)
    for digest in await Payloads(bus, PAYLOADS).older_than(clock.now_ms() + 60_000):
        await Payloads(bus, PAYLOADS).remove(digest)

    assert isinstance(await claimed(completions, clock, request_), Claim)


async def test_an_answer_is_kept_as_long_as_was_asked(bus: Bus, request_: ChatRequest) -> None:
    """After that the id may be used again."""
    clock = SystemClock()
    completions = completions_on(bus, clock)
    claim = await won(completions, clock, request_)
    await completions.store(claim, an_answer(), ttl_s=1)

    async def is_gone() -> bool:
        return await completions.find("default", request_.id) is None

    await until(is_gone)
    assert isinstance(await claimed(completions, clock, request_), Claim)
