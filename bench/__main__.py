"""The command: which benchmarks run, and how are their figures printed?"""

import argparse
import asyncio
import sys
from typing import Final

import msgspec

from bench import engine, fold, language, providers, runs, start, takeover
from bench.frame import Benchmark, Figure, table
from segue_shared import logs

BENCHMARKS: Final[dict[str, Benchmark]] = {
    "engine": engine.chain_of_five,
    "fsync": engine.synced_chain,
    "replicated": engine.replicated_chain,
    "shapes": engine.shapes,
    "scaling": engine.scaling,
    "map": runs.large_map,
    "sleeping": runs.sleeping_runs,
    "fold": fold.cold_fold,
    "takeover": takeover.takeover,
    "stack": start.whole_stack,
    "bare": start.bare_engine,
    "language": language.parsing,
    "providers": providers.calls,
    "routing": providers.routing,
    "failover": providers.failover,
    "memory": providers.memory,
    "cache": providers.cache,
}


def main(arguments: list[str] | None = None) -> int:
    """Run benchmarks and print their figures; 1 when a goal is missed."""
    parser = argparse.ArgumentParser(prog="bench", description="Figures beside their floors.")
    parser.add_argument("names", nargs="*", help=f"of {', '.join(BENCHMARKS)}; all by default")
    parser.add_argument("--quick", action="store_true", help="fewer samples, rougher figures")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - set(BENCHMARKS):
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there is {', '.join(BENCHMARKS)}")
    logs.configure("error", service="bench", instance="bench", stream=sys.stderr)
    figures: list[Figure] = []
    for name in options.names or BENCHMARKS:
        found = asyncio.run(BENCHMARKS[name](options.quick))
        figures += found
        if options.json:
            for figure in found:
                print(msgspec.json.encode(figure).decode(), flush=True)
    if not options.json:
        print(table(figures))
    return 0 if all(figure.ok for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
