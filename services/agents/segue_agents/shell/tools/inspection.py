"""Inspecting many files: how do the tools spread their work over processes?"""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeVar

import msgspec

from segue_agents.core.findings import Finding
from segue_agents.shell.process import ProcessError, ProcessTimedOutError, run_process
from segue_agents.shell.tools.records import Problem, Record
from segue_agents.shell.workspace import Workspace

T = TypeVar("T")

PYTHON = (sys.executable, "-I", "-X", "utf8")
"""An interpreter that takes no code from the working directory or the environment."""

NO_PYTHON = "there are no Python files here; this tool reads Python only"
"""Said by tools that have nothing to look at."""

_PROCESSES = 2
_MOST_FILES = 400
_FEWEST_FILES = 40


async def inspect(
    workspace: Workspace, analysis: str, files: Sequence[str], kind: type[T]
) -> list[Record[T]]:
    """Run one analysis over files in processes of their own.

    A process that dies takes down only its files: they are tried again in halves until the one
    to blame stands alone, and that one gets a problem.

    Raises:
        ProcessError: The analysis itself is broken.
        ProcessTimedOutError: The workspace's time for a tool is up.
    """

    async def analyse(batch: Sequence[str]) -> list[Record[T]]:
        return await _analysed(workspace, analysis, batch, kind)

    return await spread(workspace, files, analyse)


async def spread(
    workspace: Workspace, files: Sequence[str], work: Callable[[Sequence[str]], Awaitable[list[T]]]
) -> list[T]:
    """Do some work on batches of files, a few at a time, within a tool's time.

    The first error of any batch stops the others and is raised.

    Raises:
        ProcessTimedOutError: The time is up; everything started is stopped.
    """
    free = asyncio.Semaphore(_PROCESSES)

    async def one(batch: Sequence[str]) -> list[T]:
        async with free:
            return await work(batch)

    try:
        async with asyncio.timeout(workspace.timeout_s), asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(batch)) for batch in _batches(files)]
    except TimeoutError:
        raise ProcessTimedOutError(
            f"the tool took more than {workspace.timeout_s:g} s on this repository and was stopped"
        ) from None
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return [item for task in tasks for item in task.result()]


def problems(tool: str, records: Iterable[Record[T]]) -> list[Finding]:
    """Turn the files that could not be analysed into findings."""
    return [
        Finding(
            tool=tool,
            rule=record.problem.rule,
            severity="high" if record.problem.rule == "syntax" else "low",
            message=record.problem.message,
            file=record.file,
            line=record.problem.line,
            column=record.problem.column,
        )
        for record in records
        if record.problem
    ]


def values(records: Iterable[Record[T]]) -> dict[str, T]:
    """Return the results by file."""
    return {record.file: record.value for record in records if record.value is not None}


async def _analysed(
    workspace: Workspace, analysis: str, batch: Sequence[str], kind: type[T]
) -> list[Record[T]]:
    finished = await run_process(
        [*PYTHON, "-m", "segue_agents.shell.tools.analyse", analysis],
        cwd=workspace.root,
        timeout_s=workspace.timeout_s,
        stdin=msgspec.json.encode(batch),
    )
    if not finished.code and not finished.truncated:
        return msgspec.json.decode(finished.stdout, type=list[Record[kind]])  # type: ignore[valid-type]
    if finished.code > 0:
        complaint = finished.stderr.decode(errors="replace").strip().splitlines()
        raise ProcessError(f"the analysis {analysis} failed: {complaint[-1:]}")
    if len(batch) == 1:
        problem = Problem(message="brings the analysis down; left out", rule="not-analysed")
        return [Record(file=batch[0], problem=problem)]
    middle = len(batch) // 2
    return [
        record
        for half in (batch[:middle], batch[middle:])
        for record in await _analysed(workspace, analysis, half, kind)
    ]


def _batches(files: Sequence[str]) -> list[Sequence[str]]:
    """Deal the files out evenly: starting a process costs as much as a few dozen files."""
    share = -(-len(files) // _PROCESSES)
    size = min(max(share, _FEWEST_FILES), _MOST_FILES)
    count = -(-len(files) // size)
    if count > 1:
        count += count % _PROCESSES
    return [files[start::count] for start in range(count)]
