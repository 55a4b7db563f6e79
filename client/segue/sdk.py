"""The SDK: how does a Python program start runs and follow them?

async with Client.connect() as client:
    run = await client.start_run(Path("review.yaml"), inputs={"repository": "/src"})
    async for event in run.events():
        print(event.type, event.step)
    result = await run.result()
"""

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Final, Protocol, TypeVar

import msgspec
from msgspec import UnsetType

from segue.control import RunControl
from segue.core.events import RunEvent
from segue.follow import FactBus, FactJournal, Follower, Scope
from segue.history import History
from segue.models import Models
from segue.source import Workflow, text_of
from segue.workflows import Workflows
from segue_contracts.cursor import Cursor, CursorError, parse_cursor
from segue_contracts.v1 import registry, subjects
from segue_contracts.v1.commands import (
    AgentList,
    CheckRuns,
    GetRun,
    ListAgents,
    ListRuns,
    ListWaits,
    ResumeRuns,
    RunAccepted,
    RunList,
    RunsChecked,
    RunsResumed,
    StartRun,
    WaitList,
)
from segue_contracts.v1.providers import ProviderList
from segue_contracts.v1.runs import EndStatus, RunEnded, RunSummary, RunView, WaitView
from segue_contracts.v1.topology import PAYLOADS, RUNS
from segue_contracts.v1.values import Failure, UsageTotals, Value
from segue_shared.bus import Bus
from segue_shared.clock import Clock, SystemClock
from segue_shared.errors import (
    BusUnavailableError,
    InvalidMessageError,
    NotFoundError,
    PermanentError,
    TimedOutError,
    TransientError,
)
from segue_shared.ids import Ids, SystemIds
from segue_shared.journal import Journal
from segue_shared.payloads import Payloads

T = TypeVar("T")
DEFAULT_URL: Final = "nats://127.0.0.1:4222"
_RETRY_WAIT_S: Final = 0.25
_CALL_TIMEOUT_S: Final = 5.0


class ClientBus(FactBus, Protocol):
    """What the client needs of the bus."""

    async def call(
        self, subject: str, request: object, result: type[T], *, timeout_s: float = 5
    ) -> T:
        """Send a command and return its typed result."""
        ...


class PayloadReader(Protocol):
    """What the client needs of the payload store."""

    async def unwrap(self, value: Value) -> object:
        """Return the value itself."""
        ...


class RunFailedError(PermanentError):
    """A run ended without completing."""

    def __init__(self, result: "RunResult") -> None:
        reason = "" if result.error is None else f": {result.error.code}: {result.error.message}"
        super().__init__(f"run {result.run} {result.status}{reason}")
        self.result = result


class RunResult(msgspec.Struct, frozen=True, kw_only=True):
    """How a run ended, and with what."""

    run: str
    """The run's id."""
    status: EndStatus
    """How it ended."""
    output: object = None
    """The workflow's outputs; None when it did not complete."""
    error: Failure | None = None
    """Why it did not complete."""
    usage: UsageTotals = UsageTotals()
    """What all attempts used together."""

    def unwrap(self) -> object:
        """Return the output.

        Raises:
            RunFailedError: The run did not complete.
        """
        if self.status != "completed":
            raise RunFailedError(self)
        return self.output


class Client:
    """A connection to Segue: start runs, find them, follow them."""

    def __init__(  # noqa: PLR0913 - the composition root of the SDK: one argument per port
        self,
        bus: ClientBus,
        *,
        journal: FactJournal,
        payloads: PayloadReader,
        namespace: str = "default",
        clock: Clock | None = None,
        ids: Ids | None = None,
        patience_s: float = 10.0,
    ) -> None:
        self.namespace: Final = namespace
        self._bus = bus
        self._journal = journal
        self._payloads = payloads
        self._clock = clock or SystemClock()
        self._ids = ids or SystemIds()
        self._patience_s = patience_s
        self.workflows: Final = Workflows(self._call, self._start)
        """Registered definitions, and runs of them."""
        self.history: Final = History(self._call, new_key=self.new_key)
        """What runs were, and runs that go on from there."""
        self.models: Final = Models(self._call)
        """The providers of models, and what they cost."""

    @classmethod
    @asynccontextmanager
    async def connect(
        cls,
        url: str | None = None,
        namespace: str = "default",
        *,
        patience_s: float = 10.0,
    ) -> AsyncIterator["Client"]:
        """Connect for the length of a block.

        Args:
            url: The broker; by default the variable `NATS_URL`, else `nats://127.0.0.1:4222`. The
                variable `SEGUE_NKEY_SEED_FILE` names the user's NKey seed where there is one.
            namespace: The tenant.
            patience_s: Seconds to wait for a broker, and for a service that is restarting.

        Raises:
            BusUnavailableError: No broker answers.
        """
        bus = await Bus.connect(
            url or os.environ.get("NATS_URL") or DEFAULT_URL,
            name="segue-client",
            nkey_seed_file=os.environ.get("SEGUE_NKEY_SEED_FILE"),
            max_wait_s=patience_s,
        )
        try:
            yield cls(
                bus,
                journal=Journal(bus, RUNS),
                payloads=Payloads(bus, PAYLOADS),
                namespace=namespace,
                patience_s=patience_s,
            )
        finally:
            await bus.close()

    def new_key(self) -> str:
        """Return a fresh idempotency key."""
        return f"{self._ids.unique()}{self._ids.unique()}"

    async def start_run(
        self,
        workflow: Workflow,
        inputs: Mapping[str, object] | None = None,
        key: str | None = None,
        *,
        file: str = "",
        labels: Mapping[str, str] | None = None,
    ) -> "Run":
        """Start a run, or return the run that the same key started before.

        A lost answer is asked for again: the key makes that safe.

        Args:
            workflow: Its text, the path of its file, or the definition as a mapping. A string of
                one line that does not begin with `{` is a path.
            inputs: Values for the definition's inputs.
            key: Idempotency key; a fresh one by default.
            file: The file's name, for problems, when `workflow` is its text.
            labels: Labels for lists and filters.

        Raises:
            RefusedError: The definition or the inputs are not valid (`refused.problems` has all),
                or the key belongs to another start.
            BusUnavailableError: No orchestrator answers.
        """
        text, name = await text_of(workflow)
        request = StartRun(
            text=text,
            file=file or name,
            inputs=dict(inputs or {}),
            key=key or "",
            labels=dict(labels or {}),
        )
        return await self._start(request)

    async def _start(self, request: StartRun) -> "Run":
        """Start a run, always with a key, so that a lost answer can be asked for again."""
        keyed = msgspec.structs.replace(request, key=request.key or self.new_key())
        accepted: RunAccepted = await self._call(registry.START_RUN, keyed, RunAccepted)
        return Run(self, accepted.run, accepted=accepted)

    def run(self, run_id: str) -> "Run":
        """Return a run by its id; whether it exists shows when it is asked.

        Raises:
            NotFoundError: No run can have this id.
        """
        try:
            subjects.run_prefix(self.namespace, run_id)
        except subjects.SubjectError as error:
            raise NotFoundError(str(error)) from error
        return Run(self, run_id)

    async def list_runs(
        self, *, limit: int = 50, status: str = "", workflow: str = "", before: str = ""
    ) -> list[RunSummary]:
        """Return the newest runs, newest first.

        Args:
            limit: How many, 1 to 500.
            status: Only runs in this state; empty for all.
            workflow: Only runs of this workflow; empty for all.
            before: Only runs older than this one; empty for all.
        """
        found: list[RunSummary] = []
        while True:
            request = ListRuns(
                limit=limit - len(found), status=status, workflow=workflow, before=before
            )
            page = await self._call(registry.LIST_RUNS, request, RunList)
            found += page.runs
            before = page.next
            if not before or len(found) >= limit:
                return found

    async def resume_runs(self, request: ResumeRuns) -> RunsResumed:
        """Let all parked or paused runs go on that fit, or with `dry` only tell which."""
        return await self._call(registry.RESUME_RUNS, request, RunsResumed)

    async def check_runs(self, request: CheckRuns | None = None) -> RunsChecked:
        """Hold journals against the engine's invariants: one run's, or the next page of all."""
        return await self._call(registry.CHECK_RUNS, request or CheckRuns(), RunsChecked)

    async def waits(self, request: ListWaits | None = None) -> list[WaitView]:
        """Return who waits for what, the longest waiting first; all of it by default."""
        return (await self._call(registry.LIST_WAITS, request or ListWaits(), WaitList)).waits

    async def list_agents(self) -> AgentList:
        """Return the registered agents."""
        return await self._call(registry.LIST_AGENTS, ListAgents(), AgentList)

    async def providers(self) -> ProviderList:
        """Return the providers of models, and which of them can be used now."""
        return await self.models.status()

    async def events(
        self, after: str | None = None, *, run: str = "", deltas: bool = False
    ) -> AsyncGenerator[RunEvent, None]:
        """Yield the events of all runs of the namespace, or of one, without gap or duplicate.

        Args:
            after: Cursor of the last event seen. Without it a run is read from its start, and a
                namespace from now on.
            run: Only this run; the iteration ends with its `ended` event.
            deltas: Whether ephemeral progress (tokens, tools) is wanted too.

        Raises:
            NotFoundError: The run does not exist, or the cursor is of another journal.
        """
        follower = Follower(
            self._bus, self._journal, Scope(namespace=self.namespace, run=run), clock=self._clock
        )
        async with aclosing(follower.events(after=_cursor(after), deltas=deltas)) as events:
            async for event in events:
                yield event

    async def read(self, value: Value | UnsetType) -> object:
        """Return a value of an event, fetched when it is only referenced; None when absent."""
        return None if isinstance(value, UnsetType) else await self._payloads.unwrap(value)

    async def _call(
        self,
        command: registry.Command,
        request: object,
        result: type[T],
        *,
        timeout_s: float = _CALL_TIMEOUT_S,
    ) -> T:
        """Ask, and ask again while the service is away or silent and patience lasts."""
        subject = subjects.command(self.namespace, command.service, command.verb)
        give_up = self._clock.monotonic() + self._patience_s
        while True:
            try:
                return await self._bus.call(subject, request, result, timeout_s=timeout_s)
            except TransientError as error:
                if self._clock.monotonic() >= give_up:
                    raise BusUnavailableError(
                        f"no {command.service} service answers ({error}); start one with 'segue up'"
                    ) from error
                await self._clock.sleep(_RETRY_WAIT_S)


class Run(RunControl):
    """One run."""

    def __init__(self, client: Client, run_id: str, *, accepted: RunAccepted | None = None) -> None:
        super().__init__(run_id, client._call, client.new_key)  # noqa: SLF001 - one class in two parts
        self.accepted: Final = accepted
        """The answer to the start; None for a run that was looked up."""
        self._client = client

    def events(
        self, after: str | None = None, *, deltas: bool = False
    ) -> AsyncGenerator[RunEvent, None]:
        """Yield the run's events in order, from the start or after a cursor, until it has ended."""
        return self._client.events(after, run=self.id, deltas=deltas)

    async def result(self, timeout: float | None = None) -> RunResult:  # noqa: ASYNC109 - the name callers know
        """Wait for the end and return it.

        Args:
            timeout: Seconds to wait; the run goes on when they are over.

        Raises:
            TimedOutError: The run has not ended by then.
            NotFoundError: There is no such run.
        """
        try:
            async with asyncio.timeout(timeout), aclosing(self._client.events(run=self.id)) as seen:
                async for event in seen:
                    if isinstance(event.body, RunEnded):
                        return await self.ended(event.body)
        except TimeoutError as error:
            raise TimedOutError(f"run {self.id} has not ended within {timeout:g} s") from error
        raise InvalidMessageError(f"run {self.id} has an end that is not readable")

    async def ended(self, body: RunEnded) -> RunResult:
        """Return the result that a run's `ended` event tells, its output fetched."""
        return RunResult(
            run=self.id,
            status=body.status,
            output=await self._client.read(body.output),
            error=None if isinstance(body.error, UnsetType) else body.error,
            usage=body.usage,
        )

    async def status(self) -> RunView:
        """Return where the run and its steps stand."""
        return await self._ask(registry.GET_RUN, GetRun(run=self.id), RunView)


def _cursor(text: str | None) -> Cursor | None:
    if text is None:
        return None
    try:
        return parse_cursor(text)
    except CursorError as error:
        raise InvalidMessageError(str(error)) from error
