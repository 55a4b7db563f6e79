"""Handlers: how are runs started and looked at, and pools made?"""

from msgspec import UnsetType

from segue_contracts.cursor import Cursor
from segue_contracts.reply import Refused
from segue_contracts.v1 import registry, subjects
from segue_contracts.v1.commands import (
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
from segue_contracts.v1.runs import RunView
from segue_language import content_hash
from segue_orchestrator.core.view import view_of
from segue_orchestrator.shell.admission import Admission
from segue_orchestrator.shell.listing import Listing
from segue_orchestrator.shell.pools import Pools
from segue_orchestrator.shell.standing import Standing
from segue_shared.commands import CommandServer, Context
from segue_shared.errors import RefusedError
from segue_shared.journal import Journal


class Handlers:
    """The commands that start runs, tell where they stand, and make pools."""

    def __init__(
        self,
        *,
        admission: Admission,
        standing: Standing,
        pools: Pools,
        journal: Journal,
        listing: Listing,
    ) -> None:
        self._admission = admission
        self._standing = standing
        self._pools = pools
        self._journal = journal
        self._listing = listing

    def register(self, server: CommandServer) -> None:
        """Serve these commands, in all namespaces."""
        for command, handler in (
            (registry.START_RUN, self.start_run),
            (registry.VALIDATE, self.validate),
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

    async def get_run(self, request: GetRun, context: Context) -> RunView:
        """Return where a run stands, folded from its journal."""
        live = await self._standing.of(context.namespace, request.run)
        cursor = Cursor(await self._journal.epoch(), live.state.last_seq)
        return view_of(live.state, live.plan, cursor=str(cursor))

    async def list_runs(self, request: ListRuns, context: Context) -> RunList:
        """Return the newest runs, newest first."""
        try:
            return await self._listing.page(context.namespace, request)
        except subjects.SubjectError as error:
            raise RefusedError(Refused(code="invalid_request", message=str(error))) from error

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
