"""Wait handlers: who waits for what, and how does it come?"""

import asyncio
from collections.abc import Callable
from typing import Final, get_args

import msgspec

from segue_contracts.envelope import decode_body, decode_event, encode
from segue_contracts.payload import INLINE_LIMIT, Value
from segue_contracts.reply import Refused
from segue_contracts.v1 import registry, subjects, topology
from segue_contracts.v1.commands import (
    ApprovalRecorded,
    DecideApproval,
    ListWaits,
    SignalAccepted,
    SignalRun,
    WaitList,
)
from segue_contracts.v1.runs import SignalReceived, WaitKind, WaitView
from segue_orchestrator.core.approvals import Word, event_of, token_of, word_of
from segue_orchestrator.core.control import ControlError
from segue_orchestrator.core.leases import Lease
from segue_orchestrator.core.signals import check_same, check_signal, signal_id
from segue_orchestrator.core.view import waits_of
from segue_orchestrator.shell.live import Live
from segue_orchestrator.shell.standing import Standing
from segue_orchestrator.shell.wait_index import WaitIndex
from segue_orchestrator.shell.writer import Writer
from segue_shared.commands import CommandServer, Context
from segue_shared.errors import RefusedError
from segue_shared.ids import Ids
from segue_shared.journal import Journal
from segue_shared.payloads import Payloads

MAX_LISTED: Final = 1_000
_AT_ONCE: Final = 32
_LEASES: Final = msgspec.json.Decoder(Lease)


class WaitHandlers:
    """The commands about what runs wait for."""

    def __init__(  # noqa: PLR0913 - the ports of these commands
        self,
        standing: Standing,
        *,
        writer: Writer,
        payloads: Payloads,
        ids: Ids,
        journal: Journal,
        waits: WaitIndex,
        leases: Journal,
    ) -> None:
        self._standing = standing
        self._writer = writer
        self._payloads = payloads
        self._ids = ids
        self._journal = journal
        self._waits = waits
        self._leases = leases

    def register(self, server: CommandServer) -> None:
        """Serve these commands, in all namespaces."""
        for command, handler in (
            (registry.SIGNAL_RUN, self.signal_run),
            (registry.DECIDE_APPROVAL, self.decide_approval),
            (registry.LIST_WAITS, self.list_waits),
        ):
            server.add(command, subjects.command("*", command.service, command.verb), handler)

    # Signals.

    async def signal_run(self, request: SignalRun, context: Context) -> SignalAccepted:
        """Send a run a signal; the same key sends it once."""
        live = await self._standing.of(context.namespace, request.run)
        signal = signal_id(request.key) if request.key else self._ids.unique()
        subject = subjects.run_event(context.namespace, request.run, f"signal.{signal}")
        try:
            check_signal(live.state, live.plan, request)
        except ControlError as error:
            # Whoever lost the answer asks again, and the signal may have ended the run since.
            if not (request.key and await self._journal.last([subject])):
                raise RefusedError(error.refused) from error
        payload = await self._payloads.wrap(request.payload)
        body = SignalReceived(name=request.name, payload=payload, by=request.by)
        stored = await self._writer.create(subject, body, about=request.run)
        if not stored.created:
            await self._check_same(subject, request, payload)
        return SignalAccepted(run=request.run, signal=signal, existing=not stored.created)

    async def _check_same(self, subject: str, request: SignalRun, payload: Value) -> None:
        there = await self._journal.newest(subject)
        if there is None:
            return  # it was sent so long ago that the journal has let it go
        first = decode_body(decode_event(there.data).data, SignalReceived)
        sent = msgspec.json.decode(encode(payload), type=Value)
        _checked(lambda: check_same(request, sent, first))

    # Approvals.

    async def decide_approval(self, request: DecideApproval, context: Context) -> ApprovalRecorded:
        """Record a person's word; the first one counts."""
        size = len(encode(request.form)) + len(encode(request.comment))
        if size > INLINE_LIMIT:
            message = f"form and comment have {size} bytes together, {INLINE_LIMIT} are allowed"
            raise RefusedError(Refused(code="too_large", message=message))
        live = await self._standing.of(context.namespace, request.run)
        try:
            word = word_of(live.state, live.plan, request)
        except ControlError as error:
            if await self._was_said(context.namespace, live, request):
                return ApprovalRecorded(run=request.run, step=request.step, existing=True)
            raise RefusedError(error.refused) from error
        existing = word.existing or not await self._say(context.namespace, request.run, word)
        return ApprovalRecorded(
            run=request.run, step=request.step, existing=existing, missing=word.missing
        )

    async def _say(self, namespace: str, run: str, word: Word) -> bool:
        subject = subjects.run_event(namespace, run, word.saying.event)
        return (await self._writer.create(subject, word.saying.body, about=run)).created

    async def _was_said(self, namespace: str, live: Live, request: DecideApproval) -> bool:
        """Tell whether a person's word was taken before the approval was over."""
        try:
            token = token_of(live.plan, request.step)
        except ControlError:
            return False
        attempt = live.state.step(token).attempt
        event = event_of(token, attempt, request.by)
        return bool(await self._journal.last([subjects.run_event(namespace, request.run, event)]))

    # Lists.

    async def list_waits(self, request: ListWaits, context: Context) -> WaitList:
        """Return who waits for what, the longest waiting first; each run's own state tells."""
        if request.kind not in {"", *get_args(WaitKind)}:
            message = f"kind: {request.kind!r} is none of {', '.join(get_args(WaitKind))}"
            raise RefusedError(Refused(code="invalid_request", message=message))
        limit = max(1, min(request.limit, MAX_LISTED))
        if request.run:
            live = await self._standing.of(context.namespace, request.run)
            found = _waits(live, request)
        else:
            found = await self._found(context.namespace, request, limit)
        ordered = sorted(found, key=lambda wait: (wait.since_ms, wait.run, wait.step))
        return WaitList(waits=ordered[:limit])

    async def _found(self, namespace: str, request: ListWaits, limit: int) -> list[WaitView]:
        runs = await self._waiting(namespace, request)
        found: list[WaitView] = []
        for first in range(0, len(runs), _AT_ONCE):
            if len(found) >= limit:
                break
            chunk = runs[first : first + _AT_ONCE]
            for waits in await asyncio.gather(
                *(self._waits_of(namespace, run, request) for run in chunk)
            ):
                found += waits
        return found

    async def _waiting(self, namespace: str, request: ListWaits) -> list[str]:
        """Return the runs that wait, as far as the indices tell, the longest waiting first."""
        runs: list[str] = []
        if request.kind in {"", "lease"}:
            stored = await self._leases.last([f"$KV.{topology.LEASES}.{namespace}.>"])
            leases = (_LEASES.decode(message.data) for message in stored if message.data)
            # The ids of runs are ordered by time.
            runs += sorted(run for lease in leases for run in lease.waiters)
        if request.kind != "lease":
            entries = await self._waits.all(namespace, kind=request.kind)
            runs += [one.run for one in entries if request.name in {"", one.name}]
        return list(dict.fromkeys(runs))

    async def _waits_of(self, namespace: str, run: str, request: ListWaits) -> list[WaitView]:
        try:
            live = await self._standing.of(namespace, run)
        except RefusedError:
            # The index may name a run that is gone, or that nothing can read any more.
            return []
        return _waits(live, request)


def _waits(live: Live, request: ListWaits) -> list[WaitView]:
    if live.state.ended is not None:
        return []
    return [
        wait
        for wait in waits_of(live.state)
        if request.kind in {"", wait.kind} and request.name in {"", wait.name}
    ]


def _checked(check: Callable[[], None]) -> None:
    try:
        check()
    except ControlError as error:
        raise RefusedError(error.refused) from error
