"""`segue run list`: how are runs listed?"""

from typing import Annotated

import typer

from segue.cli import workflow as workflows
from segue.cli.group import target
from segue.cli.options import (
    DEFAULT_DIR,
    DirOption,
    NamespaceOption,
    Output,
    OutputOption,
    UrlOption,
)
from segue.cli.shell import Shell
from segue.cli.workflow import ListOrder


def add_list(app: typer.Typer, shell: Shell) -> None:
    """Add the command that lists runs."""

    @app.command("list")
    def list_runs(  # noqa: PLR0913 - each option is a parameter
        *,
        limit: Annotated[int, typer.Option(min=1, max=500, help="How many.")] = 50,
        status: Annotated[str, typer.Option(help="Only runs in this state, such as parked.")] = "",
        workflow: Annotated[
            str, typer.Option(help="Only runs of this workflow.", metavar="NAME")
        ] = "",
        before: Annotated[
            str, typer.Option(help="Only runs older than this one.", metavar="RUN")
        ] = "",
        nats_url: UrlOption = "",
        namespace: NamespaceOption = "default",
        folder: DirOption = DEFAULT_DIR,
        output: OutputOption = Output.TEXT,
    ) -> None:
        """List the newest runs; registered definitions are listed by 'segue workflow versions'."""
        order = ListOrder(
            limit=limit, status=status, workflow=workflow, before=before, output=output
        )
        shell.run(workflows.list_runs(shell, target(nats_url, namespace, folder), order))
