"""`segue run fork|diff|replay`: how do runs go on from others, and how do they differ?"""

from dataclasses import dataclass

import msgspec
from msgspec import UnsetType
from rich.table import Table as Grid

from segue.cli.definition import read_definition
from segue.cli.failures import UsageError
from segue.cli.options import Output
from segue.cli.shell import Shell
from segue.cli.target import Target, client_of
from segue.core.display import cost, duration, plural
from segue.core.edits import EditError, parse_inputs, parse_outputs
from segue.core.exits import Exit
from segue_contracts.reply import Refused
from segue_contracts.v1.commands import ReplayDifference, RunAccepted, StepDiff
from segue_contracts.v1.runs import RunView, StepView


@dataclass(frozen=True, kw_only=True)
class ForkOrder:
    """What the command line asked for."""

    checkpoint: str
    """A run's id, or `<run>@<cursor>`."""
    at: tuple[str, ...] = ()
    """`--at`."""
    outputs: tuple[str, ...] = ()
    """`--set`."""
    inputs: tuple[str, ...] = ()
    """`--input`."""
    file: str = ""
    """`--with`."""
    key: str = ""
    """`--key`."""
    output: Output = Output.TEXT
    """`-o`."""


async def fork(shell: Shell, target: Target, order: ForkOrder) -> Exit:
    """Start a run from a checkpoint of another."""
    try:
        outputs, inputs = parse_outputs(order.outputs), parse_inputs(order.inputs)
    except EditError as error:
        raise UsageError(str(error)) from error
    text = file = None
    if order.file:
        definition = read_definition(order.file)
        definition.valid()
        text, file = definition.text, definition.file
    async with client_of(shell, target) as client:
        accepted = await client.history.fork(
            order.checkpoint,
            at=order.at,
            outputs=outputs,
            workflow=text,
            file=file or "",
            inputs=inputs,
            key=order.key or None,
        )
    _show_fork(shell, accepted, order.output)
    return Exit.DONE


async def has_ended(shell: Shell, target: Target, run: str, refused: Refused) -> bool:
    """Tell whether something was refused because the run is over."""
    if refused.code != "conflict":
        return False
    async with client_of(shell, target) as client:
        return (await client.run(run).status()).ended_ms > 0


def _show_fork(shell: Shell, accepted: RunAccepted, output: Output) -> None:
    """Write which run goes on."""
    again = ", started before with this key" if accepted.existing else ""
    if output is Output.JSON:
        shell.put(msgspec.json.encode(accepted).decode())
    else:
        shell.put(f"run {accepted.run}{again}")
    shell.say(f"follow it with: segue events tail {accepted.run}")


async def diff(shell: Shell, target: Target, *, first: str, second: str, output: Output) -> Exit:
    """Compare two runs step by step."""
    async with client_of(shell, target) as client:
        found = await client.history.diff(first, second)
    if output is Output.JSON:
        shell.put(msgspec.json.encode(found).decode())
        return Exit.DONE
    for view in (found.first, found.second):
        shell.put(_summary(view))
    shell.out.print(_grid(found.steps))
    for step in found.steps:
        for run, value in ((found.first, step.first_output), (found.second, step.second_output)):
            if value is not None:
                shell.put(f"{step.step} in {run.run}: {msgspec.json.encode(value).decode()}")
    return Exit.DONE


def _summary(view: RunView) -> str:
    took = f", {duration(view.ended_ms - view.started_ms)}" if view.ended_ms else ""
    forked = f", forked from {view.forked_from}" if view.forked_from else ""
    spent = cost(view.usage.cost_usd)
    return f"run {view.run} of {view.workflow}: {view.status}{took}, {spent}{forked}"


def _grid(steps: list[StepDiff]) -> Grid:
    grid = Grid("step", "first", "second", "output", "time", "cost")
    for step in steps:
        shared = ", taken over" if step.shared else ""
        grid.add_row(
            step.step,
            _status(step.first),
            _status(step.second) + shared,
            "same" if step.same_output else "differs",
            f"{duration(step.first_ms)} / {duration(step.second_ms)}",
            f"{_cost(step.first)} / {'$0' if step.shared else _cost(step.second)}",
        )
    return grid


def _status(step: StepView | UnsetType) -> str:
    return "-" if isinstance(step, UnsetType) else step.status


def _cost(step: StepView | UnsetType) -> str:
    return "-" if isinstance(step, UnsetType) else cost(step.usage.cost_usd)


async def replay(shell: Shell, target: Target, *, run: str, file: str, output: Output) -> Exit:
    """Tell what another definition would have decided on a run's history."""
    definition = read_definition(file)
    definition.valid()
    async with client_of(shell, target) as client:
        result = await client.history.replay(run, definition.text, file=definition.file)
    if output is Output.JSON:
        shell.put(msgspec.json.encode(result).decode())
        return Exit.DONE
    events = plural(result.events, "event")
    if not result.differences:
        shell.put(f"run {run}: {file} decides the same after each of {events}")
    for difference in result.differences:
        for line in _lines(difference):
            shell.put(line)
    return Exit.DONE


def _lines(difference: ReplayDifference) -> list[str]:
    recorded = [f"  - {text}" for text in difference.recorded]
    replayed = [f"  + {text}" for text in difference.replayed]
    return [f"after {difference.event} ({difference.cursor})", *recorded, *replayed]
