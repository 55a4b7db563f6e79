"""The engine: how does an event of the journal become what must exist next?

An event is only a wake-up: it is folded, and then the run as a whole is decided on. Folding and
deciding are done in order, batch by batch; storing what was decided goes on beside the next batch,
and an event is settled only once everything it implies is stored.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final
from weakref import WeakSet

import structlog

from segue_contracts.payload import Value
from segue_contracts.v1 import subjects
from segue_contracts.v1.control import CancelHint
from segue_orchestrator.core.decide import decide, remember
from segue_orchestrator.core.effects import (
    Acquire,
    Arm,
    BeginWait,
    Decision,
    Dispatch,
    Durable,
    End,
    HintCancel,
    Launch,
    Outward,
    Park,
    Release,
    StartChild,
    StopChild,
    TellParent,
)
from segue_orchestrator.core.entries import JournalEvent, read
from segue_orchestrator.core.messages import content_of, fact_of
from segue_orchestrator.core.room import Room
from segue_orchestrator.core.scopes import Known
from segue_orchestrator.core.state import OutputAt, RunState
from segue_orchestrator.shell.live import Cache, Live, UnknownRunError, UnstartableError
from segue_orchestrator.shell.work import Ports, Work
from segue_shared.bus import Creation
from segue_shared.delivery import Delivery
from segue_shared.errors import PayloadMissingError, PermanentError, SegueError, TransientError

_log = structlog.get_logger()

_WAKE_S: Final = (0, 0.1, 0.5, 2.0)
"""How long to wait before each try to let a run go on that waited for a pool."""


class Engine:
    """Folds what a shard consumer delivers, decides, and stores what follows."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._caches: WeakSet[Cache] = WeakSet()
        ports.window.wake = self.wake

    def new_cache(self) -> Cache:
        """Return where a shard consumer keeps the runs that it reads."""
        cache = Cache()
        self._caches.add(cache)
        return cache

    async def on_batch(self, cache: Cache, deliveries: list[Delivery]) -> Awaitable[None]:
        """Fold deliveries in order and decide; what is returned ends once all of it is stored."""
        woken: dict[tuple[str, str], Live] = {}
        for delivery in deliveries:
            live = await self._fold(cache, delivery)
            if live is not None:
                woken[live.state.namespace, live.state.run] = live
        works = [await self._decided(live) for live in woken.values()]
        return self._store_all(cache, works)

    # Folding.

    async def _fold(self, cache: Cache, delivery: Delivery) -> Live | None:
        """Fold one delivery into its run; None when it belongs to no run that can go on."""
        dead = self._ports.dead
        try:
            event = read(
                delivery.subject,
                delivery.data,
                sequence=delivery.sequence,
                time_ms=delivery.time_ms,
            )
            if event.flaw:
                await dead.bury(delivery, "undecodable", event.flaw)
            return await self._live(cache, event)
        except subjects.SubjectError as error:
            await dead.bury(delivery, "foreign_subject", str(error))
        except UnknownRunError as error:
            # A timer may come so late that its run is over and forgotten.
            if not _is_timer(delivery):
                await dead.bury(delivery, "unknown_run", str(error))
        except UnstartableError as error:
            await self._store_one(error.state, Park(error.code, str(error)))
        except TransientError:
            raise
        except Exception as error:  # noqa: BLE001 - logged, and held against this event alone
            _log.exception("fold_failed", subject=delivery.subject)
            await dead.bury(delivery, "fold_failed", type(error).__name__)
        return None

    async def _live(self, cache: Cache, event: JournalEvent) -> Live:
        key = (event.place.namespace, event.place.run)
        live = cache.get(key)
        if live is not None:
            self._ports.loader.fold(live, event)
            live.told &= _is_late(live, event)
            return live
        if event.place.event == ("started",):
            live = await self._ports.loader.begin(event)
        else:
            live = await self._ports.loader.load(*key, at_least=event.entry.sequence)
        live.told = _is_late(live, event)
        cache.put(key, live)
        return live

    # Deciding.

    async def _decided(self, live: Live, granted: Callable[[str], int] | None = None) -> Work:
        """Return what must be stored for a run; what cannot be decided parks it."""
        work = Work(live)
        state, window = live.state, self._ports.window
        try:
            room, decision = await self._decide(live, granted)
            self._prepare(work, decision)
            remember(state, decision)
            work.room = room
            window.took(state.namespace, room)
            window.hold(state, decision.held)
        except TransientError:
            raise
        except PayloadMissingError as error:
            _have_read_anew(live, error)
            return self._parking(live, "payload_missing", str(error))
        except Exception as error:  # noqa: BLE001 - logged, and held against this run alone
            _log.exception("decision_failed", run_id=state.run)
            message = f"the engine failed: {type(error).__name__}"
            return self._parking(live, "engine_error", message)
        return work

    async def _decide(
        self, live: Live, granted: Callable[[str], int] | None
    ) -> tuple[Room, Decision]:
        """Enter the core until it lacks nothing."""
        outputs: dict[OutputAt, Any] = {}
        while True:
            namespace = live.state.namespace
            room = Room(granted) if granted else self._ports.window.room(namespace)
            known = Known(inputs=live.inputs, outputs=outputs)
            decision = decide(live.state, live.plan, known, room)
            if not decision.needs:
                return room, decision
            outputs |= await self._ports.loader.outputs.fetch(decision.needs)

    async def wake(self, namespace: str, run: str, pool: str, tasks: int) -> None:
        """Have a run that waited for a pool dispatch so many tasks.

        A run that is not held is left alone: its timer wakes it, or it has another owner. After
        passing trouble it is tried again a few times, and then left to its timer, too.
        """
        key = (namespace, run)
        cache = next((cache for cache in self._caches if cache.get(key)), None)
        live = cache.get(key) if cache else None
        if live is None or cache is None:
            return
        decided: list[Work] = []
        for delay_s in _WAKE_S:
            await asyncio.sleep(delay_s)
            if cache.get(key) is not live:
                return  # whoever holds it next reads what is stored, and decides anew
            try:
                if decided:  # as it was: the run takes it for stored
                    self._ports.window.stores_again(namespace, decided[0].room)
                else:
                    decided.append(
                        await self._decided(live, lambda asked: tasks if asked == pool else 0)
                    )
                await self._store_all(cache, decided)
            except TransientError as error:
                _log.info("wake_failed", run_id=run, reason=str(error))
            else:
                return
        cache.drop(key)

    def _parking(self, live: Live, code: str, message: str) -> Work:
        work = Work(live)
        if live.state.parked is None:
            _log.warning("run_parked", run_id=live.state.run, code=code, reason=message)
            work.slow.append(Park(code, message))
        return work

    def _prepare(self, work: Work, decision: Decision) -> None:
        """Sort what was decided by how it is stored."""
        live = work.live
        for effect in decision.effects:
            match effect:
                case Arm(at_ms):
                    self._prepare_timer(work, at_ms)
                case HintCancel():
                    if not live.hinted:
                        live.hinted = True
                        work.after.append(partial(self._hint, live.state, effect))
                case TellParent() if live.told:
                    pass  # by now the parent's journal may have let go of it, and store it again
                case Launch() | StopChild() | TellParent() | Acquire() | Release():
                    work.before.append(partial(self._outward, live, effect))
                case _:
                    self._prepare_event(work, effect)
        self._prepare_ends(work)

    def _prepare_timer(self, work: Work, at_ms: int) -> None:
        live = work.live
        if not live.state.now_ms < live.armed_ms <= at_ms:
            live.armed_ms = at_ms
            work.after.append(partial(self._arm, live.state, at_ms))

    def _prepare_event(self, work: Work, effect: Durable) -> None:
        state, ports = work.live.state, self._ports
        if isinstance(effect, Dispatch) and not ports.pools.is_ready(
            effect.step.pool, state.namespace
        ):
            work.before.append(partial(ports.pools.ready, effect.step.pool, state.namespace))
        if isinstance(effect, BeginWait):
            work.before.append(partial(ports.waits.put, state, effect))
        work.whole |= isinstance(effect, Dispatch | StartChild | End) and effect.after > 0
        value = ports.contents.at_hand(content_of(effect))
        if isinstance(value, Value):
            work.creations.append(self._creation(state, effect, value))
        else:
            work.slow.append(effect)

    def _prepare_ends(self, work: Work) -> None:
        """Tidy up after waits, timers and signs of life that are over."""
        live = work.live
        state = live.state
        if outdated := live.beats.outdated(state, live.plan):
            work.after.append(partial(self._forget, outdated))
        work.after += [partial(self._ports.waits.drop, state, over) for over in state.over]
        if state.ended is not None and live.armed_ms > state.now_ms:
            armed_ms, live.armed_ms = live.armed_ms, 0
            work.after.append(
                partial(self._ports.timers.disarm, state.namespace, state.run, armed_ms)
            )

    def _creation(self, state: RunState, effect: Durable, value: Value) -> Creation:
        fact = fact_of(effect, state, value)
        data = self._ports.writer.framed(
            fact.subject, fact.body, about=fact.about, startseq=state.start_seq
        )
        return Creation(fact.subject, data, fact.guard, fact.after)

    # Storing.

    async def _store_all(self, cache: Cache, works: Sequence[Work]) -> None:
        """Return once everything is known to be stored."""
        storing: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        stored = False
        for work in works:
            work.begin(storing)
        try:
            await self._store_each(works)
            stored = True
        finally:
            storing.set_result(stored)
            for work in works:
                work.end(storing)
                self._ports.window.stored(work.live.state.namespace, work.room)
        for work in works:
            state = work.live.state
            if state.ended is not None:
                cache.drop((state.namespace, state.run))

    async def _store_each(self, works: Sequence[Work]) -> None:
        simple = [work for work in works if work.is_simple]
        others = [work for work in works if not work.is_simple]
        results = await asyncio.gather(
            self._create_ready(simple),
            *(self._store_work(work) for work in others),
            return_exceptions=True,
        )
        # All of them end before the first error is raised, or a repeated batch would race them.
        for error in results:
            if isinstance(error, BaseException):
                raise error

    async def _create_ready(self, works: Sequence[Work]) -> None:
        """Store what is ready of several runs at once; one by one if something is refused."""
        ready = [creation for work in works for creation in work.creations]
        try:
            await self._ports.writer.create_all(ready)
        except PermanentError:
            await asyncio.gather(*(self._store_work(work) for work in works))

    async def _store_work(self, work: Work) -> None:
        """Store all that was decided for one run; what never can be stored parks it."""
        state = work.live.state
        try:
            await work.follow()
            for step in work.before:
                await step()
            await self._ports.writer.create_all(work.creations)
            for effect in work.slow:
                await self._store_one(state, effect)
        except TransientError:
            raise
        except PayloadMissingError as error:
            _have_read_anew(work.live, error)
            await self._park(state, "payload_missing", str(error))
        except PermanentError as error:
            await self._park(state, "cannot_store", str(error))
        for step in work.after:
            await step()

    async def _park(self, state: RunState, code: str, message: str) -> None:
        if state.parked is None and state.ended is None:
            _log.warning("run_parked", run_id=state.run, code=code, reason=message)
            await self._store_one(state, Park(code, message))

    async def _store_one(self, state: RunState, effect: Durable) -> None:
        value = await self._ports.contents.wrapped(content_of(effect))
        await self._ports.writer.create_all([self._creation(state, effect, value)])

    async def _outward(self, live: Live, effect: Outward) -> None:
        """Do what is stored elsewhere than in the run's own journal."""
        state, ports = live.state, self._ports
        match effect:
            case Launch():
                await ports.neighbours.launch(state, effect)
            case StopChild():
                await ports.neighbours.stop(state, effect)
            case TellParent():
                await ports.neighbours.tell_parent(state, effect)
            case Acquire():
                look_ms = await ports.leases.acquire(state, effect)
                if look_ms > state.now_ms:
                    await self._arm(state, look_ms)
            case Release():
                await ports.leases.release(state, effect)

    async def _arm(self, state: RunState, at_ms: int) -> None:
        await self._ports.timers.arm(state.namespace, state.run, at_ms)

    async def _forget(self, sequences: list[int]) -> None:
        """Remove events that say nothing any more; one that stays does no harm."""
        journal = self._ports.loader.journal
        try:
            await asyncio.gather(*(journal.remove(sequence) for sequence in sequences))
        except SegueError as error:
            _log.info("beats_kept", count=len(sequences), reason=str(error))

    async def _hint(self, state: RunState, effect: HintCancel) -> None:
        """Tell workers to stop; who misses it sees the outcome."""
        subject = subjects.control(state.namespace, state.run, "cancel")
        body = CancelHint(run=state.run, reason=effect.reason)
        await self._ports.writer.say(subject, body, about=state.run)


def _have_read_anew(live: Live, error: PayloadMissingError) -> None:
    """Have a run read anew that lacks a value and was held for a while.

    The janitor moves the values of events that it purges, and only a snapshot tells where to.

    Raises:
        TransientError: The run may find the value.
    """
    if not live.fresh:
        raise TransientError(str(error)) from error


def _is_late(live: Live, event: JournalEvent) -> bool:
    """Tell whether an event comes after its run's end, and so is settled after it."""
    return live.state.ended is not None and event.entry.sequence > live.state.ended_seq


def _is_timer(delivery: Delivery) -> bool:
    return subjects.parse_run(delivery.subject).event[0] == "timer"
