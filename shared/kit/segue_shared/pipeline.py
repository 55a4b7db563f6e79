"""The pipeline: of batches that are being stored side by side, which may be acknowledged?"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import ExitStack

import msgspec

from segue_shared.delivery import Delivery


class _Batch(msgspec.Struct, frozen=True):
    """A batch whose consequences are being stored."""

    storing: asyncio.Future[None]
    last: Delivery

    @property
    def failed(self) -> bool:
        """Whether it has ended, but not well."""
        return self.storing.done() and _error_of(self.storing) is not None


class Pipeline:
    """Batches in their order; a batch counts once it and all before it are stored.

    Args:
        room: How many may be stored at once, at least 1.
        on_end: Called whenever one of them ends, however it does.
    """

    def __init__(self, room: int, *, on_end: Callable[[], None]) -> None:
        self._room = room
        self._on_end = on_end
        self._batches: deque[_Batch] = deque()
        self.failed = False
        """Whether a batch has failed, so that nothing after it may count."""

    @property
    def full(self) -> bool:
        """Whether nothing can be added."""
        return len(self._batches) >= self._room

    def add(self, storing: Awaitable[None], last: Delivery, handling: ExitStack) -> None:
        """Append a batch.

        Args:
            storing: Ends once everything that it implies is stored.
            last: Its last delivery.
            handling: Closed when it has ended.
        """
        task = asyncio.ensure_future(storing)
        self._batches.append(_Batch(task, last))
        task.add_done_callback(lambda _: self._ended(task, handling))

    def _ended(self, task: asyncio.Future[None], handling: ExitStack) -> None:
        handling.close()
        self.failed |= _error_of(task) is not None
        self._on_end()

    def take_stored(self) -> Delivery | None:
        """Take the batches off that are stored together with all before them.

        Returns the last delivery of the last of them; None when there is none.
        """
        last = None
        while self._batches and (first := self._batches[0]).storing.done() and not first.failed:
            last = self._batches.popleft().last
        return last

    async def first_ended(self) -> None:
        """Return once the oldest batch has ended."""
        await asyncio.wait([self._batches[0].storing])

    async def trouble(self) -> BaseException:
        """Return the error of the first batch that failed, once nothing is being stored any more.

        What comes before it goes on to its end, and may count; what comes after it is given up.
        """
        batches = list(self._batches)
        for later in batches[_first_failed(batches) + 1 :]:
            later.storing.cancel()
        await asyncio.wait([batch.storing for batch in batches])
        place = _first_failed(batches)
        self._batches = deque(batches[:place])
        self.failed = False
        return _error_of(batches[place].storing) or asyncio.CancelledError()

    async def give_up(self) -> None:
        """Have nothing count, and return once nothing is being stored any more."""
        batches = list(self._batches)
        for batch in batches:
            batch.storing.cancel()
        if batches:
            await asyncio.wait([batch.storing for batch in batches])
        self._batches.clear()
        self.failed = False


def failure(error: Exception) -> asyncio.Future[None]:
    """Return the storing of a batch that failed before anything was to be stored."""
    failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    failed.set_exception(error)
    return failed


def _error_of(ended: asyncio.Future[None]) -> BaseException | None:
    return asyncio.CancelledError() if ended.cancelled() else ended.exception()


def _first_failed(batches: list[_Batch]) -> int:
    return next(place for place, batch in enumerate(batches) if batch.failed)
