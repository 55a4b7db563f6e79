"""Coalescing: do equal requests at the same time share one call?"""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from segue_providers.shell.coalescing import Coalescing

See = Callable[[int], Awaitable[None]]


class Scripted:
    """A call that goes on when it is told to."""

    def __init__(self, *events: int, error: Exception | None = None) -> None:
        self.events = events
        self.error = error
        self.go_on = asyncio.Event()
        self.calls = 0
        self.told = 0
        self.cancelled = asyncio.Event()

    async def __call__(self, tell: See) -> str:
        """Tell all events, and answer once that is wanted."""
        self.calls += 1
        try:
            for event in self.events:
                await tell(event)
                self.told += 1
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        if self.error is not None:
            raise self.error
        return "answer"


class Viewer:
    """Sees events, from a point on only when let."""

    def __init__(self, *, stops_at: int = 1_000) -> None:
        self.seen: list[int] = []
        self.stops_at = stops_at
        self.let = asyncio.Event()
        self.saw = asyncio.Event()

    async def __call__(self, event: int) -> None:
        """Take one event."""
        if len(self.seen) >= self.stops_at:
            await self.let.wait()
        self.seen.append(event)
        self.saw.set()


async def settled() -> None:
    """Let everything run that can."""
    for _ in range(50):
        await asyncio.sleep(0)


async def test_equal_requests_make_one_call() -> None:
    """All get the leader's answer, and only the leader made the call."""
    flights: Coalescing[int, str] = Coalescing()
    work = Scripted(1, 2)
    waiters = [asyncio.create_task(flights.run("k", work, Viewer())) for _ in range(3)]
    await settled()
    work.go_on.set()

    assert await asyncio.gather(*waiters) == [
        ("answer", True),
        ("answer", False),
        ("answer", False),
    ]
    assert (work.calls, flights.running) == (1, 0)


async def test_a_follower_sees_the_events_from_the_first() -> None:
    """Also those that were told before it came."""
    flights: Coalescing[int, str] = Coalescing()
    work, late = Scripted(1, 2, 3), Viewer()
    leader = asyncio.create_task(flights.run("k", work, Viewer()))
    await settled()
    follower = asyncio.create_task(flights.run("k", work, late))
    await settled()
    work.go_on.set()
    await asyncio.gather(leader, follower)

    assert late.seen == [1, 2, 3]


async def test_other_requests_make_their_own_call() -> None:
    """Only equal ones share."""
    flights: Coalescing[int, str] = Coalescing()
    work = Scripted()
    work.go_on.set()

    both = await asyncio.gather(*(flights.run(key, work, Viewer()) for key in "ab"))

    assert both == [("answer", True), ("answer", True)]


async def test_a_call_in_flight_is_seen() -> None:
    """Who would follow need not pay."""
    flights: Coalescing[int, str] = Coalescing()
    work = Scripted()
    leader = asyncio.create_task(flights.run("k", work, Viewer()))
    await settled()

    assert (flights.joins("k"), flights.joins("other")) == (True, False)
    work.go_on.set()
    await leader
    assert not flights.joins("k")


async def test_the_leader_may_leave_while_another_waits() -> None:
    """The call goes on for the other."""
    flights: Coalescing[int, str] = Coalescing()
    work = Scripted(1)
    leader = asyncio.create_task(flights.run("k", work, Viewer()))
    await settled()
    follower = asyncio.create_task(flights.run("k", work, Viewer()))
    await settled()
    leader.cancel()
    await asyncio.wait([leader])
    work.go_on.set()

    assert await follower == ("answer", False)


async def test_the_last_to_leave_cancels_the_call() -> None:
    """Nobody pays for what nobody wants, and the next one calls anew."""
    flights: Coalescing[int, str] = Coalescing()
    work = Scripted(1)
    waiters = [asyncio.create_task(flights.run("k", work, Viewer())) for _ in range(2)]
    await settled()
    for waiter in waiters:
        waiter.cancel()
    await asyncio.wait(waiters)

    assert work.cancelled.is_set()
    assert flights.running == 0


async def test_a_failed_call_fails_for_all() -> None:
    """Each hears why."""
    flights: Coalescing[int, str] = Coalescing()
    work = Scripted(1, error=ValueError("it broke"))
    waiters = [asyncio.create_task(flights.run("k", work, Viewer())) for _ in range(2)]
    await settled()
    work.go_on.set()

    results = await asyncio.gather(*waiters, return_exceptions=True)
    assert [str(result) for result in results] == ["it broke", "it broke"]


async def test_a_slow_viewer_holds_the_call_back() -> None:
    """The provider is not read much faster than its answer is taken."""
    flights: Coalescing[int, str] = Coalescing()
    work, viewer = Scripted(*range(100)), Viewer(stops_at=10)
    waiter = asyncio.create_task(flights.run("k", work, viewer))
    await settled()
    told = work.told
    viewer.let.set()
    work.go_on.set()
    await waiter

    assert told < 40
    assert viewer.seen == [*range(100)]


async def test_a_slow_follower_does_not_hold_the_others_back() -> None:
    """The fastest sets the pace; the slow one sees everything later."""
    flights: Coalescing[int, str] = Coalescing()
    work, fast, slow = Scripted(*range(100)), Viewer(), Viewer(stops_at=0)
    first = asyncio.create_task(flights.run("k", work, slow))
    second = asyncio.create_task(flights.run("k", work, fast))
    work.go_on.set()

    assert await second == ("answer", False)
    slow.let.set()
    await first
    assert slow.seen == fast.seen == [*range(100)]


async def test_a_viewer_that_fails_leaves_alone() -> None:
    """Its trouble is its own."""
    flights: Coalescing[int, str] = Coalescing()
    work = Scripted(1)

    async def failing(_event: int) -> None:
        raise ValueError("no")

    broken = asyncio.create_task(flights.run("k", work, failing))
    other = asyncio.create_task(flights.run("k", work, Viewer()))
    with pytest.raises(ValueError, match="no"):
        await broken
    work.go_on.set()

    assert (await other)[0] == "answer"
