"""The janitor: how does the journal stay small while runs sleep for months?

The journal is purged up to one sequence at a time, which is cheap. Before that, every run that has
older events and is not over gets a snapshot, so that it can go on without them.
"""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Final

import msgspec
import structlog
from msgspec import UnsetType

from segue_contracts.envelope import encode
from segue_contracts.v1 import runs, subjects
from segue_orchestrator.core.entries import read, started_of
from segue_orchestrator.core.snapshot import references
from segue_orchestrator.shell.live import Loader, UnknownRunError, UnstartableError
from segue_orchestrator.shell.snapshots import Snapshots
from segue_orchestrator.shell.writer import Writer
from segue_shared.clock import Clock
from segue_shared.errors import PayloadMissingError, SegueError
from segue_shared.journal import Journal, StoredMessage
from segue_shared.keyvalue import KeyValue
from segue_shared.payloads import Payloads

_log = structlog.get_logger()

_TURN: Final = "janitor.turn"
_REFERENCE: Final = re.compile(rb'"sha256":\s*"([0-9a-f]{64})"')
_AT_ONCE: Final = 500

RunKey = tuple[str, str]
"""Namespace and id of a run."""


class _Turn(msgspec.Struct, frozen=True):
    """When the next cleaning is due."""

    due_ms: int
    swept_ms: int = 0
    """When unreferenced payloads were last looked for."""
    settled: int = 0
    """Up to which sequence nothing was left to be decided then."""


class Cleaned(msgspec.Struct, frozen=True, kw_only=True):
    """What a cleaning did."""

    purged_to: int = 0
    """The journal holds nothing before this sequence; 0 when nothing was purged."""
    snapshots: int = 0
    """Runs that were given one."""
    nudged: int = 0
    """Runs that nothing would have woken."""
    late: int = 0
    """Timers that should have fired long ago."""
    swept: int = 0
    """Payloads that nothing referred to any more."""


class Janitor:
    """Cleans up, in one process at a time."""

    def __init__(  # noqa: PLR0913 - the ports of the janitor
        self,
        *,
        journal: Journal,
        loader: Loader,
        snapshots: Snapshots,
        payloads: Payloads,
        turns: KeyValue,
        writer: Writer,
        clock: Clock,
        window_s: float,
        every_s: float,
        settled: Callable[[], Awaitable[int]] | None = None,
        archived: Callable[[], Awaitable[int | None]] | None = None,
        sweep_timers: Callable[[], Awaitable[int]] | None = None,
    ) -> None:
        """Make a janitor.

        Args:
            journal: Reads and purges.
            loader: Folds runs.
            snapshots: Keeps their states.
            payloads: Where large values lie.
            turns: Bucket of the key that says whose turn it is.
            writer: Wakes idle runs.
            clock: The time.
            window_s: How long events are kept at least, seconds.
            every_s: How often to clean, seconds.
            settled: Returns the sequence up to which nothing is left to be decided; events are
                purged a turn later only, for they guard against deciding the same again.
            archived: Returns the sequence up to which history is kept elsewhere; None when nobody
                keeps it, so that nothing has to wait.
            sweep_timers: Wakes the runs whose timers are late, and returns how many timers.
        """
        self._journal = journal
        self._loader = loader
        self._snapshots = snapshots
        self._payloads = payloads
        self._turns = turns
        self._writer = writer
        self._clock = clock
        self._window_ms = int(window_s * 1000)
        self._every_ms = int(every_s * 1000)
        self._settled = settled
        self._archived = archived
        self._sweep_timers = sweep_timers

    async def run(self) -> None:
        """Clean whenever it is due, for ever."""
        while True:
            await self._clock.sleep(self._every_ms / 1000)
            try:
                turn = await self.take_turn()
                if turn is not None:
                    settled = None if self._settled is None else turn.settled
                    await self.clean(sweep=self._is_sweep_due(turn), settled=settled)
            except SegueError as error:
                _log.warning("cleaning_failed", reason=str(error))

    async def take_turn(self) -> _Turn | None:
        """Take the turn if it is due and return the one before; None when another took it."""
        now_ms = self._clock.now_ms()
        entry = await self._turns.get(_TURN)
        turn = msgspec.json.decode(entry.value, type=_Turn) if entry else _Turn(0)
        if now_ms < turn.due_ms:
            return None
        swept_ms = now_ms if self._is_sweep_due(turn) else turn.swept_ms
        settled = 0 if self._settled is None else await self._settled()
        data = encode(_Turn(now_ms + self._every_ms, swept_ms, settled))
        if entry is None:
            return turn if await self._turns.create(_TURN, data) else None
        return turn if await self._turns.update(_TURN, data, entry.revision) else None

    def _is_sweep_due(self, turn: _Turn) -> bool:
        return self._clock.now_ms() - turn.swept_ms >= self._window_ms // 7

    async def clean(self, *, sweep: bool, settled: int | None = None) -> Cleaned:
        """Purge what is older than the window, and wake runs that nothing would.

        Args:
            sweep: Whether to look for payloads that nothing refers to, which reads the journal.
            settled: The newest sequence that may be purged; None for no bound but the window.
        """
        late = 0 if self._sweep_timers is None else await self._sweep_timers()
        limit = await self._limit()
        limit = limit if settled is None else min(limit, settled + 1)
        snapshots = nudged = 0
        over: list[RunKey] = []
        first = await self._journal.first_sequence()
        async for key, ended in self._runs(limit):
            if 0 < ended < limit:
                over.append(key)
            else:
                done = await self._keep(key, first)
                snapshots, nudged = snapshots + done[0], nudged + done[1]
        if limit > first:
            # First of all, or who reads a run meanwhile takes it for one that has not ended.
            for key in over:
                await self._snapshots.drop(*key)
            await self._journal.purge(limit)
        swept = await self._sweep() if sweep else 0
        cleaned = Cleaned(
            purged_to=limit if limit > first else 0,
            snapshots=snapshots,
            nudged=nudged,
            late=late,
            swept=swept,
        )
        _log.info("cleaned", **msgspec.structs.asdict(cleaned))
        return cleaned

    async def _limit(self) -> int:
        """Return the first sequence that has to stay."""
        limit = await self._journal.first_since(self._clock.now_ms() - self._window_ms)
        archived = None if self._archived is None else await self._archived()
        return limit if archived is None else min(limit, archived + 1)

    async def _runs(self, limit: int) -> AsyncIterator[tuple[RunKey, int]]:
        """Yield the runs with events before `limit`, and the sequence of their end; 0 for none."""
        found: list[RunKey] = list(await self._snapshots.keys())
        known = set(found)
        after = 0
        while page := await self._journal.after(subjects.runs_of("*", "started"), after):
            after = page[-1].sequence
            for message in page:
                place = subjects.parse_run(message.subject)
                key = (place.namespace, place.run)
                if message.sequence < limit and key not in known:
                    found.append(key)
            if after >= limit:
                break
        for start in range(0, len(found), _AT_ONCE):
            keys = found[start : start + _AT_ONCE]
            ends = {subjects.run_event(*key, "ended"): key for key in keys}
            stored = await self._journal.last(list(ends))
            ended = {ends[message.subject]: message.sequence for message in stored}
            for key in keys:
                yield key, ended.get(key, 0)

    async def _keep(self, key: RunKey, first: int) -> tuple[int, int]:
        """Snapshot a run unless its end is older than the journal's first event.

        Returns how many snapshots and nudges that took.
        """
        try:
            live = await self._loader.load(*key)
        except UnknownRunError:
            await self._snapshots.drop(*key)
            return 0, 0
        except UnstartableError as error:
            _log.warning("run_not_kept", run_id=key[1], reason=str(error))
            return 0, 0
        state = live.state
        if 0 < state.ended_seq < first:
            await self._snapshots.drop(*key)
            return 0, 0
        now_ms = self._clock.now_ms()
        late_ms = now_ms - state.alarms[0].at_ms if state.alarms else 0
        # Not every deadline is a step's, so whoever has been quiet for long looks at them all.
        quiet = now_ms - state.now_ms > self._window_ms // 3
        rests = state.ended is not None or state.parked is not None or state.paused
        nudge = (late_ms > self._every_ms or quiet) and not rests
        await self._snapshots.save(state)
        if nudge:
            subject = subjects.run_event(*key, f"timer.{now_ms}")
            await self._writer.create(subject, runs.TimerFired(deadline_ms=now_ms), about=key[1])
        return 1, int(nudge)

    async def _sweep(self) -> int:
        """Remove payloads that nothing refers to and that are older than a day."""
        marked: set[str] = set()
        after = 0
        candidates = await self._payloads.older_than(self._clock.now_ms() - 24 * 3_600_000)
        while page := await self._journal.after(">", after):
            after = page[-1].sequence
            for message in page:
                marked |= _referenced(message.data)
                marked |= await self._taken_over(message)
        for key in await self._snapshots.keys():
            state = await self._snapshots.load(*key)
            marked |= references(state) if state is not None else set()
            marked |= await self._snapshots.own_references(*key)
        return await self._remove(digest for digest in candidates if digest not in marked)

    async def _taken_over(self, message: StoredMessage) -> set[str]:
        """Return what the steps that a fork took over refer to, when their list is a payload."""
        if not message.subject.endswith(".started") or b'"fork"' not in message.data:
            return set()
        body = started_of(
            read(message.subject, message.data, sequence=message.sequence, time_ms=message.time_ms)
        )
        if body is None or isinstance(body.fork, UnsetType):
            return set()
        try:
            return _referenced(encode(await self._payloads.unwrap(body.fork.settled)))
        except PayloadMissingError as error:
            _log.warning("fork_not_kept", subject=message.subject, reason=str(error))
            return set()

    async def _remove(self, digests: Iterable[str]) -> int:
        count = 0
        for digest in digests:
            await self._payloads.remove(digest)
            count += 1
        return count


def _referenced(data: bytes) -> set[str]:
    """Return the hashes of the payloads that a JSON text refers to."""
    return {found.decode() for found in _REFERENCE.findall(data)}
