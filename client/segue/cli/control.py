"""`segue workflow pause` and its like: how are runs controlled, and what is said about it?"""

import json
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import msgspec
from rich.table import Table as Grid

from segue.cli import history
from segue.cli.definition import read_value
from segue.cli.failures import UsageError
from segue.cli.options import Output
from segue.cli.shell import Shell
from segue.cli.target import Target, client_of
from segue.core.display import duration, plural
from segue.core.exits import Exit
from segue.sdk import Run
from segue_contracts.v1.commands import ListWaits, ResumeRuns, RunState
from segue_contracts.v1.runs import Decision, WaitView
from segue_shared.clock import rfc3339
from segue_shared.errors import RefusedError

_AMOUNT = re.compile(r"[0-9]{1,12}(\.[0-9]{1,12})?")

Change = Callable[[Run], Awaitable[RunState]]


@dataclass(frozen=True, kw_only=True)
class Signal:
    """What a run is sent."""

    name: str
    payload: str
    """JSON, or `@file`."""
    key: str
    by: str


@dataclass(frozen=True, kw_only=True)
class Word:
    """What a person says to an approval."""

    step: str
    decision: Decision
    by: str
    form: Sequence[str]
    """`name=value` each."""
    comment: str


@dataclass(frozen=True, kw_only=True)
class More:
    """What a run is allowed beside its budget."""

    usd: str
    tokens: int
    seconds: float
    key: str


async def change(shell: Shell, target: Target, run: str, act: Change, *, output: Output) -> Exit:
    """Change where a run stands, and say where it stands then."""
    async with client_of(shell, target) as client:
        state = await act(client.run(run))
    if output is Output.JSON:
        shell.put(msgspec.json.encode(state).decode())
    else:
        shell.put(f"run {run} is {state.status}{'' if state.changed else ', as before'}")
    return Exit.DONE


async def resume(
    shell: Shell, target: Target, run: str, request: ResumeRuns, *, every: bool, output: Output
) -> Exit:
    """Let a run go on, or with `every` all that fit.

    Whatever has ended, or is a checkpoint, goes on as a fork.

    Raises:
        UsageError: Neither a run nor all are meant, or both are.
    """
    if every == bool(run):
        raise UsageError("name a run, or say --all for all parked runs that fit")
    if every:
        return await _resume_all(shell, target, request, output)
    if request != ResumeRuns(reason=request.reason, by=request.by):
        raise UsageError("--code, --workflow, --paused, --limit and --dry go with --all")

    async def act(one: Run) -> RunState:
        return await one.resume(request.reason, by=request.by)

    if "@" not in run:
        try:
            return await change(shell, target, run, act, output=output)
        except RefusedError as error:
            if not await history.has_ended(shell, target, run, error.refused):
                raise
    return await history.fork(shell, target, history.ForkOrder(checkpoint=run, output=output))


async def _resume_all(shell: Shell, target: Target, request: ResumeRuns, output: Output) -> Exit:
    """Let all runs that fit go on, or say which would."""
    async with client_of(shell, target) as client:
        resumed = await client.resume_runs(request)
    if output is Output.JSON:
        shell.put(msgspec.json.encode(resumed).decode())
        return Exit.DONE
    for run in resumed.runs:
        shell.put(run)
    shell.say(f"{plural(len(resumed.runs), 'run')} {'would go on' if request.dry else 'to go on'}")
    if resumed.more:
        shell.say("more runs fit; ask again, or with a larger --limit")
    return Exit.DONE


async def signal(shell: Shell, target: Target, run: str, order: Signal, *, output: Output) -> Exit:
    """Send a run a signal."""
    value = read_value(order.payload, "--payload")
    async with client_of(shell, target) as client:
        sent = await client.run(run).signal(order.name, value, key=order.key, by=order.by)
    if output is Output.JSON:
        shell.put(msgspec.json.encode(sent).decode())
    else:
        how = "had been sent before" if sent.existing else "is sent"
        shell.put(f"signal {order.name} {how} to run {run} as {sent.signal}")
    return Exit.DONE


async def decide(shell: Shell, target: Target, run: str, word: Word, *, output: Output) -> Exit:
    """Say a person's word to an approval."""
    form = form_of(word.form)
    async with client_of(shell, target) as client:
        told = await client.run(run).decide(
            word.step, word.decision, by=word.by, form=form, comment=word.comment
        )
    if output is Output.JSON:
        shell.put(msgspec.json.encode(told).decode())
        return Exit.DONE
    counts = "had decided before; the first word counts" if told.existing else "is recorded"
    missing = f", {plural(told.missing, 'approval')} missing" if told.missing else ""
    shell.put(f"step {word.step}: {word.decision} by {word.by} {counts}{missing}")
    return Exit.DONE


async def waits(shell: Shell, target: Target, request: ListWaits, *, output: Output) -> Exit:
    """List who waits for what."""
    async with client_of(shell, target) as client:
        found = await client.waits(request)
    if output is Output.JSON:
        shell.put(msgspec.json.encode(found).decode())
    elif found:
        shell.out.print(_waits(found, now_ms=shell.clock.now_ms()))
    else:
        shell.say("nothing waits")
    return Exit.DONE


async def extend(
    shell: Shell, target: Target, run: str, more: More, *, by: str, output: Output
) -> Exit:
    """Allow a run more.

    Raises:
        UsageError: The amount of money is none.
    """
    if _AMOUNT.fullmatch(more.usd) is None:
        raise UsageError(f"--usd: {more.usd!r} is no amount such as 2.50")

    async def act(one: Run) -> RunState:
        return await one.extend_budget(
            usd=more.usd, tokens=more.tokens, seconds=more.seconds, by=by, key=more.key
        )

    return await change(shell, target, run, act, output=output)


def form_of(fields: Sequence[str]) -> dict[str, object]:
    """Return a form from `name=value` texts; a value that is no JSON is a text.

    Raises:
        UsageError: One has no name.
    """
    form: dict[str, object] = {}
    for field in fields:
        name, equals, text = field.partition("=")
        if not name or not equals:
            raise UsageError(f"--form: {field!r} is not of the form name=value")
        try:
            form[name] = json.loads(text)
        except json.JSONDecodeError:
            form[name] = text
    return form


def _waits(found: list[WaitView], *, now_ms: int) -> Grid:
    grid = Grid("run", "workflow", "step", "for", "name", "since", "until")
    for wait in found:
        what: str = wait.kind
        if wait.kind == "approval":
            what = f"approval {len(wait.approved_by)} of {wait.quorum}"
        grid.add_row(
            wait.run,
            wait.workflow,
            wait.step,
            what,
            wait.name or wait.message,
            f"{duration(now_ms - wait.since_ms)} ago",
            rfc3339(wait.until_ms)[:19] if wait.until_ms else "",
        )
    return grid
