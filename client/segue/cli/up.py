"""`segue up` and `segue down`: how is the whole of Segue run on this machine?"""

import asyncio
import os
import signal
from pathlib import Path

from rich.table import Table as Grid

from segue.cli.failures import UsageError
from segue.cli.options import Profile
from segue.cli.shell import RunningStack, Shell
from segue.core.broker_conf import REPLICATED_REFUSAL, Durability
from segue.core.exits import Exit
from segue.stack.folder import is_owned, live_record
from segue.stack.stack import StackPlan
from segue_shared.errors import NotFoundError, TimedOutError

_DOWN_S = 40.0
_POLL_S = 0.1


async def up(shell: Shell, folder: Path, *, profile: Profile | None, namespace: str) -> Exit:
    """Run the stack until Ctrl-C or SIGTERM."""
    plan = StackPlan(
        folder=folder,
        nats_url=shell.env.get("NATS_URL", ""),
        durability=_durability(shell, profile),
        namespace=namespace,
    )
    shell.say(f"starting Segue in {plan.folder}")
    async with shell.start_stack(plan, shell.say) as stack:
        stopped = _stop_on_signals()
        _show(shell, stack)
        await stopped.wait()
        shell.say("stopping; once more Ctrl-C ends everything at once")
    shell.say("stopped; what was stored is still there for the next 'segue up'")
    return Exit.DONE


async def down(shell: Shell, folder: Path) -> Exit:
    """Stop the stack that runs in a folder, and wait until it is gone."""
    record = live_record(folder)
    if record is None:
        raise NotFoundError(f"no stack runs in {folder}")
    os.kill(record.pid, signal.SIGTERM)
    give_up = shell.clock.monotonic() + _DOWN_S
    while is_owned(folder):
        if shell.clock.monotonic() > give_up:
            raise TimedOutError(f"the stack (process {record.pid}) has not stopped yet")
        await shell.clock.sleep(_POLL_S)
    shell.say(f"the stack in {folder} is stopped")
    return Exit.DONE


def _durability(shell: Shell, profile: Profile | None) -> Durability:
    """Return the profile of the broker to start.

    Raises:
        UsageError: No local broker can have it, or no broker is started.
    """
    if profile is Profile.REPLICATED:
        raise UsageError(f"--durability: {REPLICATED_REFUSAL}")
    if profile is not None and shell.env.get("NATS_URL"):
        raise UsageError("--durability: NATS_URL names a broker that runs already, so none starts")
    return "fsync" if profile is Profile.FSYNC else "fast"


def _stop_on_signals() -> asyncio.Event:
    """Return an event that the first Ctrl-C or SIGTERM sets; the second ends the process."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()

    def stop() -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
        stopped.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    return stopped


def _show(shell: Shell, stack: RunningStack) -> None:
    record = stack.record()
    grid = Grid("service", "pid", "address")
    for name, pid in record.pids.items():
        grid.add_row(name, str(pid), record.urls.get(name, ""))
    if "nats" not in record.pids:
        grid.add_row("nats", "-", f"{record.nats_url} (NATS_URL)")
    shell.out.print(grid)
    shell.put(f"durability: {record.durability}")
    shell.put("ready: segue workflow execute FILE --watch in another terminal; Ctrl-C stops")
