"""History: what were runs, and how does a program go on from there?

accepted = await client.history.fork("01h2…", at=["scan"])
found = await client.history.diff("01h2…", accepted.run)
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final, Protocol, TypeVar

from segue.source import Workflow, text_of
from segue_contracts.v1 import registry
from segue_contracts.v1.commands import (
    DiffRuns,
    ForkRun,
    ReplayResult,
    ReplayRun,
    RunAccepted,
    RunDiff,
)

T = TypeVar("T")

_TIMEOUT_S: Final = 60.0
"""Long histories take their time."""


class Ask(Protocol):
    """Sends a command and returns its typed result."""

    async def __call__(
        self, command: registry.Command, request: object, result: type[T], *, timeout_s: float
    ) -> T:
        """Ask, and ask again while nobody answers."""
        ...


class History:
    """Forks runs, compares them, and replays them."""

    def __init__(self, ask: Ask, *, new_key: Callable[[], str]) -> None:
        self._ask = ask
        self._new_key = new_key

    async def fork(  # noqa: PLR0913 - each way to differ is a parameter
        self,
        checkpoint: str,
        *,
        at: Iterable[str] = (),
        outputs: Mapping[str, object] | None = None,
        workflow: Workflow | None = None,
        file: str = "",
        inputs: Mapping[str, object] | None = None,
        labels: Mapping[str, str] | None = None,
        key: str | None = None,
    ) -> RunAccepted:
        """Start a run that takes over what another has finished; nothing of it is done again.

        Args:
            checkpoint: The run's id, or `<run>@<cursor>` for what it was at a position.
            at: Keys of the steps that run again, with all that waits for them; what has not
                completed when there are none.
            outputs: Outputs given instead of running a step, by its key.
            workflow: Another definition to go on with.
            file: The file's name, for problems, when `workflow` is its text.
            inputs: Inputs that differ.
            labels: Labels beside those of the forked run.
            key: Idempotency key; a fresh one by default.

        Raises:
            RefusedError: There is no such run, step or input, the position is no longer kept
                (`checkpoint_expired`), or the definition is not valid.
        """
        text, name = ("", "") if workflow is None else await text_of(workflow)
        request = ForkRun(
            run=checkpoint,
            at=list(at),
            outputs=dict(outputs or {}),
            text=text,
            file=file or name,
            inputs=dict(inputs or {}),
            labels=dict(labels or {}),
            key=key or self._new_key(),
        )
        return await self._ask(registry.FORK_RUN, request, RunAccepted, timeout_s=_TIMEOUT_S)

    async def diff(self, first: str, second: str) -> RunDiff:
        """Compare two runs, or checkpoints of them, step by step.

        Raises:
            RefusedError: One is not known, or no longer kept.
        """
        request = DiffRuns(first=first, second=second)
        return await self._ask(registry.DIFF_RUNS, request, RunDiff, timeout_s=_TIMEOUT_S)

    async def replay(self, run: str, workflow: Workflow, *, file: str = "") -> ReplayResult:
        """Tell what another definition would have decided on a run's history; nothing is started.

        Raises:
            RefusedError: The run is not known or its history is no longer whole, or the definition
                is not valid.
        """
        text, name = await text_of(workflow)
        request = ReplayRun(run=run, text=text, file=file or name)
        return await self._ask(registry.REPLAY_RUN, request, ReplayResult, timeout_s=_TIMEOUT_S)
