"""One simulation again: what happened under this seed?"""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from simulation.planted import BUGS
from support.simulation_parts import Build
from support.simulation_recipes import Scenario, scenario
from support.simulation_shrink import kind_of, shrunk
from support.simulation_world import Report, simulate


def main() -> int:
    """Play a seed, tell its story, and return 1 when something was wrong."""
    asked = _arguments().parse_args()
    build = {bug.__name__: bug for bug in BUGS}.get(asked.bug, Build)
    played = scenario(asked.seed)
    report = simulate(played, build)
    kind = kind_of(report.problems)
    if asked.shrink and kind:
        played = shrunk(played, lambda one: kind_of(simulate(one, build).problems) == kind)
        report = simulate(played, build)
    if asked.fingerprint:
        print(report.fingerprint)
        return 0
    _tell(played, report, last=asked.story)
    return 1 if report.problems else 0


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="simulation", description="Play one seed again.")
    parser.add_argument("seed", type=int, help="which one")
    parser.add_argument("--story", type=int, default=60, help="how many lines of its end to tell")
    parser.add_argument("--shrink", action="store_true", help="look for the least that still fails")
    parser.add_argument("--bug", default="", choices=["", *(bug.__name__ for bug in BUGS)])
    parser.add_argument("--fingerprint", action="store_true", help="tell nothing but that")
    return parser


def _tell(played: Scenario, report: Report, *, last: int) -> None:
    print(json.dumps(asdict(played), indent=1, default=str))
    print("\n".join(report.story[-last:]))
    print(f"seed {report.seed}: {report.events} events of {report.steps} steps")
    for problem in report.problems:
        print(f"  {problem}")


if __name__ == "__main__":
    sys.exit(main())
