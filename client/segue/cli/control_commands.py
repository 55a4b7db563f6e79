"""`segue workflow pause` and its like: which options do the commands have that control runs?"""

from typing import Annotated

import typer

from segue.cli import control
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
from segue_contracts.v1.commands import ListWaits, ResumeRuns
from segue_contracts.v1.runs import Decision

ReasonOption = Annotated[str, typer.Option(help="Why, for people.")]
ByOption = Annotated[
    str, typer.Option(help="Who asks.", envvar=["SEGUE_USER", "USER"], metavar="NAME")
]
StepArgument = Annotated[
    str, typer.Argument(help="The step's key; an item's is review~3.", metavar="STEP")
]
FormOption = Annotated[
    list[str] | None,
    typer.Option("--form", help="What the form asks for; repeat it.", metavar="NAME=VALUE"),
]


def add_control(app: typer.Typer, shell: Shell) -> None:
    """Add the commands that pause, resume and stop runs."""
    _add_pause(app, shell)
    _add_resume(app, shell)
    _add_terminate(app, shell)


def add_waits(app: typer.Typer, shell: Shell) -> None:
    """Add the commands about what runs wait for, and what they may use."""
    _add_signal(app, shell)
    _add_decision(app, shell, "approve", "approved")
    _add_decision(app, shell, "reject", "rejected")
    _add_waits(app, shell)
    _add_budget(app, shell)


def _add_pause(app: typer.Typer, shell: Shell) -> None:
    @app.command("pause")
    def pause(  # noqa: PLR0913 - each option is a parameter
        run: RunArgument,
        *,
        reason: ReasonOption = "",
        by: ByOption = "",
        nats_url: UrlOption = "",
        namespace: NamespaceOption = "default",
        folder: DirOption = DEFAULT_DIR,
        output: OutputOption = Output.TEXT,
    ) -> None:
        """Schedule nothing new; what is in flight finishes."""
        at = target(nats_url, namespace, folder)
        shell.run(
            control.change(shell, at, run, lambda one: one.pause(reason, by=by), output=output)
        )


def _add_resume(app: typer.Typer, shell: Shell) -> None:
    @app.command("resume")
    def resume(  # noqa: PLR0913 - each option is a parameter
        run: Annotated[
            str, typer.Argument(help="The run's id, or <run>@<cursor>.", metavar="[RUN|CHECKPOINT]")
        ] = "",
        *,
        every: Annotated[bool, typer.Option("--all", help="All parked runs that fit.")] = False,
        code: Annotated[str, typer.Option(help="With --all: parked for this reason only.")] = "",
        workflow: Annotated[str, typer.Option(help="With --all: of this workflow only.")] = "",
        paused: Annotated[
            bool, typer.Option("--paused", help="With --all: paused runs instead of parked ones.")
        ] = False,
        limit: Annotated[int, typer.Option(min=1, max=1000, help="With --all: how many.")] = 100,
        dry: Annotated[bool, typer.Option("--dry", help="With --all: only say which.")] = False,
        reason: ReasonOption = "",
        by: ByOption = "",
        nats_url: UrlOption = "",
        namespace: NamespaceOption = "default",
        folder: DirOption = DEFAULT_DIR,
        output: OutputOption = Output.TEXT,
    ) -> None:
        """Let a paused or parked run go on, or all that fit; fork one that has ended."""
        request = ResumeRuns(
            status="paused" if paused else "parked",
            code=code,
            workflow=workflow,
            limit=limit,
            reason=reason,
            by=by,
            dry=dry,
        )
        at = target(nats_url, namespace, folder)
        shell.run(control.resume(shell, at, run, request, every=every, output=output))


def _add_terminate(app: typer.Typer, shell: Shell) -> None:
    @app.command("terminate")
    def terminate(  # noqa: PLR0913 - each option is a parameter
        run: RunArgument,
        *,
        reason: ReasonOption = "",
        by: ByOption = "",
        nats_url: UrlOption = "",
        namespace: NamespaceOption = "default",
        folder: DirOption = DEFAULT_DIR,
        output: OutputOption = Output.TEXT,
    ) -> None:
        """End a run at once, without waiting for its work; nothing is undone."""
        at = target(nats_url, namespace, folder)
        shell.run(
            control.change(shell, at, run, lambda one: one.terminate(reason, by=by), output=output)
        )


def _add_signal(app: typer.Typer, shell: Shell) -> None:
    @app.command("signal")
    def signal(  # noqa: PLR0913 - each option is a parameter
        run: RunArgument,
        name: Annotated[str, typer.Argument(help="The signal's name.", metavar="NAME")],
        *,
        payload: Annotated[
            str, typer.Option(help="What it carries, JSON or @file.", metavar="JSON|@FILE")
        ] = "null",
        key: Annotated[
            str, typer.Option(help="The same key is the same signal.", metavar="KEY")
        ] = "",
        by: ByOption = "",
        nats_url: UrlOption = "",
        namespace: NamespaceOption = "default",
        folder: DirOption = DEFAULT_DIR,
        output: OutputOption = Output.TEXT,
    ) -> None:
        """Send a run a signal; it is kept until a step waits for it."""
        order = control.Signal(name=name, payload=payload, key=key, by=by)
        at = target(nats_url, namespace, folder)
        shell.run(control.signal(shell, at, run, order, output=output))


def _add_decision(app: typer.Typer, shell: Shell, name: str, decision: Decision) -> None:
    @app.command(name, help=f"Say that a step of a run is {decision}; your first word counts.")
    def decide(  # noqa: PLR0913 - each option is a parameter
        run: RunArgument,
        step: StepArgument,
        *,
        form: FormOption = None,
        comment: Annotated[str, typer.Option(help="A remark for the record.")] = "",
        by: ByOption = "",
        nats_url: UrlOption = "",
        namespace: NamespaceOption = "default",
        folder: DirOption = DEFAULT_DIR,
        output: OutputOption = Output.TEXT,
    ) -> None:
        word = control.Word(
            step=step, decision=decision, by=by, form=tuple(form or ()), comment=comment
        )
        at = target(nats_url, namespace, folder)
        shell.run(control.decide(shell, at, run, word, output=output))


def _add_waits(app: typer.Typer, shell: Shell) -> None:
    @app.command("waits")
    def waits(  # noqa: PLR0913 - each option is a parameter
        run: Annotated[str, typer.Argument(help="Only this run.", metavar="[RUN]")] = "",
        *,
        kind: Annotated[
            str, typer.Option(help="Only duration, until, signal, event, approval or lease.")
        ] = "",
        name: Annotated[str, typer.Option(help="Only this signal, topic or lease.")] = "",
        limit: Annotated[int, typer.Option(min=1, max=1000, help="How many.")] = 100,
        nats_url: UrlOption = "",
        namespace: NamespaceOption = "default",
        folder: DirOption = DEFAULT_DIR,
        output: OutputOption = Output.TEXT,
    ) -> None:
        """List who waits for what, the longest waiting first."""
        request = ListWaits(run=run, kind=kind, name=name, limit=limit)
        at = target(nats_url, namespace, folder)
        shell.run(control.waits(shell, at, request, output=output))


def _add_budget(app: typer.Typer, shell: Shell) -> None:
    @app.command("budget")
    def budget(  # noqa: PLR0913 - each option is a parameter
        run: RunArgument,
        *,
        usd: Annotated[str, typer.Option(help="US dollars more.", metavar="AMOUNT")] = "0",
        tokens: Annotated[int, typer.Option(min=0, help="Tokens more.")] = 0,
        seconds: Annotated[float, typer.Option(min=0, help="Seconds more.")] = 0,
        key: Annotated[str, typer.Option(help="The same key allows it once.", metavar="KEY")] = "",
        by: ByOption = "",
        nats_url: UrlOption = "",
        namespace: NamespaceOption = "default",
        folder: DirOption = DEFAULT_DIR,
        output: OutputOption = Output.TEXT,
    ) -> None:
        """Allow a run more; one parked for its spent budget goes on."""
        more = control.More(usd=usd, tokens=tokens, seconds=seconds, key=key)
        at = target(nats_url, namespace, folder)
        shell.run(control.extend(shell, at, run, more, by=by, output=output))
