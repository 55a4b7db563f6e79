"""The ledger: how is a call charged to all of its accounts, and never too little?"""

import asyncio
import re
from collections.abc import Callable, Coroutine, Sequence
from decimal import Decimal, InvalidOperation
from typing import Final, TypeVar

import msgspec
import structlog

from segue_contracts.reply import Refused
from segue_contracts.v1.metering import Allowance
from segue_contracts.v1.providers import Spending
from segue_contracts.v1.topology import LEDGER
from segue_providers.core.configuration import NamespaceRules
from segue_providers.core.ledger import (
    NOTHING,
    Account,
    Amount,
    Hold,
    Limit,
    current,
    day_account,
    excess,
    plain,
    reserve,
    settle,
)
from segue_providers.shell.cells import Cells
from segue_providers.shell.slices import OwnSlice
from segue_shared.bus import Bus
from segue_shared.clock import Clock
from segue_shared.errors import BusUnavailableError, RefusedError, SegueError, TransientError
from segue_shared.ids import Ids

_R = TypeVar("_R")

_log = structlog.get_logger()

_TTL_S: Final = 35 * 24 * 3600
_PATIENCE_S: Final = 5.0
_PAUSE_S: Final = 1.0
_ACCOUNT: Final = re.compile(r"(?!.{201})[-/_=a-zA-Z0-9]+(\.[-/_=a-zA-Z0-9]+)*")
_NAMESPACE_KIND: Final = "ns."
_SHOWN_OF_ID: Final = 60


class BudgetExceededError(RefusedError):
    """An account has no room for a call.

    Args:
        account: The account, as callers name it.
        limit: What it may hold.
        used: What it holds.
        wanted: What the call may take.
    """

    def __init__(self, account: str, limit: Limit, *, used: Amount, wanted: Amount) -> None:
        self.account = account
        message = (
            f"the budget of {account} is used up: {excess(limit, used, wanted)}; "
            "raise its limit, wait for running calls to settle, or ask for less output"
        )
        details = {
            "error": "budget_exceeded",
            "account": account,
            "limitUsd": "" if limit.usd is None else plain(limit.usd),
            "limitTokens": str(limit.tokens),
            "usedUsd": plain(used.usd),
            "usedTokens": str(used.tokens),
        }
        super().__init__(Refused(code="budget_exceeded", message=message, details=details))


class Reservation(msgspec.Struct, frozen=True, kw_only=True):
    """What is set aside for one call, in all of its accounts."""

    name: str
    """Its hold's name."""
    amount: Amount
    """How much."""
    accounts: tuple[str, ...] = ()
    """The keys of the accounts that hold it."""
    own: str = ""
    """The key of the namespace's account, when it is limited."""


class _Charge(msgspec.Struct, frozen=True, kw_only=True):
    """One account that a call must fit into."""

    account: str
    key: str
    limit: Limit


class Ledger:
    """The accounts of all namespaces, shared by all replicas.

    Args:
        bus: The connection.
        clock: Time.
        ids: New names.
        instance: Which replica this is.
        rules_of: The rules of a namespace.
    """

    def __init__(
        self,
        bus: Bus,
        *,
        clock: Clock,
        ids: Ids,
        instance: str,
        rules_of: Callable[[str], NamespaceRules],
    ) -> None:
        self._cells = Cells(bus, LEDGER, empty=Account(), ttl_s=_TTL_S)
        self._clock = clock
        self._ids = ids
        self._instance = instance
        self._rules_of = rules_of
        self._slices: dict[str, OwnSlice] = {}
        self._tasks: set[asyncio.Task[object]] = set()

    async def reserve(
        self,
        namespace: str,
        allowances: Sequence[Allowance],
        *,
        request: str,
        amount: Amount,
        until_ms: int,
    ) -> Reservation:
        """Set an amount aside in every limited account of a call, or in none.

        Args:
            namespace: Whose call it is; its own account of the day is the outermost.
            allowances: The other accounts, the outermost first.
            request: The request's id, shown to who reads the accounts.
            amount: The most that the call may take, as far as is known.
            until_ms: When it counts as spent unless it was settled, Unix milliseconds.

        Raises:
            BudgetExceededError: An account has no room.
            RefusedError: An allowance is not valid.
            BusUnavailableError: The accounts cannot be reached.
        """
        charges = [
            charge for one in allowances if (charge := _charge(namespace, one)).limit.bounded
        ]
        rules = self._rules_of(namespace)
        daily = Limit(rules.usd_per_day, rules.tokens_per_day)
        name = f"{request[:_SHOWN_OF_ID]}~{self._ids.unique()}"
        if not charges and not daily.bounded:
            return Reservation(name=name, amount=amount)
        own = _key(namespace, day_account(self._clock.now_ms())) if daily.bounded else ""
        wanted = Reservation(
            name=name, amount=amount, accounts=tuple(one.key for one in charges), own=own
        )
        work = self._spawn(self._reserve(wanted, charges, daily=daily, until_ms=until_ms))
        left_s = (until_ms - self._clock.now_ms()) / 1000
        return await self._patiently(work, min(left_s, _PATIENCE_S))

    async def settle(self, reservation: Reservation, truth: Amount) -> None:
        """Charge what a call really was; a repetition has no effect, nor has a cancellation."""
        if reservation.own and (own := self._slices.get(reservation.own)):
            own.give(reservation.name, truth)
        if reservation.accounts:
            keys = reservation.accounts
            await asyncio.shield(self._spawn(self._settle(keys, reservation.name, truth)))

    async def release(self, reservation: Reservation) -> None:
        """Give everything back: the call never happened."""
        await self.settle(reservation, NOTHING)

    async def spending(self, namespace: str, account: str = "") -> Spending:
        """Tell what an account holds.

        Args:
            namespace: Whose account it is.
            account: Its name; empty for the namespace's own of today.

        Raises:
            RefusedError: The name cannot be an account's.
            TransientError: The accounts cannot be reached.
        """
        now_ms = self._clock.now_ms()
        name = account or day_account(now_ms)
        found = current(await self._cells.read(_key(namespace, _checked(name))), now_ms)
        rules = self._rules_of(namespace)
        limit = found.limit if account else Limit(rules.usd_per_day, rules.tokens_per_day)
        return Spending(
            account=name,
            settled_usd=plain(found.settled.usd),
            settled_tokens=found.settled.tokens,
            reserved_usd=plain(found.reserved.usd),
            reserved_tokens=found.reserved.tokens,
            limit_usd="" if limit.usd is None else plain(limit.usd),
            limit_tokens=limit.tokens,
        )

    async def close(self) -> None:
        """Give slices back, and let what is on its way arrive; bounded by five seconds."""
        closing = {self._spawn(own.close()) for own in self._slices.values()} | self._tasks
        if not closing:
            return
        done, late = await asyncio.wait(closing, timeout=_PATIENCE_S)
        for task in late:
            task.cancel()
        errors = [error for task in done if not task.cancelled() and (error := task.exception())]
        if late or errors:
            _log.warning("ledger_not_settled", open=len(late), errors=[str(one) for one in errors])

    async def _reserve(
        self, wanted: Reservation, charges: Sequence[_Charge], *, daily: Limit, until_ms: int
    ) -> Reservation:
        tried: list[str] = []
        try:
            if wanted.own and not await self._slice(wanted.own).take(
                wanted.name, wanted.amount, daily
            ):
                account = wanted.own.partition(".")[2].partition(".")[2]
                charge = _Charge(account=account, key=wanted.own, limit=daily)
                raise await self._refusal(charge, wanted.amount)
            for charge in charges:
                tried.append(charge.key)
                await self._hold(charge, wanted, until_ms=until_ms)
        except SegueError as error:
            taken = msgspec.structs.replace(wanted, accounts=tuple(tried))
            giving = self._spawn(self.release(taken))
            if isinstance(error, RefusedError):
                await giving
            raise
        return wanted

    async def _hold(self, charge: _Charge, wanted: Reservation, *, until_ms: int) -> None:
        hold = Hold(wanted.amount, until_ms)

        def step(account: Account) -> tuple[Account, bool]:
            now_ms = self._clock.now_ms()
            return reserve(account, wanted.name, hold, limit=charge.limit, now_ms=now_ms)

        if not await self._cells.change(charge.key, step):
            raise await self._refusal(charge, wanted.amount)

    async def _refusal(self, charge: _Charge, wanted: Amount) -> BudgetExceededError:
        found = current(await self._cells.read(charge.key), self._clock.now_ms())
        return BudgetExceededError(charge.account, charge.limit, used=found.used, wanted=wanted)

    async def _settle(self, keys: Sequence[str], name: str, truth: Amount) -> None:
        """Charge accounts, however long the broker is away."""
        await asyncio.gather(*(self._charge(key, name, truth) for key in keys))

    async def _charge(self, key: str, name: str, truth: Amount) -> None:
        def step(account: Account) -> tuple[Account, None]:
            return settle(account, name, truth, now_ms=self._clock.now_ms()), None

        while True:
            try:
                return await self._cells.change(key, step)
            except TransientError as error:
                _log.warning("charge_delayed", account=key, reason=str(error))
                await self._clock.sleep(_PAUSE_S)

    def _slice(self, key: str) -> OwnSlice:
        """Return this replica's slice of an account; those of past days go."""
        if key not in self._slices:
            self._slices = {old: own for old, own in self._slices.items() if own.active}
            self._slices[key] = OwnSlice(
                self._cells, key, instance=self._instance, clock=self._clock, ids=self._ids
            )
        return self._slices[key]

    async def _patiently(self, work: asyncio.Task[Reservation], patience_s: float) -> Reservation:
        """Wait for a reservation; when nobody does any more, it is given back."""
        try:
            async with asyncio.timeout(patience_s):
                return await asyncio.shield(work)
        except BaseException as error:
            work.add_done_callback(self._undo)
            if isinstance(error, TimeoutError):
                raise BusUnavailableError("the ledger cannot be reached; ask again") from error
            raise

    def _undo(self, work: asyncio.Task[Reservation]) -> None:
        if not work.cancelled() and work.exception() is None:
            self._spawn(self.release(work.result()))

    def _spawn(self, work: Coroutine[object, object, _R]) -> asyncio.Task[_R]:
        task = asyncio.create_task(work, name="ledger")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _charge(namespace: str, allowance: Allowance) -> _Charge:
    """Read an allowance.

    Raises:
        RefusedError: It is not valid.
    """
    account = _checked(allowance.account)
    if account.startswith(_NAMESPACE_KIND):
        raise _invalid(f"{account!r}: accounts of the kind `ns` belong to the namespace itself")
    return _Charge(account=account, key=_key(namespace, account), limit=_limit(allowance))


def _limit(allowance: Allowance) -> Limit:
    try:
        usd = Decimal(allowance.usd) if allowance.usd else None
    except InvalidOperation:
        usd = Decimal("nan")
    if (usd is not None and not (usd.is_finite() and usd >= 0)) or allowance.tokens < 0:
        told = f"{allowance.usd!r} US dollars and {allowance.tokens} tokens"
        raise _invalid(f"{told} limit nothing; give a decimal of 0 or more, or leave it out")
    return Limit(usd, allowance.tokens)


def _checked(account: str) -> str:
    if _ACCOUNT.fullmatch(account) is None:
        raise _invalid(
            f"{account[:80]!r} is no account: use `<kind>.<id>` of letters, digits and - / _ =, "
            "200 characters at most"
        )
    return account


def _invalid(message: str) -> RefusedError:
    return RefusedError(Refused(code="invalid_request", message=f"allowances: {message}"))


def _key(namespace: str, account: str) -> str:
    return f"account.{namespace}.{account}"
