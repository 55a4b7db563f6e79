"""The engine: how does an event of the journal become what must exist next?"""

import asyncio
from collections.abc import Iterable

import structlog

from segue_contracts.payload import Value
from segue_contracts.v1 import subjects
from segue_contracts.v1.control import CancelHint
from segue_contracts.v1.events import frame
from segue_orchestrator.core.decide import Known, decide
from segue_orchestrator.core.effects import Arm, Dispatch, Effect, HintCancel, Park
from segue_orchestrator.core.entries import JournalEvent, read
from segue_orchestrator.core.messages import SOURCE, Durable, fact_of, value_of
from segue_orchestrator.core.state import RunState
from segue_orchestrator.shell.live import (
    Cache,
    Live,
    Loader,
    UnknownRunError,
    UnstartableError,
)
from segue_orchestrator.shell.pools import Pools
from segue_orchestrator.shell.timers import Timers
from segue_shared.bus import Bus
from segue_shared.clock import Clock, rfc3339
from segue_shared.dead import DeadLetters
from segue_shared.delivery import Delivery
from segue_shared.errors import PermanentError, TransientError
from segue_shared.payloads import Payloads

_log = structlog.get_logger()


class Engine:
    """Folds what a shard consumer delivers, decides, and stores what follows."""

    def __init__(  # noqa: PLR0913 - the ports of the engine
        self,
        bus: Bus,
        *,
        clock: Clock,
        loader: Loader,
        payloads: Payloads,
        pools: Pools,
        timers: Timers,
        dead: DeadLetters,
    ) -> None:
        self._bus = bus
        self._clock = clock
        self._loader = loader
        self._payloads = payloads
        self._pools = pools
        self._timers = timers
        self._dead = dead

    async def on_batch(self, cache: Cache, deliveries: list[Delivery]) -> None:
        """Handle deliveries in order; returns once everything they imply is stored."""
        woken: dict[tuple[str, str], Live] = {}
        for delivery in deliveries:
            live = await self._fold(cache, delivery)
            if live is not None:
                woken[live.state.namespace, live.state.run] = live
        # All of them end before the first error is raised, or a repeated batch would race them.
        results = await asyncio.gather(
            *(self._advance(live) for live in woken.values()), return_exceptions=True
        )
        for error in results:
            if isinstance(error, BaseException):
                raise error
        for key, live in woken.items():
            if live.state.ended is not None:
                cache.drop(key)

    async def _fold(self, cache: Cache, delivery: Delivery) -> Live | None:
        """Fold one delivery into its run; None when it belongs to no run that can go on."""
        try:
            event = read(
                delivery.subject,
                delivery.data,
                sequence=delivery.sequence,
                time_ms=delivery.time_ms,
            )
            if event.flaw:
                await self._dead.bury(delivery, "undecodable", event.flaw)
            return await self._live(cache, event)
        except subjects.SubjectError as error:
            await self._dead.bury(delivery, "foreign_subject", str(error))
        except UnknownRunError as error:
            await self._dead.bury(delivery, "unknown_run", str(error))
        except UnstartableError as error:
            await self._store(error.state, [Park(error.code, str(error))])
        except TransientError:
            raise
        except Exception as error:  # noqa: BLE001 - logged, and held against this event alone
            _log.exception("fold_failed", subject=delivery.subject)
            await self._dead.bury(delivery, "fold_failed", type(error).__name__)
        return None

    async def _live(self, cache: Cache, event: JournalEvent) -> Live:
        key = (event.place.namespace, event.place.run)
        live = cache.get(key)
        if live is not None:
            self._loader.fold(live, event)
            return live
        if event.place.event == ("started",):
            live = await self._loader.begin(event)
        else:
            live = await self._loader.load(*key, at_least=event.entry.sequence)
        cache.put(key, live)
        return live

    async def _advance(self, live: Live) -> None:
        """Decide, and store the decision; only then are the touched steps forgotten.

        What cannot be decided or stored for good parks the run: a shard never waits for one run.
        """
        try:
            effects = await self._decide(live)
            await self._store(live.state, [e for e in effects if isinstance(e, Durable)])
        except TransientError:
            raise
        except PermanentError as error:
            await self._park(live, "cannot_store", str(error))
        except Exception as error:  # noqa: BLE001 - logged, and held against this run alone
            _log.exception("decision_failed", run_id=live.state.run)
            await self._park(live, "engine_error", f"the engine failed: {type(error).__name__}")
        else:
            for effect in effects:
                await self._signal(live, effect)
        if live.state.ended is not None and live.armed_ms > live.state.now_ms:
            await self._timers.disarm(live.state.namespace, live.state.run, live.armed_ms)
        live.state.touched.clear()

    async def _park(self, live: Live, code: str, message: str) -> None:
        _log.warning("run_parked", run_id=live.state.run, code=code, reason=message)
        await self._store(live.state, [Park(code, message)])

    async def _decide(self, live: Live) -> tuple[Effect, ...]:
        """Enter the core until it lacks nothing."""
        known = Known(inputs=live.inputs, outputs={})
        decision = decide(live.state, live.plan, known)
        while decision.needs:
            outputs = await self._loader.outputs.fetch(decision.needs)
            known = Known(inputs=live.inputs, outputs={**known.outputs, **outputs})
            decision = decide(live.state, live.plan, known)
        return decision.effects

    async def _store(self, state: RunState, effects: Iterable[Durable]) -> None:
        """Publish effects together; returns once each is known to be stored."""
        await asyncio.gather(*(self._store_one(state, effect) for effect in effects))

    async def _store_one(self, state: RunState, effect: Durable) -> None:
        if isinstance(effect, Dispatch):
            await self._pools.ready(effect.step.pool, state.namespace)
        value = value_of(effect)
        fact = fact_of(effect, state, await self._payloads.wrap(value) if value else Value())
        data = frame(
            fact.body,
            subject=fact.subject,
            source=SOURCE,
            about=fact.about,
            time=rfc3339(self._clock.now_ms()),
            startseq=state.start_seq,
        )
        await self._bus.create(fact.subject, data, guard=fact.guard)

    async def _signal(self, live: Live, effect: Effect) -> None:
        """Do what is no event: arm the timer, hint to workers."""
        state = live.state
        if isinstance(effect, Arm) and not state.now_ms < live.armed_ms <= effect.at_ms:
            await self._timers.arm(state.namespace, state.run, effect.at_ms)
            live.armed_ms = effect.at_ms
        if isinstance(effect, HintCancel) and not live.hinted:
            live.hinted = True
            subject = subjects.control(state.namespace, state.run, "cancel")
            body = CancelHint(run=state.run, reason=effect.reason)
            time = rfc3339(self._clock.now_ms())
            data = frame(body, subject=subject, source=SOURCE, about=state.run, time=time)
            await self._bus.publish(subject, data)
