"""Seeds: does every accepted run come to its right end, whatever goes wrong?"""

import os
import statistics
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Final

import pytest
from simulation.planted import UnguardedOutcomes
from support.simulation_recipes import Scenario, scenario
from support.simulation_shrink import shrunk
from support.simulation_world import Report, simulate

from segue_testing.sim import FaultPlan

SEEDS: Final = 500
_CHUNK: Final = 25
_SAMPLE: Final = 60
_SOAKED: Final = int(os.environ.get("SEGUE_SIM_SEEDS", "20000"))


@cache
def reported(seed: int) -> Report:
    """Play a seed, once."""
    return simulate(scenario(seed))


def failed(reports: list[Report]) -> str:
    """Return what went wrong, and how it is seen again."""
    return "\n".join(
        f"seed {report.seed} (python tests/simulation {report.seed} --shrink): {report.problems}"
        for report in reports
        if report.problems
    )


@pytest.mark.parametrize("first", range(0, SEEDS, _CHUNK))
def test_every_run_comes_to_its_right_end(first: int) -> None:
    """No event breaks an invariant, and what the model says comes of each run."""
    problems = failed([reported(seed) for seed in range(first, first + _CHUNK)])

    assert not problems, problems


def told(name: str, values: list[int]) -> str:
    """Return a distribution as one line."""
    tenths = statistics.quantiles(values, n=10)
    return f"{name}: {min(values)} … {' '.join(f'{tenth:g}' for tenth in tenths)} … {max(values)}"


def test_histories_are_long_enough_to_be_worth_it(capsys: pytest.CaptureFixture[str]) -> None:
    """Half of the histories have 60 events and more, over 5 steps and more."""
    reports = [reported(seed) for seed in range(_SAMPLE)]
    with capsys.disabled():
        print()  # noqa: T201 - the distribution is to be seen
        for name in ("events", "longest", "steps"):
            print(told(name, [getattr(report, name) for report in reports]))  # noqa: T201 - as above

    assert statistics.median(report.events for report in reports) >= 60
    assert statistics.median(report.steps for report in reports) >= 5


def test_every_kind_of_fault_happens() -> None:
    """The seeds leave nothing out that can go wrong."""
    kinds = {kind for seed in range(_SAMPLE) for kind in reported(seed).injected}

    probabilities = {name for name in FaultPlan.__dataclass_fields__ if "_s" not in name}
    assert kinds >= probabilities - {"lag", "kept", "purge", "skew_ms", "batch_most"}


def test_a_quiet_world_needs_no_second_attempt() -> None:
    """Without faults a run takes the events that it needs, and no more."""
    quiet = replace(scenario(3), plan=FaultPlan(), outages=())

    first, second = simulate(quiet), simulate(quiet)

    assert first.problems == []
    assert first.fingerprint == second.fingerprint
    assert first.injected == {}


def test_a_seed_is_the_same_history_in_every_process() -> None:
    """A seed that fails somewhere fails everywhere, in the same way."""
    program = [sys.executable, str(Path(__file__).parent), "4", "--fingerprint"]

    told = {
        subprocess.run(
            program, env={**os.environ, "PYTHONHASHSEED": salt}, capture_output=True, check=True
        ).stdout
        for salt in ("1", "2")
    }

    assert len(told) == 1
    assert told.pop().strip()


def test_what_fails_shrinks() -> None:
    """Of a failing scenario only what it takes to fail is left."""

    def fails(one: Scenario) -> bool:
        return bool(simulate(one, UnguardedOutcomes).problems)

    whole = next(one for one in map(scenario, range(SEEDS)) if fails(one))

    least = shrunk(whole, fails, tries=40)

    assert fails(least)
    assert _size(least) < _size(whole)


def _size(one: Scenario) -> int:
    return len(str(one))


def _problems(seed: int) -> Report:
    report = simulate(scenario(seed))
    return replace(report, story=[])


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_many_more_seeds_come_to_their_right_end() -> None:
    """The same holds for as many seeds as SEGUE_SIM_SEEDS says."""
    with ProcessPoolExecutor() as pool:
        found = [
            report
            for report in pool.map(_problems, range(SEEDS, SEEDS + _SOAKED), chunksize=20)
            if report.problems
        ]

    assert not found, failed(found)
