"""Shares: is everything owned once, and does a change of members move only what it must?"""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue_contracts.v1.topology import shard_consumers
from segue_orchestrator.core.shares import owned, owner

NAMES = [consumer.name for consumer in shard_consumers(64)]
members = st.sets(st.text("abc-0123456789", min_size=1, max_size=12), min_size=1, max_size=8)


@given(members)
def test_every_name_has_one_owner(live: set[str]) -> None:
    """The shares of all members are disjoint, and nothing is left over."""
    shares = [owned(NAMES, live, member) for member in live]
    assert sum(map(len, shares)) == len(NAMES)
    assert frozenset[str]().union(*shares) == {*NAMES}


@given(members, st.randoms(use_true_random=False))
def test_the_order_in_which_members_are_seen_does_not_matter(
    live: set[str], random: st.DataObject
) -> None:
    """Whoever knows the same members comes to the same owner."""
    listed = sorted(live)
    shuffled = list(listed)
    random.shuffle(shuffled)  # type: ignore[attr-defined] # the strategy hands out a Random
    assert [owner(name, shuffled) for name in NAMES] == [owner(name, listed) for name in NAMES]


@given(members, st.text("xyz", min_size=1, max_size=4))
def test_a_new_member_takes_names_and_moves_no_others(live: set[str], new: str) -> None:
    """What changes its owner goes to the new member."""
    moved = {name for name in NAMES if owner(name, live) != owner(name, {*live, new})}
    assert moved == owned(NAMES, {*live, new}, new)


@given(members.filter(lambda live: len(live) > 1))
def test_a_member_that_is_gone_leaves_its_names_and_moves_no_others(live: set[str]) -> None:
    """What changes its owner was the lost member's."""
    lost = min(live)
    moved = {name for name in NAMES if owner(name, live) != owner(name, live - {lost})}
    assert moved == owned(NAMES, live, lost)


def test_a_member_that_does_not_see_itself_yet_takes_its_share_nevertheless() -> None:
    """One's own registration may be seen late."""
    assert owned(NAMES, [], "me") == {*NAMES}
    assert owned(NAMES, ["other"], "me") == owned(NAMES, ["me", "other"], "me")


def test_the_shares_of_several_members_are_of_like_size() -> None:
    """With 256 names and four members nobody has much more than a quarter."""
    names = [consumer.name for consumer in shard_consumers(256)]
    live = [f"orchestrator-{number}" for number in range(4)]
    sizes = sorted(len(owned(names, live, member)) for member in live)
    assert sizes[0] > 40
    assert sizes[-1] < 90


def test_names_that_read_alike_together_are_told_apart() -> None:
    """Where the name ends and the member begins is part of the hash."""
    owners = [owner(f"n{'x' * number}", ["x", "xx", "xxx"]) for number in range(64)]
    assert any(one != other for one, other in pairwise(owners))


def test_nobody_owns_anything_where_there_is_nobody() -> None:
    """An owner is asked for among members."""
    with pytest.raises(ValueError, match="empty"):
        owner("a", [])
