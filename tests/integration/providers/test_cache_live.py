"""The exact cache on a real broker: are equal requests answered from it, and no others?"""

import pytest
from msgspec import structs
from support.replicas import connections

from segue_contracts.v1.chat import (
    CacheOptions,
    ChatMessage,
    ChatRequest,
    ChatResponse,
    Cost,
    Stop,
    StopReason,
    Text,
)
from segue_contracts.v1.topology import PAYLOADS
from segue_providers.core.configuration import NamespaceRules
from segue_providers.shell.cache import ExactCache
from segue_shared.bus import Bus
from segue_shared.clock import SystemClock
from segue_shared.ids import SystemIds
from segue_shared.payloads import Payloads
from segue_testing.broker import Broker
from segue_testing.fakes import FakeClock

ALLOWED = NamespaceRules(cache=True)


def cache_on(
    bus: Bus,
    clock: FakeClock | None = None,
    rules: NamespaceRules = ALLOWED,
    near_bytes: int = 1_000_000,
) -> ExactCache:
    """Return a replica's cache."""
    return ExactCache(
        bus,
        payloads=Payloads(bus, PAYLOADS),
        clock=clock or FakeClock(),
        rules_of=lambda _namespace: rules,
        near_bytes=near_bytes,
    )


def asking(text: str = "") -> ChatRequest:
    """Return a request that may be answered from the cache, of this test alone."""
    said = ChatMessage(role="user", parts=[Text(text=text or SystemIds().unique())])
    return ChatRequest(id="mine", messages=[said], cache=CacheOptions(mode="auto"))


def an_answer(text: str = "So.", reason: StopReason = "end") -> ChatResponse:
    """Return an answer."""
    said = ChatMessage(role="assistant", parts=[Text(text=text)])
    return ChatResponse(
        provider="claude", message=said, stop=Stop(reason=reason), cost=Cost(usd="0.5")
    )


async def test_an_equal_request_is_answered_from_the_cache_of_any_replica(broker: Broker) -> None:
    """It costs nothing, and says where it comes from."""
    request = asking()
    async with connections(broker, 2) as buses:
        first, second = (cache_on(bus) for bus in buses)
        key = first.key_of("default", request)
        await first.keep(key, an_answer(), ttl_s=60)
        found = await second.find(key, request)

    assert found is not None
    assert found.message == an_answer().message
    assert (found.id, found.cached, found.cost.usd) == ("mine", "exact", "0")


async def test_a_request_that_nobody_made_is_not_found(bus: Bus) -> None:
    """Then it is a call."""
    cache, request = cache_on(bus), asking()

    assert await cache.find(cache.key_of("default", request), request) is None


async def test_a_namespace_must_allow_the_cache(bus: Bus) -> None:
    """Otherwise no request has a key."""
    assert cache_on(bus, rules=NamespaceRules()).key_of("default", asking()) == ""


async def test_a_request_must_want_the_cache(bus: Bus) -> None:
    """Otherwise it has no key."""
    request = structs.replace(asking(), cache=CacheOptions())

    assert cache_on(bus).key_of("default", request) == ""


async def test_namespaces_never_share_answers(bus: Bus) -> None:
    """Equal requests of two namespaces have two keys."""
    cache, request = cache_on(bus), asking()

    assert cache.key_of("one", request) != cache.key_of("two", request)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(an_answer(reason="max_tokens"), id="cut"),
        pytest.param(an_answer(reason="refusal"), id="refused"),
        pytest.param(structs.replace(an_answer(), cached="exact"), id="cached"),
    ],
)
async def test_only_a_whole_answer_of_ones_own_is_kept(bus: Bus, answer: ChatResponse) -> None:
    """Others may be better the next time."""
    cache, request = cache_on(bus), asking()
    key = cache.key_of("default", request)
    await cache.keep(key, answer, ttl_s=60)

    assert await cache.find(key, request) is None
    assert await cache_on(bus).find(key, request) is None


async def test_an_old_answer_is_none(bus: Bus) -> None:
    """Its time is over in this process and in the others at the same moment."""
    clock, request = FakeClock(), asking()
    cache = cache_on(bus, clock)
    key = cache.key_of("default", request)
    await cache.keep(key, an_answer(), ttl_s=60)
    other = cache_on(bus, clock)
    young = await other.find(key, request)
    await clock.advance(60)

    assert young is not None
    assert await cache.find(key, request) is None
    assert await other.find(key, request) is None


async def test_a_hit_in_this_process_asks_nobody_and_takes_no_time(broker: Broker) -> None:
    """It is there within a millisecond, also without a broker."""
    async with connections(broker, 1) as [bus]:
        cache, request, clock = cache_on(bus), asking(), SystemClock()
        key = cache.key_of("default", request)
        await cache.keep(key, an_answer(), ttl_s=60)
        await bus.close()
        began = clock.monotonic()
        hits = [await cache.find(key, request) for _ in range(100)]
        took_s = clock.monotonic() - began

    assert all(hit is not None for hit in hits)
    assert took_s < 0.1


async def test_a_cache_out_of_reach_has_nothing_and_breaks_nothing(broker: Broker) -> None:
    """The call is made, and its answer kept in this process."""
    async with connections(broker, 1) as [bus]:
        cache, request = cache_on(bus), asking()
        key = cache.key_of("default", request)
        await bus.close()
        before = await cache.find(key, request)
        await cache.keep(key, an_answer(), ttl_s=60)

        assert before is None
        assert await cache.find(key, request) is not None


async def test_the_latest_answers_are_kept_in_this_process_by_size(bus: Bus) -> None:
    """Those that were not asked for lately make room; the bucket still has them."""
    cache, requests = cache_on(bus, near_bytes=10_000), [asking() for _ in range(20)]
    for request in requests:
        await cache.keep(cache.key_of("default", request), an_answer("x" * 1_000), ttl_s=60)
    size = cache.size
    first = await cache.find(cache.key_of("default", requests[0]), requests[0])

    assert 5_000 < size <= 10_000
    assert first is not None


async def test_an_answer_too_large_for_this_process_is_still_cached(bus: Bus) -> None:
    """It is in the object store."""
    cache, request = cache_on(bus, near_bytes=10_000), asking()
    key = cache.key_of("default", request)
    await cache.keep(key, an_answer("x" * 100_000), ttl_s=60)
    found = await cache.find(key, request)

    assert cache.size == 0
    assert found is not None
    assert found.message == an_answer("x" * 100_000).message


async def test_a_newer_answer_replaces_the_older(bus: Bus) -> None:
    """Its size counts once."""
    cache, request = cache_on(bus), asking()
    key = cache.key_of("default", request)
    await cache.keep(key, an_answer("old"), ttl_s=60)
    size = cache.size
    await cache.keep(key, an_answer("new"), ttl_s=60)
    found = await cache.find(key, request)

    assert found is not None
    assert found.message == an_answer("new").message
    assert cache.size == size
