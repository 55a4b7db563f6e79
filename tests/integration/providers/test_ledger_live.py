"""The ledger on a real broker: do all replicas charge the same accounts, and never too little?"""

import asyncio
from collections.abc import Callable
from decimal import Decimal

import pytest
from support.replicas import connections
from support.wait import until

from segue_contracts.v1.metering import Allowance
from segue_contracts.v1.topology import LEDGER, topology
from segue_providers.core.configuration import NamespaceRules
from segue_providers.core.ledger import Amount
from segue_providers.shell.ledger import BudgetExceededError, Ledger, Reservation
from segue_shared.bootstrap import apply
from segue_shared.bus import Bus
from segue_shared.clock import Clock
from segue_shared.errors import BusUnavailableError, RefusedError
from segue_shared.ids import SystemIds
from segue_shared.journal import Journal
from segue_shared.keyvalue import KeyValue
from segue_testing.broker import Broker
from segue_testing.fakes import FakeClock

MINUTE_MS = 60_000
FREE = NamespaceRules()


def ledger_on(
    bus: Bus, clock: Clock, rules: NamespaceRules = FREE, instance: str = "one"
) -> Ledger:
    """Return a replica's ledger."""
    return Ledger(
        bus, clock=clock, ids=SystemIds(), instance=instance, rules_of=lambda _namespace: rules
    )


def usd(text: str, tokens: int = 0) -> Amount:
    """Return an amount."""
    return Amount(Decimal(text), tokens)


def a_run(limit: str = "1", tokens: int = 0) -> Allowance:
    """Return an allowance of an account of this test alone."""
    return Allowance(account=f"run.{SystemIds().unique()}", usd=limit, tokens=tokens)


async def reserved(
    ledger: Ledger, clock: Clock, amount: Amount, *allowances: Allowance, namespace: str = "default"
) -> Reservation:
    """Reserve for a minute."""
    return await ledger.reserve(
        namespace,
        allowances,
        request="run:step:1",
        amount=amount,
        until_ms=clock.now_ms() + MINUTE_MS,
    )


async def granted(
    ledger: Ledger, clock: Clock, amount: Amount, *allowances: Allowance, namespace: str = "default"
) -> bool:
    """Reserve, and tell whether there was room."""
    try:
        await reserved(ledger, clock, amount, *allowances, namespace=namespace)
    except BudgetExceededError:
        return False
    return True


@pytest.fixture
def clock() -> FakeClock:
    """Time that stands still unless it is moved."""
    return FakeClock()


@pytest.fixture
def namespace() -> str:
    """A namespace of this test alone."""
    return f"ns-{SystemIds().unique()}"


async def test_a_call_is_reserved_and_then_settled(bus: Bus, clock: FakeClock) -> None:
    """Its accounts show first the estimate and then the truth."""
    ledger, run = ledger_on(bus, clock), a_run(tokens=100)
    held = await reserved(ledger, clock, usd("0.5", 50), run)
    before = await ledger.spending("default", run.account)
    await ledger.settle(held, usd("0.125", 20))
    after = await ledger.spending("default", run.account)

    assert (before.reserved_usd, before.reserved_tokens, before.settled_usd) == ("0.5", 50, "0")
    assert (after.reserved_usd, after.settled_usd, after.settled_tokens) == ("0", "0.125", 20)
    assert (after.limit_usd, after.limit_tokens) == ("1", 100)


async def test_settling_again_charges_once(bus: Bus, clock: FakeClock) -> None:
    """A repetition has no effect."""
    ledger, run = ledger_on(bus, clock), a_run()
    held = await reserved(ledger, clock, usd("0.5"), run)
    await ledger.settle(held, usd("0.25"))
    await ledger.settle(held, usd("0.25"))

    assert (await ledger.spending("default", run.account)).settled_usd == "0.25"


async def test_replicas_that_race_never_exceed_an_account(broker: Broker, clock: FakeClock) -> None:
    """Forty want a tenth of it each, and ten get it."""
    run = a_run("1")
    async with connections(broker, 2) as buses:
        ledgers = [ledger_on(bus, clock) for bus in buses]
        results = await asyncio.gather(
            *(granted(ledgers[number % 2], clock, usd("0.1"), run) for number in range(40))
        )

        assert results.count(True) == 10
        assert (await ledgers[0].spending("default", run.account)).reserved_usd == "1"


async def test_a_crash_between_reserve_and_settle_costs_the_estimate(
    broker: Broker, clock: FakeClock
) -> None:
    """The account is never richer than the truth, and whoever knows better may say so."""
    run = a_run("1")
    async with connections(broker, 2) as (dying, living):
        held = await reserved(ledger_on(dying, clock), clock, usd("0.9"), run)
        await dying.close()
        other = ledger_on(living, clock)
        await clock.advance(61)
        charged = await other.spending("default", run.account)
        refused = not await granted(other, clock, usd("0.2"), run)
        await other.settle(held, usd("0.3"))

        assert (charged.settled_usd, charged.reserved_usd, refused) == ("0.9", "0", True)
        assert (await other.spending("default", run.account)).settled_usd == "0.3"


async def test_a_call_is_held_by_all_of_its_accounts_or_by_none(bus: Bus, clock: FakeClock) -> None:
    """What outer accounts gave is given back when an inner one refuses."""
    ledger, outer, inner = ledger_on(bus, clock), a_run("10"), a_run("1")
    with pytest.raises(BudgetExceededError):
        await reserved(ledger, clock, usd("2"), outer, inner)

    spending = await ledger.spending("default", outer.account)
    assert (spending.reserved_usd, spending.settled_usd) == ("0", "0")


async def test_a_refusal_names_the_account_and_the_way_out(bus: Bus, clock: FakeClock) -> None:
    """Whoever is refused learns what is used, what is the limit, and what helps."""
    ledger, run = ledger_on(bus, clock), a_run("1")
    await reserved(ledger, clock, usd("0.75"), run)
    with pytest.raises(BudgetExceededError) as caught:
        await reserved(ledger, clock, usd("0.5"), run)

    refused = caught.value.refused
    assert refused.message == (
        f"the budget of {run.account} is used up: 0.75 of 1 US dollars, the call needs 0.5; "
        "raise its limit, wait for running calls to settle, or ask for less output"
    )
    assert refused.code == "budget_exceeded"
    assert (refused.details["usedUsd"], refused.details["limitUsd"]) == ("0.75", "1")


async def test_a_raised_limit_lets_calls_in_again(bus: Bus, clock: FakeClock) -> None:
    """The limit that comes with the latest call counts."""
    ledger, run = ledger_on(bus, clock), a_run("1")
    await reserved(ledger, clock, usd("1"), run)

    more = Allowance(account=run.account, usd="2")
    assert not await granted(ledger, clock, usd("0.5"), run)
    assert await granted(ledger, clock, usd("0.5"), more)


async def test_an_account_without_limits_is_not_written(bus: Bus, clock: FakeClock) -> None:
    """Nobody pays for what nobody bounds."""
    ledger, run = ledger_on(bus, clock), a_run("")
    held = await reserved(ledger, clock, usd("5"), run)
    await ledger.settle(held, usd("5"))

    assert await KeyValue(bus, LEDGER).get(f"account.default.{run.account}") is None


@pytest.mark.parametrize(
    "allowance",
    [
        Allowance(account="run.a", usd="much"),
        Allowance(account="run.a", usd="-1"),
        Allowance(account="run.a", usd="Infinity"),
        Allowance(account="run.a", tokens=-1),
        Allowance(account="run a", usd="1"),
        Allowance(account="", usd="1"),
        Allowance(account="a" * 201, usd="1"),
        Allowance(account="ns.2027-01-15", usd="1"),
    ],
    ids=["word", "negative", "endless", "tokens", "space", "nameless", "long", "namespace"],
)
async def test_an_allowance_that_cannot_be_is_refused(
    bus: Bus, clock: FakeClock, allowance: Allowance
) -> None:
    """The caller hears what is wrong with it."""
    with pytest.raises(RefusedError, match="allowances: ") as caught:
        await reserved(ledger_on(bus, clock), clock, usd("0"), allowance)

    assert caught.value.refused.code == "invalid_request"


async def test_replicas_share_a_namespaces_day(
    broker: Broker, clock: FakeClock, namespace: str
) -> None:
    """All together stay within its limit, and use nearly all of it."""
    rules = NamespaceRules(usd_per_day=Decimal(1))
    async with connections(broker, 2) as buses:
        ledgers = [
            ledger_on(bus, clock, rules, instance=str(number)) for number, bus in enumerate(buses)
        ]
        results = await asyncio.gather(
            *(
                granted(ledgers[number % 2], clock, usd("0.01"), namespace=namespace)
                for number in range(150)
            )
        )
        for ledger in ledgers:
            await ledger.close()

    assert 95 <= results.count(True) <= 100


async def test_a_busy_namespace_costs_few_writes(
    bus: Bus, clock: FakeClock, namespace: str
) -> None:
    """Calls are charged to the replica's slice."""
    ledger = ledger_on(bus, clock, NamespaceRules(usd_per_day=Decimal(1000)))
    journal = Journal(bus, f"KV_{LEDGER}")
    before = await journal.last_sequence()
    for _ in range(200):
        held = await reserved(ledger, clock, usd("0.01"), namespace=namespace)
        await ledger.settle(held, usd("0.01"))
    writes = await journal.last_sequence() - before
    await ledger.close()

    assert writes <= 12
    assert (await ledger.spending(namespace)).settled_usd == "2"


async def test_calls_that_end_while_a_slice_is_renewed_are_all_charged(
    bus: Bus, clock: FakeClock, namespace: str
) -> None:
    """Eight at once, fifty times, each twice as dear as it was thought to be."""
    ledger = ledger_on(bus, clock, NamespaceRules(usd_per_day=Decimal(1000)))

    async def work() -> None:
        for _ in range(50):
            held = await reserved(ledger, clock, usd("0.01"), namespace=namespace)
            await asyncio.sleep(0)
            await ledger.settle(held, usd("0.02"))

    await asyncio.gather(*(work() for _ in range(8)))
    await ledger.close()

    spending = await ledger.spending(namespace)
    assert (spending.settled_usd, spending.reserved_usd) == ("8", "0")


async def test_a_namespace_that_used_up_its_day_is_refused_until_the_next(
    bus: Bus, clock: FakeClock, namespace: str
) -> None:
    """The refusal names the day."""
    ledger = ledger_on(bus, clock, NamespaceRules(tokens_per_day=10))
    await reserved(ledger, clock, usd("0", 10), namespace=namespace)
    with pytest.raises(BudgetExceededError, match="10 of 10 tokens") as caught:
        await reserved(ledger, clock, usd("0", 1), namespace=namespace)
    await clock.advance(24 * 3600)

    assert caught.value.account == "ns.2027-01-15"
    assert await granted(ledger, clock, usd("0", 1), namespace=namespace)
    await ledger.close()


async def advanced_until(clock: FakeClock, ask: Callable[[], object]) -> None:
    """Move time on, bit by bit, until something is the case."""

    async def asked() -> bool:
        await clock.advance(0.1)
        answer = ask()
        return bool(await answer if asyncio.iscoroutine(answer) else answer)

    await until(asked)


async def test_an_idle_slice_is_given_back(bus: Bus, clock: FakeClock, namespace: str) -> None:
    """Other replicas may spend what this one does not."""
    ledger = ledger_on(bus, clock, NamespaceRules(usd_per_day=Decimal(100)))
    held = await reserved(ledger, clock, usd("0.01"), namespace=namespace)
    had = await ledger.spending(namespace)
    await ledger.settle(held, usd("0.02"))

    async def is_back() -> bool:
        spending = await ledger.spending(namespace)
        return (spending.reserved_usd, spending.settled_usd) == ("0", "0.02")

    assert Decimal(had.reserved_usd) > Decimal("0.1")
    await advanced_until(clock, is_back)


async def test_a_slice_lives_as_long_as_its_calls(
    bus: Bus, clock: FakeClock, namespace: str
) -> None:
    """It is renewed long after it would have lapsed, and shrinks to what they hold."""
    ledger = ledger_on(bus, clock, NamespaceRules(usd_per_day=Decimal(100)))
    await reserved(ledger, clock, usd("0.01"), namespace=namespace)
    began = clock.now_ms()

    async def is_renewed() -> bool:
        spending = await ledger.spending(namespace)
        late = clock.now_ms() - began > 15_000
        return late and (spending.reserved_usd, spending.settled_usd) == ("0.01", "0")

    await advanced_until(clock, is_renewed)
    await ledger.close()


async def test_the_slice_of_a_dead_replica_counts_as_spent(
    broker: Broker, clock: FakeClock, namespace: str
) -> None:
    """What it may have spent is never spent again."""
    rules = NamespaceRules(usd_per_day=Decimal(100))
    async with connections(broker, 2) as (dying, living):
        dead = ledger_on(dying, clock, rules, instance="dead")
        await reserved(dead, clock, usd("0.01"), namespace=namespace)
        other = ledger_on(living, clock, rules, instance="other")
        slice_usd = (await other.spending(namespace)).reserved_usd
        await dying.close()
        await clock.advance(6)
        spending = await other.spending(namespace)

    assert (spending.settled_usd, spending.reserved_usd) == (slice_usd, "0")


async def test_a_reservation_that_nobody_waits_for_is_given_back(
    bus: Bus, clock: FakeClock
) -> None:
    """A call that was given up too early costs nothing."""
    ledger, run = ledger_on(bus, clock), a_run()
    journal = Journal(bus, f"KV_{LEDGER}")
    before = await journal.last_sequence()
    task = asyncio.create_task(reserved(ledger, clock, usd("1"), run))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])

    async def is_back() -> bool:
        return await journal.last_sequence() - before == 2

    await until(is_back)
    spending = await ledger.spending("default", run.account)
    assert (spending.reserved_usd, spending.settled_usd) == ("0", "0")


async def test_without_a_broker_nothing_is_reserved(fresh_broker: Broker, clock: FakeClock) -> None:
    """Money is never spent on hope; the charge of what runs arrives once the broker is back."""
    bus = await Bus.connect(fresh_broker.url, name="test", max_wait_s=10)
    await apply(bus, topology())
    ledger, run = ledger_on(bus, clock), a_run()
    held = await reserved(ledger, clock, usd("0.5"), run)
    fresh_broker.kill()
    with pytest.raises(BusUnavailableError, match="cannot be reached"):
        await ledger.reserve(
            "default", [run], request="", amount=usd("0.1"), until_ms=clock.now_ms() + 100
        )
    settling = asyncio.create_task(ledger.settle(held, usd("0.25")))
    fresh_broker.restart()

    async def is_settled() -> bool:
        await clock.advance(1)
        return settling.done()

    await until(is_settled)
    assert (await ledger.spending("default", run.account)).settled_usd == "0.25"
    await ledger.close()
    await bus.close()
