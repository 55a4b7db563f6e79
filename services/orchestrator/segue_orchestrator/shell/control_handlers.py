"""Control handlers: how are runs paused, resumed, stopped and allowed more?"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Final

from segue_contracts.v1 import registry, subjects
from segue_contracts.v1.commands import (
    CancelAccepted,
    CancelRun,
    ExtendBudget,
    PauseRun,
    ResumeRun,
    ResumeRuns,
    RunsResumed,
    RunState,
    TerminateRun,
)
from segue_orchestrator.core import control
from segue_orchestrator.core.control import Saying
from segue_orchestrator.core.view import status_of
from segue_orchestrator.shell.live import Live
from segue_orchestrator.shell.standing import Decide, Standing
from segue_shared.commands import CommandServer, Context
from segue_shared.errors import RefusedError
from segue_shared.journal import Journal
from segue_shared.keyvalue import KeyValue

MAX_RESUMED: Final = 1_000
_AT_ONCE: Final = 32


class ControlHandlers:
    """The commands that change where runs stand."""

    def __init__(self, standing: Standing, *, journal: Journal, snapshots: KeyValue) -> None:
        self._standing = standing
        self._journal = journal
        self._snapshots = snapshots

    def register(self, server: CommandServer) -> None:
        """Serve these commands, in all namespaces."""
        for command, handler in (
            (registry.PAUSE_RUN, self.pause_run),
            (registry.RESUME_RUN, self.resume_run),
            (registry.RESUME_RUNS, self.resume_runs),
            (registry.CANCEL_RUN, self.cancel_run),
            (registry.TERMINATE_RUN, self.terminate_run),
            (registry.EXTEND_BUDGET, self.extend_budget),
        ):
            server.add(command, subjects.command("*", command.service, command.verb), handler)

    async def pause_run(self, request: PauseRun, context: Context) -> RunState:
        """Schedule nothing new; pausing again changes nothing."""
        return await self._change(
            context, request.run, lambda live: control.pause(live.state, request)
        )

    async def resume_run(self, request: ResumeRun, context: Context) -> RunState:
        """Let a paused or parked run go on; one that goes on stays as it is."""
        return await self._change(
            context, request.run, lambda live: control.resume(live.state, live.plan, request)
        )

    async def cancel_run(self, request: CancelRun, context: Context) -> CancelAccepted:
        """Ask for a run to stop; asking again changes nothing."""
        changed = await self._standing.change(
            context.namespace, request.run, lambda live: control.cancel(live.state, request)
        )
        ended = changed.live.state.ended is not None and not changed.said
        return CancelAccepted(run=request.run, already_ended=ended)

    async def terminate_run(self, request: TerminateRun, context: Context) -> RunState:
        """End a run at once; one that has ended stays as it is."""
        return await self._change(
            context, request.run, lambda live: control.terminate(live.state, request)
        )

    async def extend_budget(self, request: ExtendBudget, context: Context) -> RunState:
        """Allow a run more; one parked for its budget goes on when that is enough."""
        namespace, run = context.namespace, request.run
        await self._standing.change(
            namespace, run, lambda live: control.extend(live.state, live.plan, request)
        )
        changed = await self._standing.change(
            namespace, run, lambda live: control.after_extension(live.state, live.plan, request)
        )
        return _state(changed.live, changed=True)

    async def _change(self, context: Context, run: str, decide: Decide) -> RunState:
        changed = await self._standing.change(context.namespace, run, decide)
        return _state(changed.live, changed=changed.said)

    # Many at once.

    async def resume_runs(self, request: ResumeRuns, context: Context) -> RunsResumed:
        """Let all runs that fit go on, up to the limit, or only tell which."""
        limit = max(1, min(request.limit, MAX_RESUMED))
        resumed: list[str] = []
        async for run in self._fitting(context.namespace, request):
            if len(resumed) == limit:
                return RunsResumed(runs=resumed, more=True)
            if request.dry or await self._resumed(context.namespace, run, request):
                resumed.append(run)
        return RunsResumed(runs=resumed)

    async def _resumed(self, namespace: str, run: str, request: ResumeRuns) -> bool:
        """Let one of many go on; one that no longer fits, or has no budget left, stays."""

        def decide(live: Live) -> Sequence[Saying]:
            if not control.fits(live.state, request):
                return []
            return control.resume(live.state, live.plan, request)

        try:
            return (await self._standing.change(namespace, run, decide)).said
        except RefusedError as error:
            if error.refused.code not in {"conflict", "not_found"}:
                raise
            return False

    async def _fitting(self, namespace: str, request: ResumeRuns) -> AsyncIterator[str]:
        """Yield the runs that a bulk resume is meant for, the longest held first."""
        runs = await self._ever_held(namespace, request.status)
        for first in range(0, len(runs), _AT_ONCE):
            chunk = runs[first : first + _AT_ONCE]
            fits = await asyncio.gather(*(self._fits(namespace, run, request) for run in chunk))
            for run, fit in zip(chunk, fits, strict=True):
                if fit:
                    yield run

    async def _fits(self, namespace: str, run: str, request: ResumeRuns) -> bool:
        try:
            live = await self._standing.of(namespace, run)
        except RefusedError:
            # Its definition is gone, or it was purged meanwhile: nothing can let it go on.
            return False
        return control.fits(live.state, request)

    async def _ever_held(self, namespace: str, status: str) -> list[str]:
        """Return the runs that were held back once, and those whose older events may be gone."""
        held = await self._journal.all_after(subjects.runs_of(namespace, f"{status}.*"), 0)
        seen = [subjects.parse_run(message.subject).run for message in held]
        kept = await self._snapshots.keys(namespace)
        return list(dict.fromkeys([*(key.partition(".")[2] for key in kept), *seen]))


def _state(live: Live, *, changed: bool) -> RunState:
    return RunState(run=live.state.run, status=status_of(live.state), changed=changed)
