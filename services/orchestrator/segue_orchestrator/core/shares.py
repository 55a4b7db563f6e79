"""Shares: which of the shard consumers does which instance read?

Rendezvous hashing (Thaler & Ravishankar, A Name-Based Mapping Scheme for Rendezvous, 1996): of all
instances, the one whose hash together with a consumer's name is highest reads it. Whoever knows the
same instances comes to the same result, and a change of them moves only what it must.
"""

from collections.abc import Collection, Iterable
from hashlib import blake2b


def owned(names: Iterable[str], members: Collection[str], me: str) -> frozenset[str]:
    """Return the names that `me` owns among `members`; it is one of them, listed or not."""
    everyone = {*members, me}
    return frozenset(name for name in names if owner(name, everyone) == me)


def owner(name: str, members: Iterable[str]) -> str:
    """Return the member that owns a name.

    Raises:
        ValueError: There are no members.
    """
    return max(members, key=lambda member: (_weight(name, member), member))


def _weight(name: str, member: str) -> bytes:
    # No name holds a null byte, so no two pairs are hashed alike.
    return blake2b(f"{name}\0{member}".encode(), digest_size=8).digest()
