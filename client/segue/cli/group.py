"""Groups: what do all groups of commands have alike?"""

from pathlib import Path
from typing import Final

import typer

from segue.cli.target import Target

EPILOG: Final = (
    "Exit codes: 0 done, 1 run failed, 2 usage, 3 invalid definition, 5 not found or conflict, "
    "6 bus unreachable, 124 timeout, 130 detached by Ctrl-C."
)


def group() -> typer.Typer:
    """Return a group without commands."""
    return typer.Typer(no_args_is_help=True, epilog=EPILOG, pretty_exceptions_enable=False)


def target(nats_url: str, namespace: str, folder: Path) -> Target:
    """Return what the options about the bus said."""
    return Target(nats_url=nats_url, namespace=namespace, folder=folder.resolve())
