"""The ledger's core: are accounts right whatever happens, in whatever order?"""

from decimal import Decimal

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from segue_contracts.envelope import encode
from segue_providers.core.ledger import (
    KEEP_MS,
    NOTHING,
    Account,
    Amount,
    Hold,
    Limit,
    current,
    day_account,
    excess,
    reserve,
    settle,
)

NOW = 1_800_000_000_000


def usd(text: str, tokens: int = 0) -> Amount:
    """Return an amount."""
    return Amount(Decimal(text), tokens)


def up_to(text: str) -> Limit:
    """Return a limit in US dollars."""
    return Limit(Decimal(text))


def held(
    account: Account, name: str, amount: Amount, *, limit: Limit, until_ms: int = 60
) -> Account:
    """Return the account with a hold that must fit."""
    hold = Hold(amount, NOW + until_ms)
    changed, fits = reserve(account, name, hold, limit=limit, now_ms=NOW)
    assert fits
    return changed


def test_a_call_that_does_not_fit_is_refused() -> None:
    """What runs counts as well as what is spent, and a refusal changes nothing."""
    account = held(Account(), "a", usd("0.6"), limit=up_to("1"))

    hold = Hold(usd("0.5"), NOW + 60)
    assert reserve(account, "b", hold, limit=up_to("1"), now_ms=NOW) == (account, False)


def test_tokens_are_limited_as_well() -> None:
    """A limit in tokens alone refuses what is cheap but long."""
    account = held(Account(), "a", usd("0", 60), limit=Limit(tokens=100))

    hold = Hold(usd("0", 50), NOW + 60)
    assert reserve(account, "b", hold, limit=Limit(tokens=100), now_ms=NOW) == (account, False)


def test_an_account_is_bounded_by_either_limit() -> None:
    """One without any costs nothing to keep."""
    bounded = [one.bounded for one in (Limit(), Limit(Decimal(0)), Limit(tokens=1))]

    assert bounded == [False, True, True]


def test_the_latest_limit_counts() -> None:
    """A raised limit lets more calls in, and a lowered one fewer."""
    account = held(Account(), "a", usd("1"), limit=up_to("1"))
    raised = held(account, "b", usd("1"), limit=up_to("2"))

    hold = Hold(usd("0.1"), NOW + 60)
    assert raised.limit == up_to("2")
    assert not reserve(raised, "c", hold, limit=up_to("1"), now_ms=NOW)[1]


def test_a_repeated_reserve_holds_once() -> None:
    """Whether the first took effect need not be known."""
    account = held(Account(), "a", usd("1"), limit=up_to("1"))

    assert held(account, "a", usd("1"), limit=up_to("1")) == account


def test_a_settled_call_costs_its_truth() -> None:
    """The estimate is gone, and what was not needed is free again."""
    account = held(Account(), "a", usd("1", 9), limit=up_to("1"))

    settled = settle(account, "a", usd("0.25", 4), now_ms=NOW)

    assert settled.settled == usd("0.25", 4)
    assert settled.reserved == NOTHING


def test_a_hold_that_nobody_settles_counts_as_spent() -> None:
    """A crash never makes an account look richer."""
    account = held(Account(), "a", usd("1"), limit=up_to("1"))

    later = current(account, NOW + 60)

    assert later.settled == usd("1")
    assert later.holds == {}


def test_a_late_settle_corrects_the_charge() -> None:
    """Whoever was only slow is charged the truth in the end."""
    account = current(held(Account(), "a", usd("1"), limit=up_to("1")), NOW + 60)

    assert settle(account, "a", usd("3"), now_ms=NOW + 61).settled == usd("3")


def test_a_lapsed_hold_is_forgotten_after_a_day() -> None:
    """Its charge stays, so that accounts stay small and true."""
    account = current(held(Account(), "a", usd("1"), limit=up_to("1")), NOW + 60)

    later = current(account, NOW + 60 + KEEP_MS)

    assert later == Account(settled=usd("1"), limit=up_to("1"))


def test_an_account_survives_its_json() -> None:
    """Decimals keep every digit."""
    account = held(Account(), "a", usd("0.000000000001", 7), limit=up_to("0.3"))

    assert msgspec.json.decode(encode(account), type=Account) == account


def test_a_day_has_an_account_of_its_own_in_utc() -> None:
    """Midnight in UTC begins another."""
    assert day_account(1_799_971_199_999) == "ns.2027-01-14"
    assert day_account(1_799_971_200_000) == "ns.2027-01-15"


def test_an_excess_is_told_with_its_figures() -> None:
    """People read what is used, what is the limit and what the call needs."""
    told = excess(Limit(Decimal(1), 10), usd("0.9", 9), usd("0.2", 2))

    assert told == "0.9 of 1 US dollars, the call needs 0.2 and 9 of 10 tokens, the call needs 2"


def test_an_excess_that_is_over_is_told_as_such() -> None:
    """Between the refusal and the sentence somebody may have settled."""
    assert excess(Limit(Decimal(1)), NOTHING, NOTHING) == "it had no room a moment ago"


cents = st.integers(0, 50).map(lambda count: Amount(Decimal(count) / 100, count))


class Accounts(RuleBasedStateMachine):
    """Calls are reserved, settled twice, late or never, in any order."""

    account: Account
    limit: Limit

    @initialize(limit=st.integers(0, 300))
    def begin(self, limit: int) -> None:
        """Open an account."""
        self.account = Account()
        self.limit = Limit(Decimal(limit) / 100, limit)
        self.now_ms = NOW
        self.charged: dict[str, Amount] = {}
        self.until: dict[str, int] = {}
        self.settled: set[str] = set()
        self.overrun = NOTHING

    @rule(amount=cents, lasts_ms=st.integers(1, 5_000))
    def call(self, amount: Amount, lasts_ms: int) -> None:
        """Reserve for a call, twice as a lost acknowledgement would."""
        name, hold = f"call{len(self.until)}", Hold(amount, self.now_ms + lasts_ms)
        before = current(self.account, self.now_ms).used
        for _ in range(2):
            self.account, fits = reserve(
                self.account, name, hold, limit=self.limit, now_ms=self.now_ms
            )
        assert fits == self.limit.admits(before + amount)
        if fits:
            self.charged[name] = amount
            self.until[name] = hold.until_ms
            self.overrun = NOTHING

    @precondition(lambda self: self.until)
    @rule(data=st.data(), truth=cents)
    def settle(self, data: st.DataObject, truth: Amount) -> None:
        """Settle any call, also one that lapsed or was settled before."""
        name = data.draw(st.sampled_from(sorted(self.until)))
        self.account = settle(self.account, name, truth, now_ms=self.now_ms)
        forgotten = self.until[name] + KEEP_MS <= self.now_ms
        if name not in self.settled and not forgotten:
            more = (truth - self.charged[name]).at_least(NOTHING)
            self.overrun += more
            self.charged[name] = truth
            self.settled.add(name)

    @rule(ms=st.one_of(st.integers(0, 6_000), st.just(KEEP_MS)))
    def wait(self, ms: int) -> None:
        """Let holds lapse, and lapsed ones be forgotten."""
        self.now_ms += ms
        self.account = current(self.account, self.now_ms)

    @rule(limit=st.integers(0, 300))
    def relimit(self, limit: int) -> None:
        """Carry another limit from now on."""
        more = Limit(Decimal(limit) / 100, limit)
        self.overrun = (self.account.used - Amount(more.usd or Decimal(0), limit)).at_least(NOTHING)
        self.limit = more

    @invariant()
    def every_call_is_charged_once(self) -> None:
        """Truth where it is known, the estimate where it is not."""
        if hasattr(self, "account"):
            assert self.account.used == sum(self.charged.values(), NOTHING)

    @invariant()
    def the_limit_holds_but_for_wrong_estimates(self) -> None:
        """Beyond it is only what calls cost more than was reserved since the last one came in."""
        if hasattr(self, "account"):
            assert self.limit.admits(self.account.used - self.overrun)


def test_accounts_are_right_whatever_happens() -> None:
    """Duplicates, crashes and late truths neither lose nor invent money."""
    run_state_machine_as_test(
        Accounts,
        settings=settings(
            max_examples=60,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
            derandomize=True,
        ),
    )
