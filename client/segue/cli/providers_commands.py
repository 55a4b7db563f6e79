"""`segue providers`: which of its commands and options are there?"""

from typing import Annotated

import typer

from segue.cli import providers
from segue.cli.group import group, target
from segue.cli.options import (
    DEFAULT_DIR,
    DirOption,
    NamespaceOption,
    Output,
    OutputOption,
    UrlOption,
)
from segue.cli.shell import Shell


def provider_commands(shell: Shell) -> typer.Typer:
    """Return the group."""
    app = group()
    _add_standing(app, shell)
    _add_route(app, shell)
    return app


def _add_standing(app: typer.Typer, shell: Shell) -> None:
    @app.command("status")
    def status(
        nats_url: UrlOption = "",
        namespace: NamespaceOption = "default",
        folder: DirOption = DEFAULT_DIR,
        output: OutputOption = Output.TEXT,
    ) -> None:
        """Show how providers, their models and their keys stand."""
        shell.run(providers.status(shell, target(nats_url, namespace, folder), output))

    @app.command("test")
    def test(
        provider: Annotated[str, typer.Argument(help="Its name.", metavar="PROVIDER")],
        *,
        model: Annotated[str, typer.Option(help="Another than its default one.")] = "",
        nats_url: UrlOption = "",
        namespace: NamespaceOption = "default",
        folder: DirOption = DEFAULT_DIR,
        output: OutputOption = Output.TEXT,
    ) -> None:
        """Call a provider once, as cheaply as can be; it costs what the call costs."""
        bus = target(nats_url, namespace, folder)
        shell.run(providers.test(shell, bus, provider, model, output))

    @app.command("spending")
    def spending(
        account: Annotated[
            str,
            typer.Argument(help="Such as run.<id>; the namespace's own.", metavar="[ACCOUNT]"),
        ] = "",
        nats_url: UrlOption = "",
        namespace: NamespaceOption = "default",
        folder: DirOption = DEFAULT_DIR,
        output: OutputOption = Output.TEXT,
    ) -> None:
        """Show what an account has spent, and what is set aside for calls that run."""
        bus = target(nats_url, namespace, folder)
        shell.run(providers.spending(shell, bus, account, output))


def _add_route(app: typer.Typer, shell: Shell) -> None:
    @app.command("route")
    def route(  # noqa: PLR0913 - each option is a parameter
        *,
        explain: Annotated[
            str, typer.Option(help="What would be asked; nobody is.", metavar="PROMPT")
        ],
        model: Annotated[
            str, typer.Option(help="An alias, PROVIDER/MODEL, or a provider.", metavar="NAME")
        ] = "",
        policy: Annotated[str, typer.Option(help="Instead of the configured one.")] = "",
        prefer: Annotated[
            list[str] | None,
            typer.Option(help="A preferred provider or model; may be repeated.", metavar="NAME"),
        ] = None,
        nats_url: UrlOption = "",
        namespace: NamespaceOption = "default",
        folder: DirOption = DEFAULT_DIR,
        output: OutputOption = Output.TEXT,
    ) -> None:
        """Show who would answer a prompt now, and why not the others."""
        question = providers.Question(
            prompt=explain, model=model, policy=policy, prefer=prefer or ()
        )
        bus = target(nats_url, namespace, folder)
        shell.run(providers.explain(shell, bus, question, output))
