"""The command `python -m segue_language`: are the generated files current, and make them so."""

import argparse
import sys
from pathlib import Path

from segue_language import generated

_WAY_OUT = "run `python -m segue_language write`"


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m segue_language", description=__doc__)
    parser.add_argument(
        "verb",
        choices=("write", "check"),
        help="bring the schemas and the reference up to date; fail if one is stale",
    )
    parser.add_argument(
        "--root",
        type=Path,
        default=Path(__file__).resolve().parents[3],
        help="the repository (default: the one this package is in)",
    )
    options = parser.parse_args(arguments)
    if not (options.root / "docs").is_dir():
        parser.error(f"{options.root} has no folder docs; name the repository with --root")
    if options.verb == "write":
        sys.stdout.writelines(f"written: {path}\n" for path in generated.write(options.root))
        return 0
    stale = generated.stale(options.root)
    sys.stderr.writelines(f"stale: {path} ({_WAY_OUT})\n" for path in stale)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
