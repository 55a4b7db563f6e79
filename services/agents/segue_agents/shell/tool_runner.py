"""The tool runner: how are the calls of one turn done, and told about?"""

import asyncio
from typing import Any, Final, Literal

import msgspec
import structlog

from segue_agents.core.calls import Invocation, failed_call, read_call
from segue_agents.core.findings import ToolReport
from segue_agents.core.job import request_id
from segue_agents.core.reports import fit
from segue_agents.shell.ports import Bench
from segue_contracts.v1.chat import ToolCall, ToolResult
from segue_contracts.v1.deltas import ToolProgress
from segue_shared.errors import SegueError
from segue_worker.publisher import Publisher
from segue_worker.ticket import Ticket

_log = structlog.get_logger()

RESULT_LIMIT: Final = 16 * 1024
"""Bytes of one tool's result that a model reads; what is dropped is counted in the report."""


class ToolRunner:
    """Runs tools, some at a time over all tasks of this process."""

    def __init__(self, publisher: Publisher, *, concurrency: int) -> None:
        self._publisher = publisher
        self._slots = asyncio.Semaphore(concurrency)

    async def run(
        self, ticket: Ticket, bench: Bench, calls: tuple[ToolCall, ...], *, turn: int
    ) -> tuple[ToolResult, ...]:
        """Do all calls of a turn in parallel; results are in the order of the calls."""
        request = request_id(ticket.place, turn)
        work = (self._answer(ticket, bench, call, request=request) for call in calls)
        return tuple(await asyncio.gather(*work))

    async def _answer(
        self, ticket: Ticket, bench: Bench, call: ToolCall, *, request: str
    ) -> ToolResult:
        read = read_call(call, bench.specs)
        if isinstance(read, ToolResult):
            return read
        async with self._slots:
            await self._tell(ticket, request, read.name, "started")
            result, summary = await _attempted(bench, read)
            state: Literal["completed", "failed"] = "failed" if result.is_error else "completed"
            await self._tell(ticket, request, read.name, state, summary=summary)
        return result

    async def _tell(
        self,
        ticket: Ticket,
        request: str,
        name: str,
        state: Literal["started", "completed", "failed"],
        *,
        summary: str = "",
    ) -> None:
        delta = ToolProgress(request=request, name=name, state=state, summary=summary)
        await self._publisher.progress(ticket, delta)


async def _attempted(bench: Bench, call: Invocation) -> tuple[ToolResult, str]:
    """Do one call; whatever goes wrong in a tool is an answer for the model, not our end."""
    try:
        report = await bench.run(call)
    except SegueError as error:
        return failed_call(call, str(error)), str(error)
    except Exception as error:  # noqa: BLE001 - a tool's own fault must not end the step
        _log.exception("tool_crashed", tool=call.name)
        said = f"the tool broke down ({type(error).__name__})"
        return failed_call(call, said), said
    result = ToolResult(tool_call_id=call.id, name=call.name, content=_content(report))
    return result, report.summary


def _content(report: ToolReport) -> str:
    value: dict[str, Any] = msgspec.to_builtins(report)
    value["findings"] = list(value["findings"])
    return msgspec.json.encode(fit([value], RESULT_LIMIT)[0]).decode()
