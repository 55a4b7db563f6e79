"""`segue workflow execute`: how is a run started, watched and reported?"""

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from segue.cli.definition import Definition, is_reference, read_context, read_definition
from segue.cli.failures import StillRunningError, UsageError
from segue.cli.options import Output
from segue.cli.shell import Shell
from segue.cli.target import Session, Target, session_of
from segue.cli.watch import LiveTable, PlainLines, Silent, Watcher, summary
from segue.core import table as tables
from segue.core.exits import Exit, of_end
from segue.core.inputs import absolute_repository
from segue.core.report import report_of
from segue.sdk import Client, Run, RunResult
from segue_contracts.v1.runs import RunEnded

if TYPE_CHECKING:
    from segue_language import Workflow


@dataclass(frozen=True, kw_only=True)
class Order:
    """What the command line asked for."""

    file: str
    """The definition's file, or a reference to a registered one."""
    context: str
    """`--context`."""
    watch: bool
    """`--watch`."""
    report: Path | None
    """`--report`."""
    key: str
    """`--key`."""
    timeout: str
    """`--timeout`."""
    output: Output
    """`-o`."""
    target: Target
    """Where to run it."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The order after everything that can be checked here was checked."""

    definition: Definition | None
    """The file; None for a registered definition."""
    workflow: "Workflow | None"
    """What it says; None until it was looked up."""
    inputs: dict[str, object]
    timeout_s: float | None

    def steps(self) -> list[tuple[str, str]]:
        """Return key and agent (or pool) of each step."""
        steps = self.workflow.steps if self.workflow else ()
        return [(step.key, step.agent or step.pool or step.kind) for step in steps]


async def execute(shell: Shell, order: Order) -> Exit:
    """Start a run, and wait for it when that was asked for."""
    plan = prepare(order, folder=shell.folder)
    async with session_of(shell, order.target) as session:
        plan = await _looked_up(session.client, order, plan)
        run = await _start(session.client, order, plan)
        if not _waits(order, session):
            return _detached(shell, order, run)
        shell.say(f"run {run.id} of {_name(plan, order)}{_again(run)}")
        return await _wait(shell, order, plan, session=session, run=run)


async def _looked_up(client: Client, order: Order, plan: Plan) -> Plan:
    """Return the plan with the registered definition that it names, if it names one."""
    if plan.definition is not None:
        return plan
    from segue_language import parse  # noqa: PLC0415 - see `definition`

    found = await client.workflows.show(order.file)
    return replace(plan, workflow=parse(found.text).workflow)


async def _start(client: Client, order: Order, plan: Plan) -> Run:
    if plan.definition is None:
        return await client.workflows.start(order.file, plan.inputs, order.key)
    return await client.start_run(
        plan.definition.text, plan.inputs, order.key or None, file=plan.definition.file
    )


def _name(plan: Plan, order: Order) -> str:
    return plan.workflow.name if plan.workflow else order.file


def prepare(order: Order, *, folder: Path) -> Plan:
    """Check everything that can be checked before a bus is needed.

    Raises:
        InvalidDefinitionError: The definition or the inputs are not valid; with all problems.
        ContextError: `--context` is no JSON object.
        UsageError: Another option cannot be.
    """
    inputs = absolute_repository(read_context(order.context), folder=str(folder))
    timeout_s = _seconds(order.timeout) if order.timeout else None
    definition, workflow = None, None
    if not is_reference(order.file):
        definition = read_definition(order.file)
        workflow = definition.valid(inputs)
    return Plan(definition=definition, workflow=workflow, inputs=inputs, timeout_s=timeout_s)


def _seconds(timeout: str) -> float:
    from segue_language import (  # noqa: PLC0415 - see `definition`
        DurationError,
        parse_duration,
    )

    try:
        return parse_duration(timeout) / 1000
    except DurationError as error:
        raise UsageError(f"--timeout: {error}") from error


def _waits(order: Order, session: Session) -> bool:
    return bool(order.watch or order.report or order.timeout or session.temporary)


def _again(run: Run) -> str:
    return ", started before with this key" if run.accepted and run.accepted.existing else ""


def _detached(shell: Shell, order: Order, run: Run) -> Exit:
    if order.output is Output.JSON:
        shell.put(msgspec.json.encode(run.accepted).decode())
    else:
        shell.put(f"run {run.id}{_again(run)}")
    shell.say(f"follow it with: segue events tail {run.id}")
    shell.say(f"see its state with: segue workflow status {run.id}")
    return Exit.DONE


async def _wait(shell: Shell, order: Order, plan: Plan, *, session: Session, run: Run) -> Exit:
    watcher = _watcher(shell, order, plan, run=run)
    try:
        async with asyncio.timeout(plan.timeout_s):
            body = await _watched(watcher, run)
    except TimeoutError as error:
        raise StillRunningError(_still_running(plan, session, run)) from error
    except asyncio.CancelledError:
        shell.say(_detachment(session, run))
        raise
    return _conclude(shell, order, await run.ended(body), watcher=watcher)


async def _watched(watcher: Watcher, run: Run) -> RunEnded:
    """Show every event until the last, and return that."""
    with watcher:
        async for event in run.events():
            watcher.show(event)
            if isinstance(event.body, RunEnded):
                return event.body
    raise UsageError(f"run {run.id} has an end that this release cannot read; update segue")


def _watcher(shell: Shell, order: Order, plan: Plan, *, run: Run) -> Watcher:
    table = tables.empty(_name(plan, order), plan.steps())
    if not order.watch:
        return Silent(table)
    console = shell.err if order.output is Output.JSON else shell.out
    if console.is_terminal:
        return LiveTable(table, run=run.id, console=console, clock=shell.clock)
    return PlainLines(table, console=console)


def _conclude(shell: Shell, order: Order, result: RunResult, *, watcher: Watcher) -> Exit:
    now_ms = shell.clock.now_ms()
    told = shell.say if order.output is Output.JSON else shell.put
    told(summary(watcher.table, run=result.run, now_ms=now_ms))
    # The live table shows the notes itself.
    for note in () if isinstance(watcher, LiveTable) else watcher.table.notes:
        shell.say(f"note: {note}")
    if result.error is not None:
        shell.say(f"segue: {tables.failure(result.error)}")
    if order.output is Output.JSON:
        shell.put(msgspec.json.encode(result).decode())
    code = of_end(result.status)
    if order.report is None:
        return code
    written = _write_report(shell, order.report, result)
    return code if written else Exit.RUN_FAILED


def _write_report(shell: Shell, path: Path, result: RunResult) -> bool:
    text = report_of(result.output)
    if text is None:
        shell.say(f"segue: no report was written: the run's output holds no text ({result.status})")
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text if text.endswith("\n") else text + "\n", encoding="utf-8")
    shell.say(f"report written to {path}")
    return True


def _still_running(plan: Plan, session: Session, run: Run) -> str:
    from segue_language import format_duration  # noqa: PLC0415 - see `definition`

    waited = format_duration(round((plan.timeout_s or 0) * 1000))
    return f"run {run.id} has not ended within {waited}; {_attach(session, run)}"


def _detachment(session: Session, run: Run) -> str:
    return f"detached from run {run.id}; {_attach(session, run)}"


def _attach(session: Session, run: Run) -> str:
    if session.temporary:
        return f"it goes on with the next 'segue up' here; then: segue events tail {run.id}"
    return f"it goes on; follow it with: segue events tail {run.id}"
