"""The command `segue`: which commands and options are there?"""

from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from segue.cli import (
    bus,
    contracts,
    control_commands,
    events,
    execute,
    fsck,
    history_commands,
    up,
    workflow,
)
from segue.cli.catalogue_commands import add_catalogue
from segue.cli.list_commands import add_list
from segue.cli.options import (
    DEFAULT_DIR,
    CheckedRun,
    DirOption,
    FileArgument,
    FsckOption,
    NamespaceOption,
    Output,
    OutputOption,
    Profile,
    RunArgument,
    UrlOption,
)
from segue.cli.providers_commands import provider_commands
from segue.cli.shell import Shell
from segue.cli.target import Target

_EPILOG = (
    "Exit codes: 0 done, 1 run failed, 2 usage, 3 invalid definition, 5 not found or conflict, "
    "6 bus unreachable, 124 timeout, 130 detached by Ctrl-C."
)

_SHARDS_HELP = (
    "Divide the journal among so many consumers, even while it is read; 0 changes nothing."
)


def build(shell: Shell) -> typer.Typer:
    """Return the command, which touches the outside through `shell` only."""
    app = typer.Typer(
        name="segue",
        help="Durable AI-agent workflows over NATS.",
        epilog=_EPILOG,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
    )

    @app.callback()
    def root(
        *,
        version: Annotated[
            bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which.")
        ] = False,
    ) -> None:
        """Durable AI-agent workflows over NATS."""

    _add_stack(app, shell)
    app.add_typer(_workflows(shell), name="workflow", help="Check definitions, run and see them.")
    app.add_typer(_one_run(shell), name="run", help="Go on from runs, and compare them.")
    app.add_typer(
        provider_commands(shell), name="providers", help="The providers of models, and their cost."
    )
    app.add_typer(_events(shell), name="events", help="Read what happens.")
    app.add_typer(_contracts(shell), name="contracts", help="What travels on the bus.")
    app.add_typer(_bus(shell), name="bus", help="What a broker must have.")
    return app


def _version(*, wanted: bool) -> None:
    if wanted:
        typer.echo(f"segue {version('segue')}")
        raise typer.Exit


def _group() -> typer.Typer:
    return typer.Typer(no_args_is_help=True, epilog=_EPILOG, pretty_exceptions_enable=False)


def _add_stack(app: typer.Typer, shell: Shell) -> None:
    @app.command("up")
    def start(
        folder: DirOption = DEFAULT_DIR,
        namespace: NamespaceOption = "default",
        durability: Annotated[
            Profile | None, typer.Option(help="When a stored message counts; fast by default.")
        ] = None,
    ) -> None:
        """Run a broker and every service here until Ctrl-C."""
        shell.run(up.up(shell, folder.resolve(), profile=durability, namespace=namespace))

    @app.command("down")
    def stop(folder: DirOption = DEFAULT_DIR) -> None:
        """Stop the stack that `segue up` runs in this folder."""
        shell.run(up.down(shell, folder.resolve()))

    @app.command("doctor")
    def check(
        nats_url: UrlOption = "",
        namespace: NamespaceOption = "default",
        folder: DirOption = DEFAULT_DIR,
        output: OutputOption = Output.TEXT,
        run: CheckedRun = "",
        *,
        journals: FsckOption = False,
    ) -> None:
        """Say what is missing for a run to work here, or check the journals of runs."""
        target = _target(nats_url, namespace, folder)
        shell.run(fsck.examine(shell, target, output, run=run, journals=journals))


def _workflows(shell: Shell) -> typer.Typer:
    app = _group()

    @app.command("validate")
    def validate(file: FileArgument, output: OutputOption = Output.TEXT) -> None:
        """Check a definition here; every problem with its line, nothing is started."""
        shell.run(workflow.validate(shell, file, output))

    add_catalogue(app, shell)
    _add_execute(app, shell)
    _add_runs(app, shell)
    control_commands.add_control(app, shell)
    return app


def _add_execute(app: typer.Typer, shell: Shell) -> None:
    @app.command("execute")
    def run(  # noqa: PLR0913 - each option is a parameter
        file: Annotated[
            str,
            typer.Argument(
                help="The definition, YAML or JSON, - for standard input; or a registered one: "
                "NAME, NAME@VERSION or NAME@ALIAS.",
                metavar="FILE|REF",
            ),
        ],
        *,
        context: Annotated[
            str, typer.Option(help="The inputs, a JSON object or @file.", metavar="JSON|@FILE")
        ] = "{}",
        watch: Annotated[
            bool, typer.Option("--watch", help="Show every step until the run has ended.")
        ] = False,
        report: Annotated[
            Path | None,
            typer.Option(dir_okay=False, help="Write the run's report here.", metavar="PATH"),
        ] = None,
        key: Annotated[
            str, typer.Option(help="The same key starts a run once only.", metavar="KEY")
        ] = "",
        timeout: Annotated[
            str, typer.Option(help="How long to wait, such as 10m.", metavar="TIME")
        ] = "",
        nats_url: UrlOption = "",
        namespace: NamespaceOption = "default",
        folder: DirOption = DEFAULT_DIR,
        output: OutputOption = Output.TEXT,
    ) -> None:
        """Start a run; without any bus, start the whole stack for it."""
        order = execute.Order(
            file=file,
            context=context,
            watch=watch,
            report=report,
            key=key,
            timeout=timeout,
            output=output,
            target=_target(nats_url, namespace, folder),
        )
        shell.run(execute.execute(shell, order))


def _add_runs(app: typer.Typer, shell: Shell) -> None:
    add_list(app, shell)

    @app.command("status")
    def status_of(
        run: RunArgument,
        nats_url: UrlOption = "",
        namespace: NamespaceOption = "default",
        folder: DirOption = DEFAULT_DIR,
        output: OutputOption = Output.TEXT,
    ) -> None:
        """Show where a run and its steps stand."""
        shell.run(workflow.status(shell, _target(nats_url, namespace, folder), run, output))

    @app.command("cancel")
    def cancel(
        run: RunArgument,
        *,
        reason: control_commands.ReasonOption = "",
        by: control_commands.ByOption = "",
        nats_url: UrlOption = "",
        namespace: NamespaceOption = "default",
        folder: DirOption = DEFAULT_DIR,
    ) -> None:
        """Stop a run; it ends once nothing is in flight."""
        target = _target(nats_url, namespace, folder)
        shell.run(workflow.cancel(shell, target, run, reason=reason, by=by))


def _one_run(shell: Shell) -> typer.Typer:
    app = _group()
    add_list(app, shell)
    control_commands.add_waits(app, shell)
    history_commands.add_history(app, shell)
    return app


def _events(shell: Shell) -> typer.Typer:
    app = _group()

    @app.callback()
    def group() -> None:
        """Read what happens."""

    @app.command("tail")
    def tail(  # noqa: PLR0913 - each option is a parameter
        run: Annotated[str, typer.Argument(help="Only this run.", metavar="[RUN]")] = "",
        *,
        after: Annotated[str, typer.Option(help="Begin after this event.", metavar="CURSOR")] = "",
        deltas: Annotated[
            bool, typer.Option("--deltas", help="Also tokens and tools as they come.")
        ] = False,
        nats_url: UrlOption = "",
        namespace: NamespaceOption = "default",
        folder: DirOption = DEFAULT_DIR,
        output: OutputOption = Output.TEXT,
    ) -> None:
        """Follow a run from its start to its end, or every run from now on."""
        target = _target(nats_url, namespace, folder)
        shell.run(events.tail(shell, target, run=run, after=after, deltas=deltas, output=output))

    return app


def _contracts(shell: Shell) -> typer.Typer:
    app = _group()

    @app.command("list")
    def list_all(output: OutputOption = Output.TEXT) -> None:
        """List every event, command and delta with its subject."""
        shell.run(contracts.list_all(shell, output))

    @app.command("show")
    def show(
        name: Annotated[str, typer.Argument(help="A name from the list.", metavar="TYPE")],
    ) -> None:
        """Write the JSON Schema of a message."""
        shell.run(contracts.show(shell, name))

    @app.command("schemas")
    def write_schemas(
        folder: Annotated[Path, typer.Argument(help="Where to.", metavar="DIR")] = Path("schemas"),
    ) -> None:
        """Write every JSON Schema into a folder."""
        shell.run(contracts.write_schemas(shell, folder))

    return app


def _bus(shell: Shell) -> typer.Typer:
    app = _group()

    @app.callback()
    def group() -> None:
        """What a broker must have."""

    @app.command("apply")
    def apply(
        nats_url: UrlOption = "",
        folder: DirOption = DEFAULT_DIR,
        replicas: Annotated[int, typer.Option(min=1, max=5, help="Copies of everything.")] = 1,
        shard_consumers: Annotated[int, typer.Option(min=0, max=256, help=_SHARDS_HELP)] = 0,
    ) -> None:
        """Make the streams, buckets and consumers that are missing."""
        target = _target(nats_url, "default", folder)
        shell.run(bus.apply(shell, target, replicas=replicas, shard_consumers=shard_consumers))

    return app


def _target(nats_url: str, namespace: str, folder: Path) -> Target:
    return Target(nats_url=nats_url, namespace=namespace, folder=folder.resolve())
