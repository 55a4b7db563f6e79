"""Slices of busy accounts: how does this replica have its own, keep them and give them back?"""

import asyncio
from decimal import Decimal
from functools import partial
from typing import Final

import structlog

from segue_providers.core.ledger import NOTHING, Account, Amount, Limit, settle
from segue_providers.core.slices import Leased, Slice, Want, after, give, lease, take
from segue_providers.shell.cells import Cells
from segue_shared.clock import Clock
from segue_shared.errors import SegueError
from segue_shared.ids import Ids

_log = structlog.get_logger()

LAPSE_S: Final = 5.0
"""A slice counts as spent so long after its replica's last word."""
_RENEW_S: Final = 1.5


class OwnSlice:
    """This replica's slice of one account.

    Args:
        cells: The accounts.
        key: The account's key.
        instance: Which replica this is.
        clock: Time.
        ids: New names.
    """

    def __init__(
        self, cells: Cells[Account], key: str, *, instance: str, clock: Clock, ids: Ids
    ) -> None:
        self._cells = cells
        self._key = key
        self._instance = instance
        self._clock = clock
        self._ids = ids
        self._part = Slice()
        self._open: dict[str, Amount] = {}
        self._limit = Limit()
        self._busy = False
        self._lock = asyncio.Lock()
        self._keeper: asyncio.Task[None] | None = None

    @property
    def active(self) -> bool:
        """Whether there is something to keep or to give back."""
        return self._keeper is not None

    async def take(self, call: str, amount: Amount, limit: Limit) -> bool:
        """Set an amount aside for a call, and tell whether it fits; never to be cancelled.

        Raises:
            TransientError: The broker does not answer.
        """
        async with self._lock:
            self._limit = limit
            taken = take(self._part, amount, limit=limit)
            if taken is not None:
                self._part = taken
            elif not await self._lease(amount, like=amount):
                return False
            self._open[call] = amount
            self._busy = True
            if self._keeper is None:
                self._keeper = asyncio.create_task(self._keep(), name=f"slice of {self._key}")
            return True

    def give(self, call: str, truth: Amount) -> None:
        """Charge what a call really was; nothing when that was done before."""
        amount = self._open.pop(call, None)
        if amount is not None:
            self._part = give(self._part, amount, truth)
            self._busy = True

    async def close(self) -> None:
        """Settle what was spent, and give the rest back but for what running calls hold.

        Raises:
            TransientError: The broker does not answer; the slice will count as spent.
        """
        if self._keeper is None:
            return
        self._keeper.cancel()
        async with self._lock:
            self._keeper = None
            await (self._lease(NOTHING, like=NOTHING) if self._open else self._end())

    async def _keep(self) -> None:
        """Renew the slice until it has been idle for a while."""
        gone = False
        while not gone:
            await self._clock.sleep(_RENEW_S)
            try:
                # Whoever closes waits for the turn, so that what it does is known.
                gone = await asyncio.shield(self._turn())
            except SegueError as error:
                _log.warning("slice_not_renewed", account=self._key, reason=str(error))

    async def _turn(self) -> bool:
        """Renew the slice, or give it back once it is idle; tell whether it is gone."""
        async with self._lock:
            if not self._open and not self._busy:
                await self._end()
                self._keeper = None
                return True
            busy, self._busy = self._busy, False
            like = max(self._open.values(), key=_size, default=NOTHING) if busy else NOTHING
            await self._lease(NOTHING, like=like)
            return False

    async def _lease(self, amount: Amount, *, like: Amount) -> bool:
        before = self._part
        want = Want(
            name=f"slice:{self._instance}:{self._ids.unique()}",
            amount=amount,
            like=like,
            until_ms=self._clock.now_ms() + round(LAPSE_S * 1000),
        )

        def step(account: Account) -> tuple[Account, Leased]:
            now_ms = self._clock.now_ms()
            return lease(account, before, want, limit=self._limit, now_ms=now_ms)

        leased = await self._cells.change(self._key, step)
        self._part = after(self._part, before, want, leased)
        return leased.granted

    async def _end(self) -> None:
        before = self._part
        if before.name:
            await self._cells.change(self._key, partial(_settled, before, self._clock.now_ms()))
            self._part = Slice(spent=self._part.spent - before.spent)


def _settled(part: Slice, now_ms: int, account: Account) -> tuple[Account, None]:
    return settle(account, part.name, part.spent, now_ms=now_ms), None


def _size(amount: Amount) -> tuple[Decimal, int]:
    return amount.usd, amount.tokens
