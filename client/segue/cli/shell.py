"""The shell of the commands: what do they touch, so that tests can hand in something else?"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, Protocol

import typer
from rich.console import Console

from segue.cli.failures import explain
from segue.core.exits import Exit
from segue.core.stack_record import StackRecord
from segue.sdk import Client
from segue.stack import stack as stacks
from segue.stack.addresses import answers
from segue.stack.stack import StackPlan, Tell
from segue_shared.bus import Bus
from segue_shared.clock import Clock, SystemClock

_TERMINATED = 143
PATIENCE_S = 5.0
"""Seconds a command waits for a broker, and for a service that is restarting."""


class RunningStack(Protocol):
    """A stack that is up."""

    @property
    def nats_url(self) -> str:
        """Its broker."""
        ...

    def record(self) -> StackRecord:
        """Return what runs where."""
        ...


Connect = Callable[[str, str], AbstractAsyncContextManager[Client]]
ConnectBus = Callable[[str], AbstractAsyncContextManager[Bus]]
StartStack = Callable[[StackPlan, Tell], AbstractAsyncContextManager[RunningStack]]


@dataclass(frozen=True, kw_only=True)
class Shell:
    """Everything outside: the environment, both outputs, time, the bus and the local stack."""

    connect: Connect
    """Opens a client on a broker and namespace."""
    connect_bus: ConnectBus
    """Opens a bare bus."""
    start_stack: StartStack
    """Runs a local stack."""
    answers: Callable[[str], Awaitable[bool]] = answers
    """Whether something accepts connections at an address."""
    clock: Clock = field(default_factory=SystemClock)
    """Time."""
    env: Mapping[str, str] = field(default_factory=lambda: os.environ)
    """The environment."""
    folder: Path = field(default_factory=Path.cwd)
    """Where the command runs."""
    out: Console = field(default_factory=Console)
    """Data."""
    err: Console = field(default_factory=lambda: Console(stderr=True))
    """Everything else."""

    def put(self, text: str) -> None:
        """Write data: one line, as it is."""
        typer.echo(text)

    def say(self, text: str) -> None:
        """Write what is no data: one line, as it is."""
        typer.echo(text, err=True)

    def run(self, work: Coroutine[Any, Any, Exit]) -> NoReturn:
        """Run a command to its exit code; every error becomes a sentence and a code here.

        Raises:
            typer.Exit: Always.
        """
        try:
            code: int = asyncio.run(_until_terminated(work))
        except asyncio.CancelledError:
            code = _TERMINATED
        except KeyboardInterrupt:
            code = Exit.DETACHED
        except Exception as error:
            failure = explain(error)
            if failure is None:
                raise
            for line in failure.lines:
                self.say(line)
            code = failure.code
        raise typer.Exit(code)


async def _until_terminated(work: Coroutine[Any, Any, Exit]) -> Exit:
    """Let SIGTERM unwind the work as Ctrl-C does, so that nothing it started stays behind."""
    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await work


def system_shell() -> Shell:
    """Return the shell of this machine."""
    clock = SystemClock()
    return Shell(
        connect=lambda url, namespace: Client.connect(url, namespace, patience_s=PATIENCE_S),
        connect_bus=_bus,
        start_stack=lambda plan, tell: stacks.running(plan, clock=clock, tell=tell),
        clock=clock,
    )


@asynccontextmanager
async def _bus(url: str) -> AsyncIterator[Bus]:
    bus = await Bus.connect(
        url,
        name="segue-cli",
        nkey_seed_file=os.environ.get("SEGUE_NKEY_SEED_FILE"),
        max_wait_s=PATIENCE_S,
    )
    try:
        yield bus
    finally:
        await bus.close()
