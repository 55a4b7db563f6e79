"""Check handlers: which runs of a namespace break an invariant?"""

from typing import Final

from segue_contracts.reply import Refused
from segue_contracts.v1 import registry, subjects
from segue_contracts.v1.commands import CheckRuns, RunsChecked, Violation
from segue_orchestrator.shell.fsck import Fsck
from segue_orchestrator.shell.live import UnknownRunError
from segue_orchestrator.shell.sleepers import Sleepers
from segue_shared.commands import CommandServer, Context
from segue_shared.errors import RefusedError
from segue_shared.journal import Journal

MAX_CHECKED: Final = 1_000


class FsckHandlers:
    """The command that checks journals."""

    def __init__(self, fsck: Fsck, journal: Journal) -> None:
        self._fsck = fsck
        self._journal = journal
        self._sleepers = Sleepers(journal, fsck.loader.snapshots)

    def register(self, server: CommandServer) -> None:
        """Serve the command, in all namespaces."""
        command = registry.CHECK_RUNS
        subject = subjects.command("*", command.service, command.verb)
        server.add(command, subject, self.check_runs)

    async def check_runs(self, request: CheckRuns, context: Context) -> RunsChecked:
        """Check one run, or the next page of all, the oldest first; leases come with the last."""
        namespace = context.namespace
        if request.run:
            return await self._check(namespace, [request.run])
        limit = max(1, min(request.limit, MAX_CHECKED))
        runs = await self._page(namespace, request.after, limit)
        if len(runs) == limit:
            return await self._check(namespace, runs, more=runs[-1])
        return await self._check(namespace, runs, extra=await self._fsck.held(namespace))

    async def _page(self, namespace: str, after: str, limit: int) -> list[str]:
        """Return the next runs: first those that outlive their start, then the others."""
        sequence = await self._sequence(namespace, after) if after else 0
        runs = [] if sequence else await self._sleepers.of(namespace, after=after)
        if len(runs) < limit:
            pattern = subjects.runs_of(namespace, "started")
            page = await self._journal.after(pattern, sequence, limit=limit - len(runs))
            runs += [subjects.parse_run(stored.subject).run for stored in page]
        return runs[:limit]

    async def _check(
        self,
        namespace: str,
        runs: list[str],
        *,
        more: str = "",
        extra: list[Violation] | None = None,
    ) -> RunsChecked:
        events, found = 0, extra or []
        for run in runs:
            try:
                checked = await self._fsck.run(namespace, run)
            except (UnknownRunError, subjects.SubjectError) as error:
                raise _unknown(namespace, run) from error
            events += checked.events
            found += checked.violations
        return RunsChecked(checked=len(runs), events=events, violations=found, next=more)

    async def _sequence(self, namespace: str, run: str) -> int:
        """Return the place of a run's start, from which the next page goes on; 0 for a sleeper."""
        try:
            started = await self._journal.last([subjects.run_event(namespace, run, "started")])
        except subjects.SubjectError as error:
            raise _unknown(namespace, run) from error
        if started:
            return started[0].sequence
        if await self._fsck.loader.snapshots.holds(namespace, run):
            return 0
        raise _unknown(namespace, run)


def _unknown(namespace: str, run: str) -> RefusedError:
    message = f"no run {run!r} in namespace {namespace}; 'segue workflow list' shows them"
    return RefusedError(Refused(code="not_found", message=message))
