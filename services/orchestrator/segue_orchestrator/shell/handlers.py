"""Handlers: what does the orchestrator answer when asked?"""

from collections import deque
from collections.abc import AsyncIterator
from typing import Final

from msgspec import UnsetType

from segue_contracts.cursor import Cursor
from segue_contracts.reply import Refused
from segue_contracts.v1 import registry, subjects
from segue_contracts.v1.commands import (
    CancelAccepted,
    CancelRun,
    EnsurePool,
    GetRun,
    ListRuns,
    PoolReady,
    RunAccepted,
    RunList,
    StartRun,
    ValidateWorkflow,
    WorkflowValid,
)
from segue_contracts.v1.events import frame
from segue_contracts.v1.runs import CancelRequested, RunEnded, RunSummary, RunView
from segue_language import content_hash
from segue_orchestrator.core.entries import JournalEvent, read, started_of
from segue_orchestrator.core.messages import SOURCE
from segue_orchestrator.core.view import view_of
from segue_orchestrator.shell.admission import Admission
from segue_orchestrator.shell.live import Live, Loader, UnknownRunError, UnstartableError
from segue_orchestrator.shell.pools import Pools
from segue_shared.bus import Bus
from segue_shared.clock import Clock, rfc3339
from segue_shared.commands import CommandServer, Context
from segue_shared.errors import RefusedError
from segue_shared.journal import Journal, StoredMessage

MAX_LISTED: Final = 500


class Handlers:
    """The commands of the orchestrator."""

    def __init__(
        self,
        bus: Bus,
        *,
        clock: Clock,
        admission: Admission,
        loader: Loader,
        pools: Pools,
        journal: Journal,
    ) -> None:
        self._bus = bus
        self._clock = clock
        self._admission = admission
        self._loader = loader
        self._pools = pools
        self._journal = journal

    def register(self, server: CommandServer) -> None:
        """Serve every command of the orchestrator, in all namespaces."""
        for command, handler in (
            (registry.START_RUN, self.start_run),
            (registry.VALIDATE, self.validate),
            (registry.CANCEL_RUN, self.cancel_run),
            (registry.GET_RUN, self.get_run),
            (registry.LIST_RUNS, self.list_runs),
            (registry.POOL_ENSURE, self.pool_ensure),
        ):
            server.add(command, subjects.command("*", command.service, command.verb), handler)

    async def start_run(self, request: StartRun, context: Context) -> RunAccepted:
        """Accept a run; see `Admission.start`."""
        return await self._admission.start(context.namespace, request)

    async def validate(self, request: ValidateWorkflow, context: Context) -> WorkflowValid:
        """Check a definition and start nothing."""
        inputs = None if isinstance(request.inputs, UnsetType) else request.inputs
        workflow = await self._admission.check(
            context.namespace, request.text, file=request.file, inputs=inputs
        )
        return WorkflowValid(
            workflow=workflow.name, definition=content_hash(workflow), steps=len(workflow.steps)
        )

    async def cancel_run(self, request: CancelRun, context: Context) -> CancelAccepted:
        """Ask for a run to stop; asking again changes nothing."""
        live = await self._load(context.namespace, request.run)
        if live.state.ended is not None:
            return CancelAccepted(run=request.run, already_ended=True)
        subject = subjects.run_event(context.namespace, request.run, "cancel_requested")
        body = CancelRequested(reason=request.reason)
        time = rfc3339(self._clock.now_ms())
        data = frame(body, subject=subject, source=SOURCE, about=request.run, time=time)
        await self._bus.create(subject, data)
        return CancelAccepted(run=request.run)

    async def get_run(self, request: GetRun, context: Context) -> RunView:
        """Return where a run stands, folded from its journal."""
        live = await self._load(context.namespace, request.run)
        cursor = Cursor(await self._journal.epoch(), live.state.last_seq)
        return view_of(live.state, live.plan, cursor=str(cursor))

    async def list_runs(self, request: ListRuns, context: Context) -> RunList:
        """Return the newest runs, newest first."""
        limit = max(1, min(request.limit, MAX_LISTED))
        ended = await self._ended(context.namespace)
        newest: deque[RunSummary] = deque(maxlen=limit)
        async for event in _pages(self._journal, subjects.runs_of(context.namespace, "started")):
            summary = _summary(event, ended.get(event.place.run))
            if summary is not None and request.status in {"", summary.status}:
                newest.append(summary)
        return RunList(runs=sorted(newest, key=lambda run: run.started_ms, reverse=True))

    async def pool_ensure(self, request: EnsurePool, context: Context) -> PoolReady:
        """Make the consumer of a pool and say how to pull from it."""
        try:
            subjects.token(request.pool)
        except subjects.SubjectError as error:
            raise RefusedError(Refused(code="invalid_request", message=f"pool: {error}")) from error
        consumer = await self._pools.ensure(request.pool, context.namespace)
        return PoolReady(
            stream=consumer.stream, consumer=consumer.name, ack_wait_s=consumer.ack_wait_s
        )

    async def _load(self, namespace: str, run: str) -> Live:
        try:
            return await self._loader.load(namespace, run)
        except (UnknownRunError, subjects.SubjectError) as error:
            message = f"no run {run!r} in namespace {namespace}; 'segue workflow list' shows them"
            raise RefusedError(Refused(code="not_found", message=message)) from error
        except UnstartableError as error:
            raise RefusedError(Refused(code="conflict", message=str(error))) from error

    async def _ended(self, namespace: str) -> dict[str, JournalEvent]:
        pattern = subjects.runs_of(namespace, "ended")
        return {event.place.run: event async for event in _pages(self._journal, pattern)}


async def _pages(journal: Journal, pattern: str) -> AsyncIterator[JournalEvent]:
    """Yield the events of a pattern, read page by page."""
    sequence = 0
    while page := await journal.after(pattern, sequence):
        for message in page:
            yield _read(message)
        sequence = page[-1].sequence


def _read(message: StoredMessage) -> JournalEvent:
    return read(message.subject, message.data, sequence=message.sequence, time_ms=message.time_ms)


def _summary(event: JournalEvent, end: JournalEvent | None) -> RunSummary | None:
    started = started_of(event)
    if started is None:
        return None
    ended = end.entry.body if end is not None else None
    return RunSummary(
        run=event.place.run,
        workflow=started.workflow,
        status=ended.status if isinstance(ended, RunEnded) else "running",
        started_ms=event.entry.time_ms,
        ended_ms=end.entry.time_ms if end is not None else 0,
    )
