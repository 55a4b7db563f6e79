"""Processes: how is a foreign program run so that it cannot hurt the service?"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from segue_shared.errors import PermanentError, TimedOutError

MAX_OUTPUT = 16 * 1024 * 1024
"""Bytes kept of what a program writes to each of its two outputs."""

_CHUNK = 64 * 1024


class ProcessError(PermanentError):
    """A program could not be started, or ended in a way that yields no result."""


class ProcessTimedOutError(TimedOutError):
    """A program was stopped because it took too long."""


class Finished(Struct, frozen=True, kw_only=True):
    """A program that ended."""

    code: int
    """Its exit code; negative for the signal that killed it."""
    stdout: bytes
    """What it wrote, up to the bound."""
    stderr: bytes
    """What it complained about, up to the bound."""
    truncated: bool = False
    """Whether it was stopped because it wrote more than the bound."""


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the whole environment of a foreign program: no secret of the service is in it."""
    return {
        # Where programs lie is a property of the machine, not a setting of the service.
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": "/nonexistent",
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
        **(extra or {}),
    }


async def run_process(
    argv: Sequence[str],
    *,
    cwd: Path,
    timeout_s: float,
    stdin: bytes = b"",
    environment: Mapping[str, str] | None = None,
    max_output: int = MAX_OUTPUT,
) -> Finished:
    """Run a program without a shell, in a process group of its own.

    The whole group is killed when the time is up, when the output exceeds its bound and when the
    caller is cancelled.

    Args:
        argv: The program and its arguments.
        cwd: Where it runs.
        timeout_s: Seconds it may take.
        stdin: What it reads.
        environment: What is added to the clean environment.
        max_output: Bytes kept of each output.

    Raises:
        ProcessError: It cannot be started.
        ProcessTimedOutError: It took too long.
    """
    process = await _start(argv, cwd, clean_environment(environment))
    finished: Finished | None = None
    try:
        async with asyncio.timeout(timeout_s):
            finished = await _converse(process, stdin, max_output)
    except TimeoutError:
        raise ProcessTimedOutError(
            f"{Path(argv[0]).name} did not end within {timeout_s:g} s and was stopped"
        ) from None
    finally:
        if finished is None:
            _kill(process)
            await process.wait()
    return finished


async def _start(
    argv: Sequence[str], cwd: Path, environment: Mapping[str, str]
) -> asyncio.subprocess.Process:
    try:
        return await asyncio.create_subprocess_exec(
            *argv,
            cwd=cwd,
            env=environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise ProcessError(f"{argv[0]} cannot be started: {error.strerror}") from error


async def _converse(process: asyncio.subprocess.Process, stdin: bytes, max_output: int) -> Finished:
    """Feed and read all three pipes at once, so that none of them can block the others."""
    _, (stdout, more_out), (stderr, more_err) = await asyncio.gather(
        _feed(process.stdin, stdin),
        _read(process, process.stdout, max_output),
        _read(process, process.stderr, max_output),
    )
    code = await process.wait()
    return Finished(code=code, stdout=stdout, stderr=stderr, truncated=more_out or more_err)


async def _feed(pipe: asyncio.StreamWriter | None, data: bytes) -> None:
    if pipe is None:
        return
    # A program may end before it has read everything; its exit code says the rest. uvloop closes
    # the pipe then and raises RuntimeError at a write.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError, RuntimeError):
        if data:
            pipe.write(data)
            await pipe.drain()
    pipe.close()


async def _read(
    process: asyncio.subprocess.Process, pipe: asyncio.StreamReader | None, bound: int
) -> tuple[bytes, bool]:
    data = bytearray()
    while pipe is not None and (chunk := await pipe.read(_CHUNK)):
        data += chunk
        if len(data) > bound:
            _kill(process)
            return bytes(data[:bound]), True
    return bytes(data), False


def _kill(process: asyncio.subprocess.Process) -> None:
    """Kill the group, also when only children of the program are left in it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
