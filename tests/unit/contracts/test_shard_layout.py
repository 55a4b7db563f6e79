"""The layout of shard consumers: can two exist beside each other, and be told from others?"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue_contracts.v1 import subjects
from segue_contracts.v1.topology import TIMER_RELAY, shard_layout, topology

LAYOUT = shard_layout()
counts = st.integers(1, subjects.SHARDS)


@given(counts, counts)
def test_layouts_of_other_numbers_share_no_name(one: int, other: int) -> None:
    """So the new consumers can be made while the old ones are read."""
    names = [{consumer.name for consumer in LAYOUT.consumers(count)} for count in (one, other)]
    assert one == other or names[0].isdisjoint(names[1])


@given(counts)
def test_a_layout_knows_its_consumers_whatever_their_number(count: int) -> None:
    """What a change must remove is found by its name."""
    assert all(LAYOUT.owns(consumer.name) for consumer in LAYOUT.consumers(count))


@pytest.mark.parametrize(
    "name", [TIMER_RELAY, "orchestrator", "orchestrator_16_", "orchestrator_1_2_3", "pool_a_1_2"]
)
def test_a_layout_knows_what_is_not_its_own(name: str) -> None:
    """Consumers of others are never removed."""
    assert not LAYOUT.owns(name)


def test_consumers_that_were_named_without_their_number_belong_to_the_layout() -> None:
    """A broker of an earlier release is brought to the new names."""
    assert LAYOUT.owns("orchestrator_07")


def test_a_topology_keeps_the_stored_number_unless_it_is_told_one() -> None:
    """Applying it again after a change does not undo the change."""
    assert [layout.count for layout in topology().layouts] == [0]
    assert [layout.count for layout in topology(4).layouts] == [4]


def test_a_topology_lists_the_consumers_of_a_fresh_broker() -> None:
    """References and permissions are made from them."""
    listed = {consumer.name for consumer in topology().consumers}
    assert {consumer.name for consumer in LAYOUT.consumers(LAYOUT.default)} <= listed
