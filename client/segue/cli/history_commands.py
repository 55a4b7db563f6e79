"""`segue run fork|diff|replay`: which options do the commands have that read the past?"""

from typing import Annotated

import typer

from segue.cli import history
from segue.cli.group import target
from segue.cli.options import (
    DEFAULT_DIR,
    DirOption,
    NamespaceOption,
    Output,
    OutputOption,
    RunArgument,
    UrlOption,
)
from segue.cli.shell import Shell

CheckpointArgument = Annotated[
    str, typer.Argument(help="The run's id, or <run>@<cursor>.", metavar="RUN|CHECKPOINT")
]
WithOption = Annotated[
    str, typer.Option("--with", help="Another definition, YAML or JSON.", metavar="FILE")
]


def add_history(app: typer.Typer, shell: Shell) -> None:
    """Add the commands that read the past of runs."""
    _add_fork(app, shell)

    @app.command("diff")
    def diff(
        first: CheckpointArgument,
        second: CheckpointArgument,
        *,
        nats_url: UrlOption = "",
        namespace: NamespaceOption = "default",
        folder: DirOption = DEFAULT_DIR,
        output: OutputOption = Output.TEXT,
    ) -> None:
        """Compare two runs step by step: outputs, time and cost."""
        where = target(nats_url, namespace, folder)
        shell.run(history.diff(shell, where, first=first, second=second, output=output))

    @app.command("replay")
    def replay(
        run: RunArgument,
        *,
        file: WithOption,
        nats_url: UrlOption = "",
        namespace: NamespaceOption = "default",
        folder: DirOption = DEFAULT_DIR,
        output: OutputOption = Output.TEXT,
    ) -> None:
        """Tell what another definition would have decided on a run's history."""
        where = target(nats_url, namespace, folder)
        shell.run(history.replay(shell, where, run=run, file=file, output=output))


def _add_fork(app: typer.Typer, shell: Shell) -> None:
    @app.command("fork")
    def fork(  # noqa: PLR0913 - each option is a parameter
        checkpoint: CheckpointArgument,
        *,
        at: Annotated[
            list[str] | None,
            typer.Option(
                "--at",
                help="A step that runs again, with all that waits for it. Several are allowed; "
                "without any, what has not completed runs.",
                metavar="STEP",
            ),
        ] = None,
        outputs: Annotated[
            list[str] | None,
            typer.Option("--set", help="Give a step's output.", metavar="steps.STEP.output=JSON"),
        ] = None,
        inputs: Annotated[
            list[str] | None,
            typer.Option("--input", help="An input that differs.", metavar="NAME=VALUE"),
        ] = None,
        file: WithOption = "",
        key: Annotated[
            str, typer.Option(help="The same key starts a run once only.", metavar="KEY")
        ] = "",
        nats_url: UrlOption = "",
        namespace: NamespaceOption = "default",
        folder: DirOption = DEFAULT_DIR,
        output: OutputOption = Output.TEXT,
    ) -> None:
        """Start a run that takes over what another has finished."""
        order = history.ForkOrder(
            checkpoint=checkpoint,
            at=tuple(at or ()),
            outputs=tuple(outputs or ()),
            inputs=tuple(inputs or ()),
            file=file,
            key=key,
            output=output,
        )
        where = target(nats_url, namespace, folder)
        shell.run(history.fork(shell, where, order))
