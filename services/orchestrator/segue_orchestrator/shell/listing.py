"""The listing: which runs are there, the newest first, without reading the whole journal?

Starts are read in windows of the stream that go backwards from its end, or from an older run. Runs
that sleep for so long that the journal has let their starts go are found by their snapshots.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Final, get_args

import msgspec

from segue_contracts.v1 import subjects
from segue_contracts.v1.commands import ListRuns, RunList
from segue_contracts.v1.runs import EndStatus, RunEnded, RunSummary
from segue_orchestrator.core.entries import read, started_of
from segue_orchestrator.core.view import status_of
from segue_orchestrator.shell.live import Loader, UnknownRunError, UnstartableError
from segue_orchestrator.shell.sleepers import Sleepers
from segue_orchestrator.shell.snapshots import Snapshots
from segue_shared.journal import Journal, StoredMessage

MAX_LISTED: Final = 500
MAX_LOOKED_AT: Final = 2_000
"""Runs that one call looks at; what it says as `next` goes on from there."""

_FINAL: Final = frozenset(get_args(EndStatus))
WINDOW: Final = 1_024
_PAGE: Final = 250
_CHUNK: Final = 100
_AT_ONCE: Final = 16


class _Begun(msgspec.Struct, frozen=True):
    """A run by what its start says."""

    run: str
    workflow: str
    started_ms: int


class _Page:
    """What has been found so far."""

    def __init__(self, request: ListRuns, look_at: int) -> None:
        self.limit = max(1, min(request.limit, MAX_LISTED))
        self.found: list[RunSummary] = []
        self.left = look_at

    def take(self, summary: RunSummary | None) -> None:
        self.left -= 1
        if summary is not None:
            self.found.append(summary)

    @property
    def is_full(self) -> bool:
        return len(self.found) >= self.limit or self.left <= 0


class Listing:
    """Lists runs."""

    def __init__(
        self,
        journal: Journal,
        loader: Loader,
        snapshots: Snapshots,
        *,
        look_at: int = MAX_LOOKED_AT,
        window: int = WINDOW,
    ) -> None:
        """Make a listing.

        Args:
            journal: The journal of runs.
            loader: Folds those that have not ended.
            snapshots: The states of runs that sleep for long.
            look_at: Runs that one call looks at.
            window: Sequences of the stream that are read first; more when they hold little.
        """
        self._journal = journal
        self._loader = loader
        self._snapshots = snapshots
        self._sleepers = Sleepers(journal, snapshots)
        self._look_at = look_at
        self._window = window

    async def page(self, namespace: str, request: ListRuns) -> RunList:
        """Return the runs that fit, the newest first, and where to go on."""
        page = _Page(request, self._look_at)
        async for chunk in self._chunks(namespace, request):
            said = await self._summaries(namespace, chunk, request)
            for begun, summary in zip(chunk, said, strict=True):
                page.take(summary)
                if page.is_full:
                    return RunList(runs=page.found, next=begun.run)
        return RunList(runs=page.found)

    async def _chunks(self, namespace: str, request: ListRuns) -> AsyncIterator[Sequence[_Begun]]:
        """Yield runs, the newest first, a few at a time."""
        size = _CHUNK if request.status or request.workflow else max(1, min(_CHUNK, request.limit))
        async for starts in self._backwards(namespace, request.before):
            begun = [one for one in map(_begun, starts) if one is not None]
            for start in range(0, len(begun), size):
                yield begun[start : start + size]
        for run in reversed(await self._sleepers.of(namespace, before=request.before)):
            one = await self._sleeping(namespace, run)
            if one is not None:
                yield [one]

    # The journal.

    async def _backwards(self, namespace: str, before: str) -> AsyncIterator[list[StoredMessage]]:
        """Yield the starts of a namespace in windows, each and all of them the newest first."""
        end = await self._start_of(namespace, before) if before else None
        if before and end is None:
            return  # older than what the journal holds
        first = await self._journal.first_sequence()
        end = end or await self._journal.last_sequence() + 1
        width = self._window
        while end > first:
            begin = max(first, end - width)
            found = await self._between(subjects.runs_of(namespace, "started"), begin, end)
            yield found[::-1]
            end, width = begin, width * (1 if len(found) > _CHUNK else 2)

    async def _between(self, pattern: str, begin: int, end: int) -> list[StoredMessage]:
        """Return the messages from one sequence up to another, which is not included."""
        found: list[StoredMessage] = []
        after = begin - 1
        while page := await self._journal.after(pattern, after, limit=_PAGE):
            found += [message for message in page if message.sequence < end]
            after = page[-1].sequence
            if after >= end or len(page) < _PAGE:
                break
        return found

    async def _start_of(self, namespace: str, run: str) -> int | None:
        subject = subjects.run_event(namespace, run, "started")
        found = await self._journal.last([subject])
        return found[0].sequence if found else None

    # Runs whose start the journal has let go.

    async def _sleeping(self, namespace: str, run: str) -> _Begun | None:
        state = await self._snapshots.load(namespace, run)
        return None if state is None else _Begun(run, state.workflow, state.started_ms)

    # What is said of each.

    async def _summaries(
        self, namespace: str, chunk: Sequence[_Begun], request: ListRuns
    ) -> list[RunSummary | None]:
        """Return what is said of each run; None of one that does not fit the filters."""
        fitting = [one for one in chunk if request.workflow in {"", one.workflow}]
        ends = {subjects.run_event(namespace, one.run, "ended"): one.run for one in fitting}
        stored = await self._journal.last(list(ends)) if ends else []
        ended = {ends[message.subject]: message for message in stored}
        limit = asyncio.Semaphore(_AT_ONCE)

        async def say(one: _Begun) -> RunSummary | None:
            if request.workflow not in {"", one.workflow}:
                return None
            if (end := ended.get(one.run)) is not None:
                return _fitting(_over(one, end), request.status)
            if request.status in _FINAL:
                return None
            async with limit:
                return _fitting(await self._alive(namespace, one), request.status)

        return await asyncio.gather(*(say(one) for one in chunk))

    async def _alive(self, namespace: str, one: _Begun) -> RunSummary | None:
        """Return where a run that has not ended stands; None when it is gone."""
        status, ended_ms = "parked", 0
        try:
            state = (await self._loader.load(namespace, one.run)).state
            status, ended_ms = status_of(state), state.ended_ms
        except UnknownRunError:
            return None
        except UnstartableError:
            pass  # what it needs is missing, for which it is parked
        return RunSummary(
            run=one.run,
            workflow=one.workflow,
            status=status,
            started_ms=one.started_ms,
            ended_ms=ended_ms,
        )


def _fitting(summary: RunSummary | None, status: str) -> RunSummary | None:
    return summary if summary and status in {"", summary.status} else None


def _begun(stored: StoredMessage) -> _Begun | None:
    event = read(stored.subject, stored.data, sequence=stored.sequence, time_ms=stored.time_ms)
    started = started_of(event)
    return None if started is None else _Begun(event.place.run, started.workflow, stored.time_ms)


def _over(one: _Begun, end: StoredMessage) -> RunSummary:
    event = read(end.subject, end.data, sequence=end.sequence, time_ms=end.time_ms)
    body = event.entry.body
    return RunSummary(
        run=one.run,
        workflow=one.workflow,
        status=body.status if isinstance(body, RunEnded) else "failed",
        started_ms=one.started_ms,
        ended_ms=end.time_ms,
    )
