"""Supervision: how is one child process kept running until it shall stop?"""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from segue.core.restarts import RestartPolicy
from segue.stack.logfile import RotatingLog
from segue_shared.clock import Clock
from segue_shared.errors import BusUnavailableError

_POLL_S: Final = 0.05
_CHUNK: Final = 64 * 1024
_OUTPUT_S: Final = 2.0
"""How long the output of a dead process is waited for."""
_TAIL_LINES: Final = 8
_LAUNCHER: Final = Path(__file__).with_name("launch.py")


class StackError(BusUnavailableError):
    """The local stack, or a part of it, cannot run."""


@dataclass(frozen=True, kw_only=True)
class Program:
    """What is run, and how it tells that it is ready."""

    name: str
    """The service's name."""
    argv: tuple[str, ...]
    """The program's path and its arguments."""
    ready: Callable[[int], Awaitable[bool]]
    """Whether the process of this id is ready to serve."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Variables added to the supervisor's own environment."""


class Supervised:
    """One program, started again with growing waits whenever it dies."""

    def __init__(
        self,
        program: Program,
        *,
        log: RotatingLog,
        clock: Clock,
        tell: Callable[[str], None],
        spawned: Callable[[], None] = lambda: None,
        policy: RestartPolicy | None = None,
    ) -> None:
        self.program: Final = program
        self.log: Final = log
        self.restarts = 0
        """How often it was started again."""
        self._clock = clock
        self._tell = tell
        self._spawned = spawned
        self._policy = policy or RestartPolicy()
        self._process: asyncio.subprocess.Process | None = None
        self._crashes = 0
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        """The process id; 0 while none runs."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else 0

    def start(self) -> None:
        """Begin to keep it running."""
        self._task = asyncio.create_task(self._keep_running(), name=f"up-{self.program.name}")

    async def wait_ready(self, timeout_s: float) -> None:
        """Wait until it is ready to serve.

        Raises:
            StackError: It dies again and again, or is not ready in time; with its last words.
        """
        give_up = self._clock.monotonic() + timeout_s
        while not (self.pid and await self.program.ready(self.pid)):
            if self._crashes >= self._policy.hopeless:
                raise StackError(self._last_words("dies whenever it is started"))
            if self._clock.monotonic() > give_up:
                raise StackError(self._last_words(f"is not ready after {timeout_s:g} s"))
            await self._clock.sleep(_POLL_S)

    async def stop(self, grace_s: float) -> None:
        """End it: ask, wait for `grace_s` seconds, then kill it and what it left behind."""
        self._stopping.set()
        process = self._process
        if process is not None:
            await _end(process, grace_s)
        if self._task is not None:
            await self._task
        self.log.close()

    async def _keep_running(self) -> None:
        while not self._stopping.is_set():
            started = self._clock.monotonic()
            code = await self._run_once()
            if self._stopping.is_set():
                return
            self._crashes = self._policy.crashes(self._crashes, self._clock.monotonic() - started)
            delay_s = self._policy.delay_s(self._crashes)
            self._tell(
                f"{self.program.name} ended {_ending(code)}; "
                f"starting it again in {delay_s:g} s (log: {self.log.path})"
            )
            await self._pause(delay_s)
            self.restarts += not self._stopping.is_set()

    async def _run_once(self) -> int:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-I",
            "-S",
            str(_LAUNCHER),
            str(os.getpid()),
            *self.program.argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, **self.program.env},
            # Its own group: Ctrl-C reaches the supervisor alone, which stops things in order.
            process_group=0,
        )
        self._process = process
        if self._stopping.is_set():
            _signal(process.pid, signal.SIGKILL)
        self._spawned()
        output = asyncio.create_task(self._keep_log(process))
        code = await process.wait()
        # What it left behind must not hold a port, nor its output open.
        _signal(process.pid, signal.SIGKILL)
        with suppress(TimeoutError):
            async with asyncio.timeout(_OUTPUT_S):
                await output
        return code

    async def _keep_log(self, process: asyncio.subprocess.Process) -> None:
        output = process.stdout
        while output is not None and (data := await output.read(_CHUNK)):
            self.log.write(data)

    async def _pause(self, delay_s: float) -> None:
        """Wait, but not longer than until it shall stop."""
        waits = [
            asyncio.ensure_future(self._clock.sleep(delay_s)),
            asyncio.ensure_future(self._stopping.wait()),
        ]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()

    def _last_words(self, what: str) -> str:
        said = "".join(f"\n  | {line}" for line in self.log.tail(_TAIL_LINES))
        return f"{self.program.name} {what}; the end of {self.log.path}:{said}"


async def _end(process: asyncio.subprocess.Process, grace_s: float) -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.terminate()
        with suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await process.wait()
    # The whole group: a program that ended may have left processes of its own.
    _signal(process.pid, signal.SIGKILL)
    await process.wait()


def _signal(group: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, number)


def _ending(code: int) -> str:
    if code >= 0:
        return f"with exit code {code}"
    return f"by {signal.Signals(-code).name}"
