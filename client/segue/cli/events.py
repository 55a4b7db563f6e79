"""`segue events tail`: how are the facts of one run, or of all, read as they happen?"""

import asyncio
from contextlib import aclosing

import msgspec

from segue.cli.failures import UsageError
from segue.cli.options import Output
from segue.cli.shell import Shell
from segue.cli.target import Target, client_of
from segue.core.events import RunEvent, as_json
from segue.core.exits import Exit, of_end
from segue.core.lines import line
from segue_contracts.cursor import CursorError, parse_cursor
from segue_contracts.v1.runs import RunEnded


async def tail(
    shell: Shell, target: Target, *, run: str, after: str, deltas: bool, output: Output
) -> Exit:
    """Write events until the run has ended; without a run, until interrupted."""
    _check_cursor(after)
    async with client_of(shell, target) as client:
        if run:
            client.run(run)
        code = Exit.DONE
        seen = client.events(after or None, run=run, deltas=deltas)
        last = after
        try:
            async with aclosing(seen) as events:
                async for event in events:
                    shell.put(_written(event, output, named=not run))
                    last = event.cursor or last
                    code = _code(event) if run else code
        except asyncio.CancelledError:
            if last:
                shell.say(f"go on with: segue events tail {run} --after {last}".replace("  ", " "))
            raise
    return code


def _written(event: RunEvent, output: Output, *, named: bool) -> str:
    if output is Output.JSON:
        return msgspec.json.encode(as_json(event)).decode()
    return f"{event.run} {line(event)}" if named else line(event)


def _code(event: RunEvent) -> Exit:
    return of_end(event.body.status) if isinstance(event.body, RunEnded) else Exit.DONE


def _check_cursor(after: str) -> None:
    if after:
        try:
            parse_cursor(after)
        except CursorError as error:
            raise UsageError(f"--after: {error}") from error
