"""Planted bugs: would the simulation notice?"""

from typing import Final

import pytest
from simulation.planted import BUGS
from support.simulation_parts import Build
from support.simulation_recipes import scenario
from support.simulation_world import simulate

SEEDS: Final = 500

CAUGHT: Final[dict[str, int]] = {
    "NoReset": 0,
    "AckBeforeStored": 8,
    "InFlightTakenForStored": 5,
    "UnguardedOutcomes": 2,
    "OwnPublishFolded": 0,
    "StaleCache": 3,
    "FailedBatchGivenBack": 30,
    "PurgedUnkept": 13,
    "GapsUnnoticed": 91,
    "PartOfTheState": 2,
    "EndsIgnored": 1,
    "StaleFold": 18,
}
"""A seed that is known to catch a bug, to begin with; any of the set will do."""


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.__name__)
def test_a_planted_bug_is_caught(bug: type[Build]) -> None:
    """Some seed of the set that every change has to pass finds the mistake."""
    known = CAUGHT[bug.__name__]
    seeds = [known, *(seed for seed in range(SEEDS) if seed != known)]

    caught = next((seed for seed in seeds if simulate(scenario(seed), bug).problems), None)

    assert caught is not None, f"{bug.__name__} goes unnoticed: {bug.__doc__}"
