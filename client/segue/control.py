"""Control: how does a program pause, stop, signal, approve and extend a run?"""

from collections.abc import Callable, Mapping
from typing import Final, Protocol, TypeVar

from segue_contracts.v1 import registry
from segue_contracts.v1.commands import (
    ApprovalRecorded,
    CancelAccepted,
    CancelRun,
    DecideApproval,
    ExtendBudget,
    ListWaits,
    PauseRun,
    ResumeRun,
    RunState,
    SignalAccepted,
    SignalRun,
    TerminateRun,
    WaitList,
)
from segue_contracts.v1.runs import Decision, WaitView

T = TypeVar("T")


class Ask(Protocol):
    """Sends a command and returns its typed result."""

    async def __call__(self, command: registry.Command, request: object, result: type[T]) -> T:
        """Ask, and ask again while nobody answers."""
        ...


class RunControl:
    """What can be done to a run from outside.

    Every command refuses with `RefusedError`: `not_found` for a run that there is not, `conflict`
    for one that has ended.
    """

    def __init__(self, run_id: str, ask: Ask, new_key: Callable[[], str]) -> None:
        self.id: Final = run_id
        self._ask = ask
        self._new_key = new_key

    async def pause(self, reason: str = "", *, by: str = "") -> RunState:
        """Schedule nothing new; what is in flight finishes and counts."""
        request = PauseRun(run=self.id, reason=reason, by=by)
        return await self._ask(registry.PAUSE_RUN, request, RunState)

    async def resume(self, reason: str = "", *, by: str = "") -> RunState:
        """Let a paused or parked run go on."""
        request = ResumeRun(run=self.id, reason=reason, by=by)
        return await self._ask(registry.RESUME_RUN, request, RunState)

    async def cancel(self, reason: str = "", *, by: str = "") -> CancelAccepted:
        """Ask the run to stop; it ends `cancelled` once nothing is in flight."""
        request = CancelRun(run=self.id, reason=reason, by=by)
        return await self._ask(registry.CANCEL_RUN, request, CancelAccepted)

    async def terminate(self, reason: str = "", *, by: str = "") -> RunState:
        """End the run at once, without waiting for its work; nothing is undone."""
        request = TerminateRun(run=self.id, reason=reason, by=by)
        return await self._ask(registry.TERMINATE_RUN, request, RunState)

    async def signal(
        self, name: str, payload: object = None, *, key: str = "", by: str = ""
    ) -> SignalAccepted:
        """Send the run a signal; it is kept until a step waits for it.

        Args:
            name: A name that a step of the workflow waits for.
            payload: Any JSON value; the output of the step.
            key: Idempotency key; a fresh one by default, so that a lost answer does no harm.
            by: Who sends it.
        """
        key = key or self._new_key()
        request = SignalRun(run=self.id, name=name, payload=payload, key=key, by=by)
        return await self._ask(registry.SIGNAL_RUN, request, SignalAccepted)

    async def decide(
        self,
        step: str,
        decision: Decision,
        *,
        by: str,
        form: Mapping[str, object] | None = None,
        comment: str = "",
    ) -> ApprovalRecorded:
        """Approve or reject what a step asks for; a person's first word counts.

        Args:
            step: The step's key, with its item's index where it has one: `review~3`.
            decision: `approved` or `rejected`.
            by: Who decides.
            form: What the approval's form asks for.
            comment: A remark for the record.
        """
        request = DecideApproval(
            run=self.id, step=step, decision=decision, by=by, form=dict(form or {}), comment=comment
        )
        return await self._ask(registry.DECIDE_APPROVAL, request, ApprovalRecorded)

    async def extend_budget(
        self,
        *,
        usd: str = "0",
        tokens: int = 0,
        seconds: float = 0,
        by: str = "",
        key: str = "",
    ) -> RunState:
        """Allow the run more; one parked for its spent budget goes on when that is enough.

        Args:
            usd: US dollars more, as a decimal string.
            tokens: Tokens more.
            seconds: Seconds more.
            by: Who allows it.
            key: Idempotency key; a fresh one by default, so that a lost answer does no harm.
        """
        key = key or self._new_key()
        request = ExtendBudget(run=self.id, usd=usd, tokens=tokens, seconds=seconds, by=by, key=key)
        return await self._ask(registry.EXTEND_BUDGET, request, RunState)

    async def waits(self) -> list[WaitView]:
        """Return what the run waits for, the longest first."""
        return (await self._ask(registry.LIST_WAITS, ListWaits(run=self.id), WaitList)).waits
