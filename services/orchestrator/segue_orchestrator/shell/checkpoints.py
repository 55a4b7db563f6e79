"""Checkpoints: what was known of a run at a position of the journal, while that is still kept?"""

import msgspec

from segue_contracts.cursor import Cursor
from segue_contracts.reply import RefusalCode, Refused
from segue_contracts.v1 import subjects
from segue_orchestrator.core.checkpoint import Checkpoint, parse_checkpoint
from segue_orchestrator.core.entries import JournalEvent, read, started_of
from segue_orchestrator.shell.live import Live, Loader, UnknownRunError, UnstartableError
from segue_shared.errors import RefusedError
from segue_shared.journal import Journal


class Folded(msgspec.Struct, frozen=True):
    """A run as it was at a checkpoint."""

    live: Live
    cursor: Cursor
    """The newest event that counts."""


class Checkpoints:
    """Reads runs as they were."""

    def __init__(self, journal: Journal, loader: Loader) -> None:
        self._journal = journal
        self._loader = loader

    async def at(self, namespace: str, run: str, cursor: str = "") -> Folded:
        """Return a run as it was; as it is when no position is named.

        Args:
            namespace: The run's tenant.
            run: The run's id, or `<run>@<cursor>`.
            cursor: A position, or `<run>@<cursor>`.

        Raises:
            RefusedError: Nothing such is named, the run is not known, or the position is no longer
                kept.
        """
        try:
            checkpoint = parse_checkpoint(run, cursor)
        except ValueError as error:
            raise refused("invalid_request", str(error)) from error
        epoch = await self._journal.epoch()
        at_most = await self._position(checkpoint, epoch)
        live = await self._load(namespace, checkpoint.run, at_most)
        if 0 < at_most < live.state.start_seq:
            begun = Cursor(epoch, live.state.start_seq)
            message = f"run {checkpoint.run} began at {begun}, after {checkpoint.cursor}"
            raise refused("invalid_request", message)
        return Folded(live, Cursor(epoch, live.state.last_seq))

    async def _position(self, checkpoint: Checkpoint, epoch: str) -> int:
        """Return a checkpoint's sequence; 0 for the newest."""
        cursor = checkpoint.cursor
        if cursor is None:
            return 0
        if cursor.epoch != epoch:
            message = f"{cursor} is a position of another journal; this one's begin with {epoch!r}"
            raise refused("checkpoint_expired", message)
        newest = await self._journal.last_sequence()
        if not 0 < cursor.sequence <= newest:
            message = f"{cursor} is no position of the journal, whose newest is {epoch}-{newest}"
            raise refused("invalid_request", message)
        return cursor.sequence

    async def _load(self, namespace: str, run: str, at_most: int) -> Live:
        try:
            return await self._loader.load(namespace, run, at_most=at_most)
        except subjects.SubjectError as error:
            raise refused("invalid_request", str(error)) from error
        except UnstartableError as error:
            raise refused("conflict", str(error)) from error
        except UnknownRunError as error:
            if await self._is_purged(namespace, run, at_most):
                raise _expired(run) from error
            message = f"no run {run!r} in namespace {namespace}; 'segue workflow list' shows them"
            raise refused("not_found", message) from error

    async def _is_purged(self, namespace: str, run: str, at_most: int) -> bool:
        """Tell whether a run whose start is not there has left a trace, or would have left none."""
        if 0 < at_most < await self._journal.first_sequence():
            return True
        if await self._loader.snapshots.load(namespace, run) is not None:
            return True
        return bool(await self._journal.last([subjects.run_all(namespace, run)]))

    async def history(self, namespace: str, run: str) -> list[JournalEvent]:
        """Return all events of a run, from its start.

        Raises:
            RefusedError: The run is not known, or its first events are no longer kept.
        """
        live = await self._load(namespace, run, 0)
        stored = await self._journal.last([subjects.run_all(namespace, run)])
        events = [
            read(each.subject, each.data, sequence=each.sequence, time_ms=each.time_ms)
            for each in stored
        ]
        if not events or started_of(events[0]) is None:
            raise _expired(live.state.run)
        return events


def refused(code: RefusalCode, message: str) -> RefusedError:
    """Return the error that refuses a command."""
    return RefusedError(Refused(code=code, message=message))


def _expired(run: str) -> RefusedError:
    message = (
        f"the journal no longer holds what run {run} was at this position; "
        "name a later one, or the run alone for the newest"
    )
    return refused("checkpoint_expired", message)
