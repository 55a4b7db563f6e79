"""`segue workflow`: which of its commands are about registered definitions?"""

from typing import Annotated

import typer

from segue.cli import catalogue
from segue.cli.group import target
from segue.cli.options import (
    DEFAULT_DIR,
    DirOption,
    FileArgument,
    NamespaceOption,
    Output,
    OutputOption,
    UrlOption,
)
from segue.cli.shell import Shell


def add_catalogue(app: typer.Typer, shell: Shell) -> None:
    """Add the commands that register definitions and look them up."""
    _add_changes(app, shell)

    @app.command("versions")
    def versions(
        workflow: Annotated[
            str, typer.Argument(help="Only versions of this workflow.", metavar="[NAME]")
        ] = "",
        nats_url: UrlOption = "",
        namespace: NamespaceOption = "default",
        folder: DirOption = DEFAULT_DIR,
        output: OutputOption = Output.TEXT,
    ) -> None:
        """List registered definitions, by name, the newest version first."""
        bus = target(nats_url, namespace, folder)
        shell.run(catalogue.versions(shell, bus, workflow=workflow, output=output))

    @app.command("show")
    def show(
        reference: Annotated[
            str,
            typer.Argument(
                help="NAME, NAME@VERSION, NAME@ALIAS, or a definition's hash.", metavar="REF"
            ),
        ],
        nats_url: UrlOption = "",
        namespace: NamespaceOption = "default",
        folder: DirOption = DEFAULT_DIR,
        output: OutputOption = Output.TEXT,
    ) -> None:
        """Write a registered definition as YAML."""
        bus = target(nats_url, namespace, folder)
        shell.run(catalogue.show(shell, bus, reference=reference, output=output))


def _add_changes(app: typer.Typer, shell: Shell) -> None:
    @app.command("push")
    def push(
        file: FileArgument,
        *,
        alias: Annotated[
            str, typer.Option(help="Name this version at once, such as prod.", metavar="ALIAS")
        ] = "",
        nats_url: UrlOption = "",
        namespace: NamespaceOption = "default",
        folder: DirOption = DEFAULT_DIR,
        output: OutputOption = Output.TEXT,
    ) -> None:
        """Register a definition under its name and version, for ever."""
        bus = target(nats_url, namespace, folder)
        shell.run(catalogue.push(shell, bus, file=file, alias=alias, output=output))

    @app.command("alias")
    def alias(  # noqa: PLR0913 - each argument is a parameter
        workflow: Annotated[str, typer.Argument(help="The workflow's name.", metavar="NAME")],
        alias: Annotated[str, typer.Argument(help="Such as prod.", metavar="ALIAS")],
        version: Annotated[str, typer.Argument(help="Such as 1.4.0.", metavar="VERSION")],
        *,
        nats_url: UrlOption = "",
        namespace: NamespaceOption = "default",
        folder: DirOption = DEFAULT_DIR,
        output: OutputOption = Output.TEXT,
    ) -> None:
        """Let a name such as prod mean a version."""
        bus = target(nats_url, namespace, folder)
        shell.run(
            catalogue.set_alias(
                shell, bus, workflow=workflow, alias=alias, version=version, output=output
            )
        )
