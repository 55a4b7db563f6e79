"""`segue doctor --fsck`: do the journals of runs keep the engine's invariants?"""

import msgspec

from segue.cli.doctor import doctor
from segue.cli.failures import UsageError
from segue.cli.options import Output
from segue.cli.shell import Shell
from segue.cli.target import Target, client_of
from segue.core.display import plural
from segue.core.exits import Exit
from segue.sdk import Client
from segue_contracts.v1.commands import CheckRuns, RunsChecked


async def examine(
    shell: Shell, target: Target, output: Output, *, run: str = "", journals: bool = False
) -> Exit:
    """Look at everything a run needs, or at the journals of runs.

    Raises:
        UsageError: A run is named that is not looked at.
    """
    if journals:
        return await fsck(shell, target, run, output)
    if run:
        raise UsageError(f"say 'segue doctor --fsck {run}' to check the journal of a run")
    return await doctor(shell, target, output)


async def fsck(shell: Shell, target: Target, run: str, output: Output) -> Exit:
    """Check one run, or all; what is found ends with exit code 1."""
    async with client_of(shell, target) as client:
        found = await _checked(client, run)
    if output is Output.JSON:
        shell.put(msgspec.json.encode(found).decode())
    else:
        _tell(shell, found)
    return Exit.RUN_FAILED if found.violations else Exit.DONE


async def _checked(client: Client, run: str) -> RunsChecked:
    """Return what all pages say together."""
    page = total = await client.check_runs(CheckRuns(run=run))
    while page.next:
        page = await client.check_runs(CheckRuns(after=page.next))
        total = RunsChecked(
            checked=total.checked + page.checked,
            events=total.events + page.events,
            violations=[*total.violations, *page.violations],
        )
    return msgspec.structs.replace(total, next="")


def _tell(shell: Shell, found: RunsChecked) -> None:
    for one in found.violations:
        shell.out.print("[red]fail[/]", end=" ", highlight=False)
        text = f"run {one.run}: {one.invariant}: {one.message}"
        shell.out.print(text, markup=False, highlight=False, soft_wrap=True)
    what = f"{plural(found.checked, 'run')}, {plural(found.events, 'event')}"
    result = f"{len(found.violations)} found" if found.violations else "nothing found"
    shell.out.print(f"{what}: {result}", markup=False, highlight=False)
