"""The command `python -m segue_contracts`: are the generated files current, and make them so."""

import argparse
import sys
from pathlib import Path

from segue_contracts import generated


def main() -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m segue_contracts", description=__doc__)
    parser.add_argument(
        "verb",
        choices=("write", "check", "baseline"),
        help="bring generated files up to date; fail if one is stale or a message breaks; "
        "accept the current messages as the baseline",
    )
    parser.add_argument(
        "--root",
        type=Path,
        default=Path(__file__).resolve().parents[2],
        help="the repository (default: the one this package is in)",
    )
    arguments = parser.parse_args()
    if not (arguments.root / "contracts").is_dir():
        parser.error(f"{arguments.root} has no folder contracts; name the repository with --root")
    match arguments.verb:
        case "write":
            return _write(arguments.root)
        case "check":
            return _check(arguments.root)
        case _:
            return _accept(arguments.root)


def _write(root: Path) -> int:
    changed = generated.write(root)
    for path in changed:
        print(f"written: {path}")
    print(f"{len(changed)} of the generated files changed")
    return 0


def _check(root: Path) -> int:
    stale = generated.stale(root)
    broken = generated.broken_since_baseline(root)
    for path in stale:
        print(f"stale: {path} (run `python -m segue_contracts write`)", file=sys.stderr)
    for sentence in broken:
        print(f"breaks: {sentence}", file=sys.stderr)
    return 1 if stale or broken else 0


def _accept(root: Path) -> int:
    for sentence in generated.accept(root):
        print(f"accepted: {sentence}")
    print(f"baseline: {generated.BASELINE}")
    return 0


raise SystemExit(main())
