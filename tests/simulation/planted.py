"""Planted bugs: which mistakes must a simulation notice?

Each is a build of the same processes with one rule of the engine left out.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from nats.aio.msg import Msg
from support.simulation_parts import Build

from segue_orchestrator.core.entries import read
from segue_orchestrator.core.state import RunState
from segue_orchestrator.shell.engine import Engine
from segue_orchestrator.shell.live import Cache, Live, Loader
from segue_orchestrator.shell.snapshots import Snapshots
from segue_orchestrator.shell.work import Work
from segue_shared.delivery import Delivery, nak
from segue_shared.pinned import PinnedConsumer
from segue_shared.storing import StreamPublisher
from segue_testing.sim import SimProcess


class _NoReset(PinnedConsumer):
    """Takes over, and asks for nothing."""

    async def _reset(self, pin: str) -> None:
        self._on_takeover()
        await self._puller.open()
        self._number = 0
        self._puller.pin = pin


class NoReset(Build):
    """A new owner goes on where the last one was, without having the consumer reset."""

    consumer_type = _NoReset


class _GapsUnnoticed(PinnedConsumer):
    """Takes every batch for whole."""

    def _is_whole(self, deliveries: list[Delivery]) -> bool:
        del deliveries
        return True


class GapsUnnoticed(Build):
    """What was lost on its way is settled by what follows it."""

    consumer_type = _GapsUnnoticed


class _FailedBatchGivenBack(PinnedConsumer):
    """Gives back one delivery, as if each were settled by itself."""

    async def _start_over(self) -> None:
        failed = next(batch for batch in self._pipeline._batches if batch.failed)
        await self._pipeline.trouble()
        await nak(self._bus.client, failed.last, 5)


class FailedBatchGivenBack(Build):
    """A failed batch is to come again later, and what follows is settled meanwhile."""

    consumer_type = _FailedBatchGivenBack


class AckBeforeStored(Build):
    """Events are settled while what they imply is still being stored."""

    def __init__(self, *, sharing: bool = False) -> None:
        super().__init__(sharing=sharing)
        self._storing: set[asyncio.Future[None]] = set()

    def shard(
        self, process: SimProcess, name: str, on_batch: Any, on_takeover: Callable[[], None]
    ) -> PinnedConsumer:
        async def hasty(deliveries: list[Delivery]) -> Awaitable[None]:
            storing = asyncio.ensure_future(await on_batch(deliveries))
            storing.add_done_callback(_unheard)
            self._storing.add(storing)
            return asyncio.sleep(0)

        return super().shard(process, name, hasty, on_takeover)


def _unheard(storing: asyncio.Future[None]) -> None:
    if not storing.cancelled():
        storing.exception()


class EndsIgnored(Build):
    """An end is not consumed, so that a crash after it leaves its consequences undone."""

    def shard(
        self, process: SimProcess, name: str, on_batch: Any, on_takeover: Callable[[], None]
    ) -> PinnedConsumer:
        def but_ends(deliveries: list[Delivery]) -> Awaitable[Awaitable[None]]:
            told: Awaitable[Awaitable[None]] = on_batch(
                [one for one in deliveries if not one.subject.endswith(".ended")]
            )
            return told

        return super().shard(process, name, but_ends, on_takeover)


class StaleCache(Build):
    """Who gets a shard back goes on with what it knew before."""

    def takeover(self, cache: Cache) -> Callable[[], None]:
        del cache
        return lambda: None


class UnguardedOutcomes(Build):
    """Outcomes are guarded each by its own subject only."""

    def outcome_guard(self, attempt: str, subject: str) -> str:
        del attempt
        return subject


class InFlightTakenForStored(Build):
    """A publish that is refused since another is in flight counts as stored."""

    async def prepare(self, process: SimProcess) -> None:
        bus = process.bus
        publisher = _Trusting(bus.client, observer=bus.observer, connected=bus.wait_connected)
        await publisher.open()
        bus._streams = publisher


class _Trusting(StreamPublisher):
    def _on_ack(self, answer: Msg) -> None:
        if b"10164" in answer.data:
            answer.data = answer.data.replace(b"10164", b"10071")
        super()._on_ack(answer)


class _OwnPublishFolded(Engine):
    """Believes that it was stored, and where."""

    async def _store_all(self, cache: Cache, works: Sequence[Work]) -> None:
        await super()._store_all(cache, works)
        for work in works:
            state = work.live.state
            for made in work.creations:
                place = {"sequence": state.last_seq + 1, "time_ms": state.now_ms}
                event = read(made.subject, made.data, **place)
                self._ports.loader.fold(work.live, event)


class OwnPublishFolded(Build):
    """What was published is folded at once, and not when it is read back."""

    engine_type = _OwnPublishFolded


class _PartOfTheState(Loader):
    """Reads runs, and looks at none of their steps."""

    async def load(self, namespace: str, run: str, *, at_least: int = 0, at_most: int = 0) -> Live:
        live = await super().load(namespace, run, at_least=at_least, at_most=at_most)
        live.state.touched.clear()
        return live


class PartOfTheState(Build):
    """A run that is read again is decided on by its newest event alone."""

    loader_type = _PartOfTheState


class _StaleFold(Loader):
    """Takes what a replica has."""

    async def load(self, namespace: str, run: str, *, at_least: int = 0, at_most: int = 0) -> Live:
        del at_least
        return await super().load(namespace, run, at_most=at_most)


class StaleFold(Build):
    """A fold counts whether or not it holds the event in hand."""

    loader_type = _StaleFold


class _PurgedUnkept(Snapshots):
    """Keeps the first snapshot of each run."""

    async def save(self, state: RunState) -> None:
        if not await self.holds(state.namespace, state.run):
            await super().save(state)


class PurgedUnkept(Build):
    """The journal is purged although a run's snapshot is older than that."""

    snapshots_type = _PurgedUnkept


BUGS: tuple[type[Build], ...] = (
    NoReset,
    AckBeforeStored,
    InFlightTakenForStored,
    UnguardedOutcomes,
    OwnPublishFolded,
    StaleCache,
    FailedBatchGivenBack,
    PurgedUnkept,
    GapsUnnoticed,
    PartOfTheState,
    EndsIgnored,
    StaleFold,
)
