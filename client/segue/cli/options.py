"""Options: what do several commands take in the same way?"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from segue.stack.folder import DEFAULT


class Output(StrEnum):
    """Forms of output."""

    TEXT = "text"
    JSON = "json"


class Profile(StrEnum):
    """Durability profiles."""

    FAST = "fast"
    FSYNC = "fsync"
    REPLICATED = "replicated"


OutputOption = Annotated[
    Output, typer.Option("--output", "-o", help="Form of the data on standard output.")
]
UrlOption = Annotated[
    str,
    typer.Option(
        help="The broker. NATS_URL comes first, then this, then the stack of --dir, then "
        "nats://127.0.0.1:4222.",
        metavar="URL",
    ),
]
NamespaceOption = Annotated[str, typer.Option(envvar="SEGUE_NAMESPACE", help="The tenant.")]
DirOption = Annotated[
    Path,
    typer.Option("--dir", envvar="SEGUE_DIR", help="The local stack's folder.", metavar="DIR"),
]
RunArgument = Annotated[str, typer.Argument(help="The run's id.", metavar="RUN")]
CheckedRun = Annotated[
    str, typer.Argument(help="Only this run, with --fsck.", metavar="[RUN]", show_default=False)
]
FsckOption = Annotated[
    bool,
    typer.Option("--fsck", help="Hold the journals of runs against the engine's invariants."),
]
FileArgument = Annotated[
    str, typer.Argument(help="The definition, YAML or JSON; - reads standard input.")
]

DEFAULT_DIR = Path(DEFAULT)
