"""The ledger: what has an account spent and set aside, and does another call fit into it?

A call is charged before it happens, at its estimate, and corrected by its truth. A hold that
nobody settles in time counts as spent, so that a crash can never make an account look richer; who
settles it late corrects the charge. Names of holds are never used twice, so that everything here
may be repeated without a second effect.
"""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

import msgspec
from msgspec import structs

KEEP_MS: Final = 24 * 3_600_000
"""How long a lapsed hold may still be corrected."""

_ZERO: Final = Decimal(0)


class Amount(msgspec.Struct, frozen=True, omit_defaults=True):
    """Money and tokens."""

    usd: Decimal = _ZERO
    """US dollars."""
    tokens: int = 0
    """Tokens of input and output."""

    def __add__(self, other: "Amount") -> "Amount":
        return Amount(self.usd + other.usd, self.tokens + other.tokens)

    def __sub__(self, other: "Amount") -> "Amount":
        return Amount(self.usd - other.usd, self.tokens - other.tokens)

    def at_least(self, other: "Amount") -> "Amount":
        """Return the larger of each."""
        return Amount(max(self.usd, other.usd), max(self.tokens, other.tokens))


NOTHING: Final = Amount()


class Limit(msgspec.Struct, frozen=True, omit_defaults=True):
    """How much an account may hold in all."""

    usd: Decimal | None = None
    """US dollars; None for no limit."""
    tokens: int = 0
    """Tokens; 0 for no limit."""

    @property
    def bounded(self) -> bool:
        """Whether there is any limit."""
        return self.usd is not None or self.tokens > 0

    def admits(self, total: Amount) -> bool:
        """Tell whether so much is within the limit."""
        fits = self.usd is None or total.usd <= self.usd
        return fits and (not self.tokens or total.tokens <= self.tokens)


class Hold(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is set aside until the truth is known."""

    amount: Amount
    """How much."""
    until_ms: int
    """When it counts as spent, Unix milliseconds."""


class Account(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is known of one account."""

    settled: Amount = NOTHING
    """Spent for certain, lapsed holds included."""
    holds: dict[str, Hold] = {}
    """What is set aside, by name."""
    lapsed: dict[str, Hold] = {}
    """Holds that count as spent and may still be corrected, by name."""
    limit: Limit = Limit()
    """The limit that was carried last."""

    @property
    def reserved(self) -> Amount:
        """All that is set aside."""
        return sum((hold.amount for hold in self.holds.values()), NOTHING)

    @property
    def used(self) -> Amount:
        """All that is spent or set aside."""
        return self.settled + self.reserved


def current(account: Account, now_ms: int) -> Account:
    """Return the account as of now: holds whose time is over are charged at their amount."""
    over = {name: hold for name, hold in account.holds.items() if hold.until_ms <= now_ms}
    stale = {name for name, hold in account.lapsed.items() if hold.until_ms + KEEP_MS <= now_ms}
    if not over and not stale:
        return account
    kept = {name: hold for name, hold in account.lapsed.items() if name not in stale}
    return structs.replace(
        account,
        settled=account.settled + sum((hold.amount for hold in over.values()), NOTHING),
        holds={name: hold for name, hold in account.holds.items() if name not in over},
        lapsed=kept | over,
    )


def reserve(
    account: Account, name: str, hold: Hold, *, limit: Limit, now_ms: int
) -> tuple[Account, bool]:
    """Set an amount aside if it is within the limit, and tell whether it is.

    Args:
        account: Where.
        name: The hold's name, new and unique.
        hold: How much, and until when.
        limit: What the account may hold in all, from now on.
        now_ms: The time.
    """
    if name in account.holds or name in account.lapsed:
        return account, True
    seen = current(account, now_ms)
    if not limit.admits(seen.used + hold.amount):
        return account, False
    return structs.replace(seen, holds=seen.holds | {name: hold}, limit=limit), True


def settle(account: Account, name: str, truth: Amount, *, now_ms: int) -> Account:
    """Charge what a call really was in the place of its hold; nothing when that was done before.

    Args:
        account: Where.
        name: The hold's name.
        truth: What was spent; nothing to give the whole hold back.
        now_ms: The time.
    """
    seen = current(account, now_ms)
    if name in seen.holds:
        return structs.replace(seen, settled=seen.settled + truth, holds=_without(seen.holds, name))
    if name in seen.lapsed:
        charged = seen.lapsed[name].amount
        return structs.replace(
            seen, settled=seen.settled - charged + truth, lapsed=_without(seen.lapsed, name)
        )
    return account


def excess(limit: Limit, used: Amount, wanted: Amount) -> str:
    """Say for people which part of a limit a call would go beyond.

    Args:
        limit: The limit.
        used: What is spent or set aside.
        wanted: What the call may take.
    """
    told = []
    if limit.usd is not None and used.usd + wanted.usd > limit.usd:
        most = plain(limit.usd)
        told.append(f"{plain(used.usd)} of {most} US dollars, the call needs {plain(wanted.usd)}")
    if limit.tokens and used.tokens + wanted.tokens > limit.tokens:
        told.append(f"{used.tokens} of {limit.tokens} tokens, the call needs {wanted.tokens}")
    return " and ".join(told) or "it had no room a moment ago"


def plain(usd: Decimal) -> str:
    """Write money without an exponent, and without zeros that say nothing."""
    return f"{usd.normalize():f}" if usd else "0"


def day_account(now_ms: int) -> str:
    """Return the account that a namespace's calls of this day (UTC) are charged to."""
    return f"ns.{datetime.fromtimestamp(now_ms / 1000, UTC):%Y-%m-%d}"


def _without(holds: dict[str, Hold], name: str) -> dict[str, Hold]:
    return {other: hold for other, hold in holds.items() if other != name}
