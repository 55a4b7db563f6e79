"""Leases: who may hold one, and who is next?

A lease names its holders, so that nothing can be counted wrong: a holder that is gone is found by
its name and taken out. Whoever is first in the queue is next; nobody overtakes.
"""

from collections.abc import Callable

import msgspec


class Holder(msgspec.Struct, frozen=True):
    """A run that holds a lease."""

    run: str
    until_ms: int = 0
    """When a rate's lease is over, Unix milliseconds; 0 when the run ends."""


class Lease(msgspec.Struct, frozen=True):
    """Who holds a lease, and who waits for it."""

    holders: tuple[Holder, ...] = ()
    waiters: tuple[str, ...] = ()
    """Runs, the longest waiting first."""
    limit: int = 1
    """As the run that came last asked for."""
    per_ms: int = 0
    """How long a rate's lease is kept; 0 until the run ends."""

    def holds(self, run: str) -> bool:
        """Tell whether a run holds it."""
        return any(holder.run == run for holder in self.holders)

    @property
    def is_free(self) -> bool:
        """Whether one more run may hold it."""
        return len(self.holders) < self.limit


def without_gone(lease: Lease, gone: Callable[[str], bool], *, now_ms: int) -> Lease:
    """Return the lease without holders and waiters that are gone, or whose time is over."""
    holders = tuple(
        holder
        for holder in lease.holders
        if (now_ms < holder.until_ms if holder.until_ms else not gone(holder.run))
    )
    waiters = tuple(run for run in lease.waiters if not gone(run))
    return msgspec.structs.replace(lease, holders=holders, waiters=waiters)


def queued(lease: Lease, run: str) -> Lease:
    """Return the lease with a run among those that wait."""
    if run in lease.waiters or lease.holds(run):
        return lease
    return msgspec.structs.replace(lease, waiters=(*lease.waiters, run))


def without(lease: Lease, run: str) -> Lease:
    """Return the lease without a run, whether it holds it or waits."""
    return msgspec.structs.replace(
        lease,
        holders=tuple(holder for holder in lease.holders if holder.run != run),
        waiters=tuple(waiter for waiter in lease.waiters if waiter != run),
    )


def granted(lease: Lease, *, now_ms: int) -> tuple[Lease, tuple[str, ...]]:
    """Return the lease with free places given to the first in the queue, and who got them."""
    got: list[str] = []
    while lease.is_free and lease.waiters:
        run, *rest = lease.waiters
        until_ms = now_ms + lease.per_ms if lease.per_ms else 0
        holders = (*lease.holders, Holder(run, until_ms))
        lease = msgspec.structs.replace(lease, holders=holders, waiters=tuple(rest))
        got.append(run)
    return lease, tuple(got)
