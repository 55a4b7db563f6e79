"""Slices: do replicas that spend locally keep one account right?"""

from decimal import Decimal

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

from segue_providers.core.ledger import NOTHING, Account, Amount, Limit, current, settle
from segue_providers.core.slices import Slice, Want, after, give, lease, take

NOW = 1_800_000_000_000
LAPSE_MS = 5_000
CALL = Amount(Decimal("0.01"), 10)


def want(name: str, amount: Amount = CALL, like: Amount = CALL) -> Want:
    """Return what a slice shall be."""
    return Want(name=name, amount=amount, like=like, until_ms=NOW + LAPSE_MS)


def leased(account: Account, wanted: Want, limit: Limit) -> tuple[Account, Slice]:
    """Return an account and a fresh slice of it."""
    changed, what = lease(account, Slice(), wanted, limit=limit, now_ms=NOW)
    return changed, after(Slice(), Slice(), wanted, what)


def test_a_slice_has_room_for_more_than_its_first_call() -> None:
    """Twenty calls' worth are had at once when the limit is far."""
    _, part = leased(Account(), want("a"), Limit(Decimal(100), 100_000))

    assert part.free == Amount(CALL.usd * 20, CALL.tokens * 20)


def test_a_slice_is_a_small_part_of_what_is_left() -> None:
    """Near the limit replicas leave each other room."""
    _, part = leased(Account(), want("a"), Limit(Decimal("0.21"), 0))

    assert part.free.usd == Decimal("0.01")


def test_a_call_within_the_slice_asks_nobody() -> None:
    """It is taken from what is free."""
    _, part = leased(Account(), want("a"), Limit(Decimal(100)))

    taken = take(part, CALL, limit=Limit(Decimal(100)))

    assert taken is not None
    assert part.free - taken.free == CALL


def test_a_slice_with_too_few_tokens_asks() -> None:
    """Each limit counts for itself."""
    limit = Limit(tokens=30)
    _, part = leased(Account(), want("a"), limit)

    assert take(part, Amount(Decimal(0), 21), limit=limit) is None


def test_a_slice_with_too_little_money_asks() -> None:
    """Each limit counts for itself."""
    limit = Limit(Decimal("0.02"))
    _, part = leased(Account(), want("a"), limit)

    assert take(part, Amount(Decimal(1), 0), limit=limit) is None


def test_no_slice_is_had_beyond_the_limit() -> None:
    """The account is as it was."""
    account, part = leased(Account(), want("a"), Limit(Decimal("0.001")))

    assert (account, part) == (Account(), Slice())


def test_a_repeated_lease_has_one_effect() -> None:
    """Whether the first was stored need not be known."""
    limit = Limit(Decimal(100))
    account, part = leased(Account(), want("a"), limit)
    part = give(part, CALL, CALL)
    once, first = lease(account, part, want("b"), limit=limit, now_ms=NOW)

    again, second = lease(once, part, want("b"), limit=limit, now_ms=NOW)

    assert (again, second) == (once, first)


def test_a_repeated_lease_that_filled_the_account_is_granted_again() -> None:
    """It does not stand in its own way."""
    limit = Limit(Decimal("0.01"))
    once, first = lease(Account(), Slice(), want("a"), limit=limit, now_ms=NOW)

    assert lease(once, Slice(), want("a"), limit=limit, now_ms=NOW) == (once, first)


def test_what_a_slice_spent_is_settled_with_its_next_lease() -> None:
    """The account learns the truth while the slice goes on."""
    limit = Limit(Decimal(100))
    account, part = leased(Account(), want("a"), limit)
    part = give(part, CALL, Amount(Decimal("0.5"), 1))

    changed, _ = lease(account, part, want("b", NOTHING), limit=limit, now_ms=NOW)

    assert changed.settled == Amount(Decimal("0.5"), 1)
    assert set(changed.holds) == {"b"}


amounts = st.integers(0, 20).map(lambda count: Amount(Decimal(count) / 100, count))
replicas = st.integers(0, 2)


class Replicas(RuleBasedStateMachine):
    """Three replicas spend from one account, are slow, and die."""

    mortal = False

    @initialize(limit=st.integers(1, 400), mortal=st.booleans())
    def begin(self, limit: int, mortal: bool) -> None:  # noqa: FBT001 - drawn by name
        """Open an account."""
        self.account = Account()
        self.limit = Limit(Decimal(limit) / 100, limit)
        self.now_ms = NOW
        self.parts = [Slice(), Slice(), Slice()]
        self.running: list[list[Amount]] = [[], [], []]
        self.over = [NOTHING, NOTHING, NOTHING]
        self.lost = NOTHING
        self.mortal = mortal
        self.truth = NOTHING
        self.overrun = NOTHING
        self.names = 0

    def lease(self, who: int, amount: Amount) -> bool:
        """Do as the shell does, with an acknowledgement lost."""
        self.names += 1
        part = self.parts[who]
        wanted = Want(
            name=str(self.names), amount=amount, like=amount, until_ms=self.now_ms + LAPSE_MS
        )
        for _ in range(2):
            self.account, what = lease(
                self.account, part, wanted, limit=self.limit, now_ms=self.now_ms
            )
        self.parts[who] = after(part, part, wanted, what)
        if part.name or what.granted:
            self.over[who] = NOTHING
        return what.granted

    @rule(who=replicas, amount=amounts)
    def call(self, who: int, amount: Amount) -> None:
        """Begin a call."""
        taken = take(self.parts[who], amount, limit=self.limit)
        if taken is not None:
            self.parts[who] = taken
        elif not self.lease(who, amount):
            return
        self.running[who].append(amount)

    @rule(who=replicas, truth=amounts)
    def end(self, who: int, truth: Amount) -> None:
        """End a call."""
        if self.running[who]:
            amount = self.running[who].pop()
            self.parts[who] = give(self.parts[who], amount, truth)
            self.truth += truth
            self.over[who] += (truth - amount).at_least(NOTHING)
            self.overrun += (truth - amount).at_least(NOTHING)

    @rule(who=replicas)
    def renew(self, who: int) -> None:
        """Keep a slice alive."""
        if self.parts[who].name:
            self.lease(who, NOTHING)

    @rule(who=replicas)
    def give_back(self, who: int) -> None:
        """Give an idle slice back."""
        part = self.parts[who]
        if part.name and not self.running[who]:
            self.account = settle(self.account, part.name, part.spent, now_ms=self.now_ms)
            self.parts[who], self.over[who] = Slice(), NOTHING

    @precondition(lambda self: self.mortal)
    @rule(who=replicas)
    def die(self, who: int) -> None:
        """Lose a replica with all that it knows."""
        part = self.parts[who]
        self.lost += self.over[who]
        self.over[who] = NOTHING
        self.truth += part.taken
        self.parts[who], self.running[who] = Slice(), []

    @rule(ms=st.integers(0, 8_000))
    def wait(self, ms: int) -> None:
        """Let slices lapse."""
        self.now_ms += ms
        self.account = current(self.account, self.now_ms)

    @invariant()
    def the_account_knows_at_least_the_truth(self) -> None:
        """But for what the last calls cost beyond their estimates."""
        if not hasattr(self, "account"):
            return
        unknown = sum(self.over, self.lost)
        running = sum((part.taken for part in self.parts), NOTHING)
        missing = self.truth + running - self.account.used - unknown
        assert missing.at_least(NOTHING) == NOTHING

    @invariant()
    def all_replicas_together_keep_the_limit(self) -> None:
        """Beyond it is only what calls cost more than was reserved for them."""
        if hasattr(self, "account"):
            running = sum((part.taken for part in self.parts), NOTHING)
            assert self.limit.admits(self.truth + running - self.overrun)

    def teardown(self) -> None:
        """When all have ended, the account is at the truth, and above it only for the dead."""
        if not hasattr(self, "account"):
            return
        for who, part in enumerate(self.parts):
            for amount in self.running[who]:
                part = give(part, amount, amount)  # noqa: PLW2901 - the calls of one slice end
                self.truth += amount
            self.account = settle(self.account, part.name, part.spent, now_ms=self.now_ms)
        used = self.account.used + self.lost
        assert used == used.at_least(self.truth) if self.mortal else used == self.truth


def test_replicas_keep_an_account_right_whatever_happens() -> None:
    """Slices lose no money, and invent none but what a dead replica had set aside."""
    run_state_machine_as_test(
        Replicas,
        settings=settings(
            max_examples=80,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
            derandomize=True,
        ),
    )
