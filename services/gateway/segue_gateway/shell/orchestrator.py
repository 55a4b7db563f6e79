"""The orchestrator as the gateway asks it: which commands are sent for whom?"""

from typing import TypeVar

from segue_contracts.envelope import Message
from segue_contracts.v1 import registry, subjects
from segue_contracts.v1.commands import (
    CancelAccepted,
    CancelRun,
    GetRun,
    ListRuns,
    RunAccepted,
    RunList,
    StartRun,
)
from segue_contracts.v1.registry import Command
from segue_contracts.v1.runs import RunView
from segue_gateway.shell.ports import CommandBus
from segue_shared.errors import BusUnavailableError

T = TypeVar("T", bound=Message)


class Orchestrator:
    """Sends commands in one namespace; every call raises what `Bus.call` raises."""

    def __init__(self, bus: CommandBus, *, namespace: str, timeout_s: float) -> None:
        self._bus = bus
        self._namespace = namespace
        self._timeout_s = timeout_s

    @property
    def reachable(self) -> bool:
        """Whether commands can be sent at all."""
        return self._bus.connected

    async def start_run(self, command: StartRun) -> RunAccepted:
        """Start a run."""
        return await self._ask(registry.START_RUN, command, RunAccepted)

    async def cancel_run(self, command: CancelRun) -> CancelAccepted:
        """Ask for a run to stop."""
        return await self._ask(registry.CANCEL_RUN, command, CancelAccepted)

    async def get_run(self, run: str) -> RunView:
        """Return where a run stands."""
        return await self._ask(registry.GET_RUN, GetRun(run=run), RunView)

    async def list_runs(self, *, limit: int, status: str) -> RunList:
        """Return the newest runs."""
        return await self._ask(registry.LIST_RUNS, ListRuns(limit=limit, status=status), RunList)

    async def _ask(self, command: Command, request: Message, result: type[T]) -> T:
        if not self._bus.connected:
            # Otherwise the request would wait in the client's buffer until it timed out.
            raise BusUnavailableError("the broker is not reachable")
        subject = subjects.command(self._namespace, command.service, command.verb)
        return await self._bus.call(subject, request, result, timeout_s=self._timeout_s)
