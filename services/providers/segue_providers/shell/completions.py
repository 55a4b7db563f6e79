"""Completions: was this request answered before, or is another replica about to?

Whoever answers a request holds a claim on its key and stores the answer there before the reply.
The first answer stored is the one that all callers get.
"""

import asyncio
import hashlib
from collections.abc import Callable
from functools import partial
from typing import Final, Literal

import msgspec
import structlog
from msgspec import UNSET, Raw, UnsetType

from segue_contracts.envelope import encode
from segue_contracts.payload import PayloadRef, Value
from segue_contracts.reply import Refused
from segue_contracts.v1.chat import ChatRequest, ChatResponse
from segue_contracts.v1.topology import COMPLETIONS
from segue_providers.core.fingerprint import fingerprint
from segue_providers.shell.cells import Cells
from segue_shared.bus import Bus
from segue_shared.clock import Clock
from segue_shared.errors import (
    PayloadMissingError,
    RefusedError,
    TimedOutError,
    TransientError,
)
from segue_shared.ids import Ids
from segue_shared.payloads import Payloads

_log = structlog.get_logger()

LEASE_S: Final = 10.0
"""A claim is believed so long after its holder's last word."""
_CLAIM_TTL_S: Final = 120
_FIRST_PAUSE_S: Final = 0.01
_LONGEST_PAUSE_S: Final = 0.25


class Kept(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An answer, inline or by reference."""

    inline: Raw | UnsetType = UNSET
    """The answer's JSON when it is small."""
    ref: PayloadRef | UnsetType = UNSET
    """Where it is otherwise."""


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is known of one request."""

    fingerprint: str = ""
    """What it asks."""
    holder: str = ""
    """Who answers it."""
    until_ms: int = 0
    """Until when that is believed, Unix milliseconds."""
    answer: Kept | UnsetType = UNSET
    """The answer, once there is one."""


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """The right to answer a request."""

    key: str
    """Where it is."""
    holder: str
    """Whose it is; never the same twice."""
    fingerprint: str
    """What is asked."""


_Outcome = Claim | Kept | Literal["busy", "conflict"]


class Completions:
    """The answers of all namespaces by the ids of their requests.

    Args:
        bus: The connection.
        payloads: Where large answers are.
        clock: Time.
        ids: New names.
    """

    def __init__(self, bus: Bus, *, payloads: Payloads, clock: Clock, ids: Ids) -> None:
        self._cells = Cells(bus, COMPLETIONS, empty=Record(), ttl_s=_CLAIM_TTL_S)
        self._payloads = payloads
        self._clock = clock
        self._ids = ids

    async def claim(
        self, namespace: str, request: ChatRequest, *, deadline_ms: int
    ) -> Claim | ChatResponse:
        """Return the right to answer a request, or its answer, for which this waits.

        Args:
            namespace: Whose request it is.
            request: The request; it has an id.
            deadline_ms: How long to wait for another's answer, Unix milliseconds.

        Raises:
            RefusedError: Another request had the same id.
            TimedOutError: Another is still about to answer, or the broker is away.
            TransientError: The broker does not answer.
        """
        claim = Claim(
            key=_key(namespace, request.id),
            holder=self._ids.unique(),
            fingerprint=fingerprint(request),
        )
        left_s = max((deadline_ms - self._clock.now_ms()) / 1000, 0)
        try:
            async with asyncio.timeout(left_s):
                return await self._claimed(claim, request.id)
        except TimeoutError as error:
            raise TimedOutError(
                f"request {request.id} is being answered elsewhere; ask again with the same id"
            ) from error

    async def find(self, namespace: str, request_id: str) -> ChatResponse | None:
        """Return the stored answer to a request; None when there is none.

        Raises:
            TransientError: The broker does not answer.
        """
        record = await self._cells.read(_key(namespace, request_id))
        return None if isinstance(record.answer, UnsetType) else await self._answer(record.answer)

    async def store(self, claim: Claim, response: ChatResponse, *, ttl_s: int) -> ChatResponse:
        """Store the answer to a claimed request, and return the answer that counts.

        That is another's, when it took over the claim and was faster.

        Args:
            claim: The claim.
            response: The answer.
            ttl_s: Seconds for which it is kept.

        Raises:
            TransientError: The broker does not answer.
        """
        kept = await kept_of(response, self._payloads)
        step: Callable[[Record], tuple[Record, Kept]] = partial(_stored, claim, kept)
        counts = await self._cells.change(claim.key, step, ttl_s=ttl_s)
        self._cells.forget(claim.key)
        if counts == kept:
            return response
        return await self._answer(counts) or response

    async def release(self, claim: Claim) -> None:
        """Give a claim up: there is no answer, and whoever asks again may try.

        Raises:
            TransientError: The broker does not answer; the claim lapses by itself.
        """
        await self._cells.change(claim.key, partial(_released, claim))

    async def keep(self, claim: Claim) -> None:
        """Renew a claim until cancelled; return when it was lost, or its answer is stored."""
        while True:
            await self._clock.sleep(LEASE_S / 3)
            try:
                if not await self._cells.change(claim.key, partial(self._renewed, claim)):
                    return
            except TransientError as error:
                _log.info("claim_not_renewed", key=claim.key, reason=str(error))

    async def _claimed(self, claim: Claim, request_id: str) -> Claim | ChatResponse:
        lost, pause_s, new = False, _FIRST_PAUSE_S, True
        while True:
            outcome = await self._cells.change(
                claim.key, partial(self._taken, claim, lost=lost), new=new
            )
            new = False
            if not isinstance(outcome, Claim):
                # Answers are large and rarely asked for again.
                self._cells.forget(claim.key)
            match outcome:
                case Claim():
                    return outcome
                case Kept():
                    if answer := await self._answer(outcome):
                        return answer
                    lost = True
                case "conflict":
                    raise RefusedError(_conflict(request_id))
                case "busy":
                    await self._clock.sleep(pause_s)
                    pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    def _taken(self, claim: Claim, record: Record, *, lost: bool) -> tuple[Record, _Outcome]:
        now_ms = self._clock.now_ms()
        if record.holder == claim.holder:
            return record, claim
        if record.fingerprint not in {"", claim.fingerprint}:
            return record, "conflict"
        if not isinstance(record.answer, UnsetType) and not lost:
            return record, record.answer
        if isinstance(record.answer, UnsetType) and record.until_ms > now_ms:
            return record, "busy"
        return self._held(claim), claim

    def _renewed(self, claim: Claim, record: Record) -> tuple[Record, bool]:
        if record.holder != claim.holder or not isinstance(record.answer, UnsetType):
            return record, False
        return self._held(claim), True

    def _held(self, claim: Claim) -> Record:
        until_ms = self._clock.now_ms() + round(LEASE_S * 1000)
        return Record(fingerprint=claim.fingerprint, holder=claim.holder, until_ms=until_ms)

    async def _answer(self, kept: Kept) -> ChatResponse | None:
        return await answer_of(kept, self._payloads)


async def kept_of(response: ChatResponse, payloads: Payloads) -> Kept:
    """Return the form in which an answer is stored; a large one is stored by this.

    Raises:
        BusUnavailableError: The object store does not answer.
    """
    value = await payloads.wrap_json(encode(response))
    if isinstance(value.ref, UnsetType):
        return Kept(inline=Raw(encode(value.inline)))
    return Kept(ref=value.ref)


async def answer_of(kept: Kept, payloads: Payloads) -> ChatResponse | None:
    """Return a stored answer; None when it is gone.

    Raises:
        BusUnavailableError: The object store does not answer.
    """
    if not isinstance(kept.inline, UnsetType):
        return msgspec.json.decode(kept.inline, type=ChatResponse)
    try:
        return msgspec.convert(await payloads.unwrap(Value(ref=kept.ref)), ChatResponse)
    except PayloadMissingError as error:
        _log.info("answer_gone", reason=str(error))
        return None


def _stored(claim: Claim, kept: Kept, record: Record) -> tuple[Record, Kept]:
    if not isinstance(record.answer, UnsetType) and record.holder != claim.holder:
        return record, record.answer
    answered = Record(fingerprint=claim.fingerprint, holder=claim.holder, answer=kept)
    return (record if record == answered else answered), kept


def _released(claim: Claim, record: Record) -> tuple[Record, None]:
    mine = record.holder == claim.holder and isinstance(record.answer, UnsetType)
    return (Record() if mine else record), None


def _conflict(request_id: str) -> Refused:
    return Refused(
        code="conflict",
        message=f"another request had the id {request_id}; give each request an id of its own",
    )


def _key(namespace: str, request_id: str) -> str:
    return f"answer.{namespace}.{hashlib.sha256(request_id.encode()).hexdigest()}"
