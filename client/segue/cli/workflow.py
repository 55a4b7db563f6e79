"""`segue workflow`: what can be asked about definitions and runs?"""

from dataclasses import dataclass

import msgspec
from rich.table import Table as Grid

from segue.cli.definition import read_definition
from segue.cli.options import Output
from segue.cli.shell import Shell
from segue.cli.target import Target, client_of
from segue.core.display import cost, count, duration, plural
from segue.core.exits import Exit
from segue.core.table import failure
from segue_contracts.v1.runs import RunSummary, RunView, StepView
from segue_shared.clock import rfc3339


async def validate(shell: Shell, file: str, output: Output) -> Exit:
    """Check a definition here, without a bus."""
    parsed = read_definition(file).parse()
    problems = parsed.problems
    if output is Output.JSON:
        answer = {
            "valid": not problems,
            "workflow": parsed.workflow.name if parsed.workflow else None,
            "problems": problems,
        }
        shell.put(msgspec.json.encode(answer).decode())
    elif parsed.workflow and not problems:
        shell.put(f"{parsed.workflow.name} is valid: {plural(len(parsed.workflow.steps), 'step')}")
    for problem in problems:
        shell.say(problem.render())
    return Exit.INVALID_DEFINITION if problems else Exit.DONE


@dataclass(frozen=True, kw_only=True)
class ListOrder:
    """Which runs the command line asked for."""

    limit: int
    """`--limit`."""
    status: str
    """`--status`."""
    workflow: str
    """`--workflow`."""
    before: str
    """`--before`."""
    output: Output
    """`-o`."""


async def list_runs(shell: Shell, target: Target, order: ListOrder) -> Exit:
    """List the newest runs."""
    async with client_of(shell, target) as client:
        runs = await client.list_runs(
            limit=order.limit, status=order.status, workflow=order.workflow, before=order.before
        )
    if order.output is Output.JSON:
        shell.put(msgspec.json.encode(runs).decode())
    elif runs:
        shell.out.print(_runs(runs, now_ms=shell.clock.now_ms()))
    elif order.status or order.workflow or order.before:
        shell.say("no such runs")
    else:
        shell.say("no runs yet; start one with: segue workflow execute FILE")
    return Exit.DONE


async def status(shell: Shell, target: Target, run: str, output: Output) -> Exit:
    """Show where a run and its steps stand."""
    async with client_of(shell, target) as client:
        view = await client.run(run).status()
        result = await client.read(view.output)
    if output is Output.JSON:
        told = msgspec.to_builtins(view) | {"output": result}
        shell.put(msgspec.json.encode(told).decode())
        return Exit.DONE
    _show(shell, view)
    if isinstance(result, dict):
        shell.say(f"outputs: {', '.join(result)} (read them with -o json)")
    return Exit.DONE


async def cancel(shell: Shell, target: Target, run: str, *, reason: str, by: str) -> Exit:
    """Ask a run to stop."""
    async with client_of(shell, target) as client:
        accepted = await client.run(run).cancel(reason, by=by)
    ended = "had ended before" if accepted.already_ended else "is being cancelled"
    shell.put(f"run {run} {ended}")
    return Exit.DONE


def _runs(runs: list[RunSummary], *, now_ms: int) -> Grid:
    grid = Grid("run", "workflow", "status", "started", "time")
    for run in runs:
        took = duration((run.ended_ms or now_ms) - run.started_ms)
        grid.add_row(run.run, run.workflow, run.status, rfc3339(run.started_ms)[:19], took)
    return grid


def _show(shell: Shell, view: RunView) -> None:
    now_ms = shell.clock.now_ms()
    took = duration((view.ended_ms or now_ms) - view.started_ms)
    shell.put(f"run {view.run} of {view.workflow}: {view.status}, {took}, cursor {view.cursor}")
    if not isinstance(view.error, msgspec.UnsetType):
        shell.put(failure(view.error))
    shell.out.print(_steps(view.steps, now_ms=now_ms))


def _steps(steps: list[StepView], *, now_ms: int) -> Grid:
    grid = Grid("step", "state", "agent", "attempt", "time", "tokens", "cost", "provider")
    for step in steps:
        tokens = step.usage.input_tokens + step.usage.output_tokens
        took = duration((step.ended_ms or now_ms) - step.scheduled_ms) if step.scheduled_ms else ""
        error = "" if isinstance(step.error, msgspec.UnsetType) else f" ({step.error.code})"
        grid.add_row(
            step.step,
            step.status + error,
            step.agent or step.pool,
            str(step.attempt or ""),
            took,
            count(tokens) if tokens else "",
            cost(step.usage.cost_usd) if step.usage.model_calls else "",
            step.provider,
        )
    return grid
