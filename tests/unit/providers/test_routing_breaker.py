"""Does the breaker keep calls away from who fails, and let them back again?"""

from itertools import pairwise

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from unit.providers.routing_support import NOW

from segue_contracts.v1.chat import ErrorClass
from segue_providers.core.breaker import (
    LEAST_CALLS,
    LONGEST_OPEN_MS,
    MOST_TRANSPORT,
    OPEN_MS,
    PROBES,
    SHARES,
    STAGE_CALLS,
    STAGE_MS,
    Breaker,
    Pass,
)
from segue_providers.core.health import Result

GOOD = Result()
DOWN = Result(error="transport")
BUSY = Result(error="overloaded")
MID = 0.5


def call(breaker: Breaker, result: Result, now_ms: int = NOW, *, jitter: float = MID) -> bool:
    """Make a call that ends so; return whether it was admitted."""
    admitted = breaker.admit(now_ms=now_ms)
    if admitted is not None:
        breaker.record(admitted, result, now_ms=now_ms, jitter=jitter)
    return admitted is not None


def opened(times: int = 1) -> tuple[Breaker, int]:
    """Return a breaker that opened so often in a row, and when it half-opens."""
    breaker, now = Breaker(), NOW
    for _ in range(MOST_TRANSPORT):
        call(breaker, DOWN, now)
    for _ in range(times - 1):
        now = breaker.until_ms
        call(breaker, DOWN, now)
    return breaker, breaker.until_ms


def test_half_of_enough_calls_open_it() -> None:
    """Nine calls mean nothing; of ten, five faults are enough."""
    breaker = Breaker()
    for result in (BUSY, GOOD) * 4:
        call(breaker, result)
    assert breaker.state(NOW) == "closed"
    call(breaker, GOOD)
    call(breaker, BUSY)

    assert LEAST_CALLS == 10
    assert breaker.state(NOW) == "open"
    assert not call(breaker, GOOD)
    [change] = breaker.changes()
    assert (change.before, change.state) == ("closed", "open")
    assert change.reason == "5 of 10 calls failed within a minute, the last with overloaded"
    assert breaker.changes() == []


def test_transport_failures_in_a_row_open_it() -> None:
    """Five are enough without any volume; an answer between them starts the count again."""
    breaker = Breaker()
    for result in (DOWN, DOWN, DOWN, DOWN, GOOD, DOWN, DOWN):
        call(breaker, result)
    assert breaker.state(NOW) == "closed"
    for _ in range(2):
        call(breaker, Result(error="timeout_connect"))
    call(breaker, DOWN)

    assert breaker.state(NOW) == "open"


def test_what_is_not_the_providers_fault_never_opens_it() -> None:
    """A hundred bad requests, refusals and spent keys leave it closed."""
    breaker = Breaker()
    errors: tuple[ErrorClass, ...] = ("bad_request", "auth", "quota_exhausted", "rate_limited")
    for error in (*errors, "content_policy", "context_window", "cancelled") * 20:
        assert call(breaker, Result(error=error))

    assert breaker.calm


def test_it_stays_open_twice_as_long_each_time() -> None:
    """15 s, 30 s, 60 s and so on, five minutes at most."""
    waits = []
    for times in range(1, 8):
        breaker, until = opened(times)
        before = opened(times - 1)[1] if times > 1 else NOW
        waits.append(until - before)
        assert not breaker.admit(now_ms=until - 1)

    assert waits == [15_000, 30_000, 60_000, 120_000, 240_000, 300_000, 300_000]


def test_jitter_spreads_the_end() -> None:
    """Instances that opened together do not come back together."""
    ends = []
    for jitter in (0.0, 1.0):
        breaker = Breaker()
        for _ in range(MOST_TRANSPORT):
            call(breaker, DOWN, jitter=jitter)
        ends.append(breaker.until_ms - NOW)

    assert ends == [OPEN_MS * 9 // 10, OPEN_MS * 11 // 10]


def test_half_open_admits_one_then_three_then_a_share() -> None:
    """Only as many probes as its stage allows are in flight at once."""
    breaker, now = opened()
    assert breaker.awaits_probe(now)
    first = breaker.admit(now_ms=now)
    assert first is not None
    assert not breaker.awaits_probe(now)
    assert breaker.admit(now_ms=now) is None
    breaker.record(first, GOOD, now_ms=now, jitter=MID)

    probes = [breaker.admit(now_ms=now) for _ in range(5)]
    assert sum(one is not None for one in probes) == PROBES[1] == 3
    for one in probes[:3]:
        assert one is not None
        breaker.record(one, GOOD, now_ms=now, jitter=MID)

    assert (breaker.state(now), breaker.share(now)) == ("ramping", SHARES[0])
    assert [one.state for one in breaker.changes()] == ["open", "half_open", "ramping"]


def test_a_failed_probe_opens_it_again() -> None:
    """One fault is enough while it is on probation."""
    breaker, now = opened()
    call(breaker, GOOD, now)
    call(breaker, BUSY, now)

    assert breaker.state(now) == "open"
    assert breaker.until_ms == now + 2 * OPEN_MS


def test_a_probe_without_a_verdict_makes_room_for_another() -> None:
    """A cancelled or refused probe says nothing, and holds no place."""
    breaker, now = opened()
    for error in ("cancelled", "bad_request", "auth"):
        assert call(breaker, Result(error=error), now)

    assert breaker.state(now) == "half_open"


def test_a_probe_that_never_came_back_holds_no_place_for_ever() -> None:
    """A lost pass cannot lock a provider out."""
    breaker, now = opened()
    assert breaker.admit(now_ms=now) is not None
    again = breaker.admits_at(now)

    assert breaker.admit(now_ms=again - 1) is None
    assert breaker.admit(now_ms=again) is not None


def ramped() -> tuple[Breaker, int]:
    """Return a breaker at the beginning of its ramp."""
    breaker, now = opened()
    for _ in range(sum(PROBES)):
        call(breaker, GOOD, now)
    return breaker, now


def test_the_ramp_grows_by_successes() -> None:
    """A tenth, a half, all; then the next opening is short again."""
    breaker, now = ramped()
    shares = []
    for _ in SHARES:
        shares.append(breaker.share(now))
        for _ in range(STAGE_CALLS):
            call(breaker, GOOD, now)

    assert shares == [0.1, 0.5]
    assert (breaker.state(now), breaker.share(now)) == ("closed", 1.0)
    for _ in range(MOST_TRANSPORT):
        call(breaker, DOWN, now)
    assert breaker.until_ms == now + OPEN_MS


def test_the_ramp_grows_by_time_where_there_are_few_calls() -> None:
    """A provider that is asked once an hour need not wait for days."""
    breaker, now = ramped()

    assert breaker.share(now + STAGE_MS) == SHARES[1]
    assert breaker.state(now + 2 * STAGE_MS) == "closed"


def test_the_ramp_breaks_sooner() -> None:
    """Two transport failures, or half of four calls, are enough on the way back."""
    breaker, now = ramped()
    call(breaker, DOWN, now)
    assert breaker.state(now) == "ramping"
    call(breaker, DOWN, now)
    assert breaker.state(now) == "open"

    breaker, now = ramped()
    for result in (GOOD, BUSY, GOOD, BUSY):
        call(breaker, result, now)
    assert breaker.state(now) == "open"


def test_what_a_provider_asks_to_wait_is_the_least() -> None:
    """Its wish lengthens the wait, within five minutes."""
    breaker, now = opened()
    call(breaker, Result(error="overloaded", retry_after_s=100), now)
    assert breaker.until_ms == now + 100_000

    breaker, now = opened()
    call(breaker, Result(error="overloaded", retry_after_s=1e9), now)
    assert breaker.until_ms == now + LONGEST_OPEN_MS


def test_a_late_failure_can_lengthen_the_wait_and_nothing_else() -> None:
    """A call that was admitted before it opened moves no state; the later deadline holds."""
    breaker = Breaker()
    early = [breaker.admit(now_ms=NOW) for _ in range(4)]
    for _ in range(MOST_TRANSPORT):
        call(breaker, DOWN)
    until = breaker.until_ms

    for one, result in zip(
        early,
        (DOWN, GOOD, Result(error="overloaded", retry_after_s=60), DOWN),
        strict=True,
    ):
        assert isinstance(one, Pass)
        breaker.record(one, result, now_ms=NOW, jitter=MID)

    assert until == NOW + OPEN_MS
    assert breaker.until_ms == NOW + 60_000
    assert len(breaker.changes()) == 1


def test_a_late_success_closes_nothing() -> None:
    """An answer to a call of before says nothing of now."""
    breaker = Breaker()
    early = breaker.admit(now_ms=NOW)
    for _ in range(MOST_TRANSPORT):
        call(breaker, DOWN)
    now = breaker.until_ms
    assert breaker.state(now) == "half_open"
    assert early is not None
    breaker.record(early, GOOD, now_ms=now, jitter=MID)

    assert breaker.awaits_probe(now)


class BreakerMachine(RuleBasedStateMachine):
    """Any calls, in any order, on a clock that only goes forward."""

    @initialize()
    def begin(self) -> None:
        """Start closed."""
        self.breaker = Breaker()
        self.now = NOW
        self.passes: list[Pass] = []
        self.until = 0
        self.probes = 0

    @rule(ms=st.sampled_from([1, 500, 5_000, 15_000, 60_000, 400_000]))
    def wait(self, ms: int) -> None:
        """Let time pass."""
        self.now += ms

    @rule()
    def admit(self) -> None:
        """Ask to be let through."""
        before = self.breaker.until_ms
        admitted = self.breaker.admit(now_ms=self.now)
        if admitted is None:
            return
        assert not before or self.now >= before, "admitted while open"
        self.passes.append(admitted)

    @precondition(lambda self: self.passes)
    @rule(
        data=st.data(),
        error=st.sampled_from([None, None, "transport", "overloaded", "bad_request", "cancelled"]),
        retry_after_s=st.none() | st.floats(0, 1_000),
        jitter=st.floats(0, 1),
    )
    def record(
        self, data: st.DataObject, error: ErrorClass, retry_after_s: float, jitter: float
    ) -> None:
        """Let a call end."""
        index = data.draw(st.integers(0, len(self.passes) - 1))
        result = Result(error=error, retry_after_s=retry_after_s)
        was_open = self.breaker.until_ms
        self.breaker.record(self.passes.pop(index), result, now_ms=self.now, jitter=jitter)
        if was_open and self.breaker.until_ms:
            assert self.breaker.until_ms >= was_open, "a deadline was shortened"

    @invariant()
    def its_wait_is_bounded(self) -> None:
        """Nobody is locked out for longer than five minutes from now."""
        if self.breaker.until_ms:
            assert self.breaker.until_ms <= self.now + LONGEST_OPEN_MS

    @invariant()
    def half_open_is_narrow(self) -> None:
        """No more probes than the stage allows are in flight."""
        if self.breaker.state(self.now) == "half_open":
            assert self.breaker._probing <= max(PROBES)

    @invariant()
    def its_story_is_whole(self) -> None:
        """Each change begins where the one before ended."""
        told = self.breaker.changes()
        for one, following in pairwise(told):
            assert one.state == following.before
        assert all(one.before != one.state for one in told)

    def teardown(self) -> None:
        """Enough answers always close it, whatever was before."""
        if not hasattr(self, "breaker"):
            return
        for one in self.passes:
            self.breaker.record(one, GOOD, now_ms=self.now, jitter=MID)
        for _ in range(50):
            self.now = max(self.now, self.breaker.until_ms)
            call(self.breaker, GOOD, self.now)
        assert self.breaker.state(self.now) == "closed"


BreakerMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestBreakerMachine = BreakerMachine.TestCase
