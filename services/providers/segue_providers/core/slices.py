"""Slices: how does a replica spend from a busy account without asking for every call?

A replica sets a little more aside than its calls need, under a name of its own, and spends that
locally. The slice is at most a small part of what is left, so near the limit it is nothing and
every call asks. A replica that dies loses its slice, which then counts as spent.
"""

from decimal import ROUND_DOWN, Decimal
from typing import Final

import msgspec
from msgspec import structs

from segue_providers.core.ledger import NOTHING, Account, Amount, Hold, Limit, current, settle

_SHARE: Final = 20
"""A slice is at most this part of what the limit leaves."""
_CALLS: Final = 20
"""A slice is at most this many calls' worth."""
_GRAIN: Final = Decimal("0.000001")


class Slice(msgspec.Struct, frozen=True, kw_only=True):
    """What a replica has of an account."""

    name: str = ""
    """Its hold in the account; empty while it has none."""
    held: Amount = NOTHING
    """What the hold covers: all that follows, and what is free."""
    taken: Amount = NOTHING
    """Set aside for calls that run."""
    spent: Amount = NOTHING
    """Spent, and not yet settled in the account."""

    @property
    def free(self) -> Amount:
        """What further calls may take."""
        return self.held - self.taken - self.spent


class Want(msgspec.Struct, frozen=True, kw_only=True):
    """What a slice shall be."""

    name: str
    """Its next hold, new and unique."""
    amount: Amount = NOTHING
    """For the call in hand."""
    like: Amount = NOTHING
    """What a call is worth; nothing for no more than is needed."""
    until_ms: int
    """When it counts as spent unless it is renewed."""


class Leased(msgspec.Struct, frozen=True, kw_only=True):
    """What became of it."""

    held: Amount
    """What the hold covers now."""
    granted: bool
    """Whether the call in hand fits."""


def take(part: Slice, amount: Amount, *, limit: Limit) -> Slice | None:
    """Set an amount aside for a call; None when the slice has too little left."""
    left = part.free
    if not part.name or _lacks(left, amount, limit=limit):
        return None
    return structs.replace(part, taken=part.taken + amount)


def give(part: Slice, amount: Amount, truth: Amount) -> Slice:
    """Charge what a call really was in the place of what it took."""
    return structs.replace(part, taken=part.taken - amount, spent=part.spent + truth)


def lease(
    account: Account, part: Slice, want: Want, *, limit: Limit, now_ms: int
) -> tuple[Account, Leased]:
    """Settle a slice and have it again, large enough for one more call if there is room.

    Args:
        account: Where.
        part: The slice as it is.
        want: What it shall be from now on.
        limit: What the account may hold in all, from now on.
        now_ms: The time.
    """
    if done := account.holds.get(want.name) or account.lapsed.get(want.name):
        return account, Leased(held=done.amount, granted=_covers(done.amount, part, want))
    base = settle(current(account, now_ms), part.name, part.spent, now_ms=now_ms)
    need = part.taken + want.amount
    granted = limit.admits(base.used + need)
    held = need + _headroom(base.used + need, want, limit=limit) if granted else part.taken
    if not granted and not part.name:
        return account, Leased(held=NOTHING, granted=False)
    hold = Hold(held, want.until_ms)
    kept = structs.replace(base, holds=base.holds | {want.name: hold}, limit=limit)
    return kept, Leased(held=held, granted=granted)


def after(part: Slice, before: Slice, want: Want, leased: Leased) -> Slice:
    """Return the slice as it is after a lease, whatever calls gave back meanwhile.

    Args:
        part: The slice as it is now.
        before: The slice that was leased from.
        want: What it was to be.
        leased: What became of it.
    """
    return Slice(
        name=want.name if leased.granted or before.name else "",
        held=leased.held,
        taken=part.taken + want.amount if leased.granted else part.taken,
        spent=part.spent - before.spent,
    )


def _covers(held: Amount, part: Slice, want: Want) -> bool:
    need = part.taken + want.amount
    return held.usd >= need.usd and held.tokens >= need.tokens


def _headroom(used: Amount, want: Want, *, limit: Limit) -> Amount:
    """Return what a slice may have beyond its need."""
    usd, tokens = want.like.usd * _CALLS, want.like.tokens * _CALLS
    if limit.usd is not None:
        usd = min(usd, (limit.usd - used.usd) / _SHARE).quantize(_GRAIN, ROUND_DOWN)
    if limit.tokens:
        tokens = min(tokens, (limit.tokens - used.tokens) // _SHARE)
    return Amount(usd, tokens)


def _lacks(left: Amount, amount: Amount, *, limit: Limit) -> bool:
    if limit.usd is not None and left.usd < amount.usd:
        return True
    return bool(limit.tokens) and left.tokens < amount.tokens
