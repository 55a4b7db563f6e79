"""History handlers: what is answered about what runs were, and what may be begun from there?"""

from segue_contracts.v1 import registry, subjects
from segue_contracts.v1.commands import (
    DiffRuns,
    ForkRun,
    ReplayResult,
    ReplayRun,
    RunAccepted,
    RunDiff,
)
from segue_orchestrator.shell.diffs import Diffs
from segue_orchestrator.shell.forks import Forks
from segue_orchestrator.shell.replays import Replays
from segue_shared.commands import CommandServer, Context


class HistoryHandlers:
    """The commands that read the past of runs."""

    def __init__(self, forks: Forks, diffs: Diffs, replays: Replays) -> None:
        self._forks = forks
        self._diffs = diffs
        self._replays = replays

    def register(self, server: CommandServer) -> None:
        """Serve them in all namespaces."""
        for command, handler in (
            (registry.FORK_RUN, self.fork_run),
            (registry.DIFF_RUNS, self.diff_runs),
            (registry.REPLAY_RUN, self.replay_run),
        ):
            server.add(command, subjects.command("*", command.service, command.verb), handler)

    async def fork_run(self, request: ForkRun, context: Context) -> RunAccepted:
        """Start a run from a checkpoint of another; see `Forks.fork`."""
        return await self._forks.fork(context.namespace, request)

    async def diff_runs(self, request: DiffRuns, context: Context) -> RunDiff:
        """Compare two runs; see `Diffs.diff`."""
        return await self._diffs.diff(context.namespace, request)

    async def replay_run(self, request: ReplayRun, context: Context) -> ReplayResult:
        """Replay a run's history; see `Replays.replay`."""
        return await self._replays.replay(context.namespace, request)
