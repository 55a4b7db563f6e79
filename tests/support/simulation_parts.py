"""Parts of a simulation: how do orchestrators and workers run on a simulated bus?

`Build` makes them of the real parts; one that plants a bug overrides what it breaks.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from random import Random
from typing import Any, Final

from support.simulation_model import answer, is_doomed
from support.simulation_recipes import POOL

from segue_contracts.envelope import Message, decode_body, decode_event
from segue_contracts.v1 import subjects, topology
from segue_contracts.v1.dead import dead_letter
from segue_contracts.v1.events import frame
from segue_contracts.v1.registry import OUTCOME_OF
from segue_contracts.v1.steps import StepBeat, StepCompleted, StepFailed, StepScheduled, StepStarted
from segue_contracts.v1.values import Failure, UsageTotals
from segue_orchestrator.settings import Settings
from segue_orchestrator.shell.engine import Engine
from segue_orchestrator.shell.janitor import Janitor
from segue_orchestrator.shell.live import Cache, Loader
from segue_orchestrator.shell.shards import Read, Shards
from segue_orchestrator.shell.snapshots import Snapshots
from segue_orchestrator.wiring import Parts, wire
from segue_shared.background import BackgroundTasks
from segue_shared.bus import Bus
from segue_shared.clock import Clock, rfc3339
from segue_shared.consumers import deliver_again
from segue_shared.dead import DeadLetters
from segue_shared.delivery import Delivery
from segue_shared.errors import TimedOutError, TransientError
from segue_shared.health import Health
from segue_shared.ids import Ids
from segue_shared.journal import Journal
from segue_shared.metrics import Metrics
from segue_shared.payloads import Payloads
from segue_shared.pinned import OnBatch, PinnedConsumer
from segue_shared.pull import Ack, Handler, Nak, PullLoop, Verdict
from segue_shared.runtime import Runtime
from segue_testing.sim import SimProcess, heartbeat_of

SHARDS: Final = 2
_ACK_WAIT_S: Final = 30
_LATE_MS: Final = 5_000
SETTINGS: Final = Settings(janitor_every_s=10, instance="simulation", pool_windows={})
_METRICS: Final = Metrics("orchestrator")


def runtime_of(name: str, bus: Bus, clock: Clock, ids: Ids) -> Runtime:
    """Return what a simulated service is built on."""
    return Runtime(
        settings=SETTINGS.model_copy(update={"instance": name}),
        bus=bus,
        clock=clock,
        ids=ids,
        metrics=_METRICS,
        health=Health(),
        tasks=BackgroundTasks(),
    )


def _runtime(process: SimProcess) -> Runtime:
    return runtime_of(process.name, process.bus, process.clock, process.ids)


class Build:
    """Makes the processes of a simulation."""

    consumer_type: type[PinnedConsumer] = PinnedConsumer
    engine_type: type[Engine] = Engine
    loader_type: type[Loader] = Loader
    snapshots_type: type[Snapshots] = Snapshots

    def __init__(self, *, sharing: bool = False) -> None:
        self.sharing = sharing
        """Whether orchestrators divide the shard consumers by membership."""
        self.caches: dict[str, list[Cache]] = {}
        """What each orchestrator holds, since its last start."""

    async def prepare(self, process: SimProcess) -> None:
        """Do what comes before anything else of a process."""

    def parts(self, process: SimProcess) -> Parts:
        """Return the orchestrator's parts."""
        return wire(SETTINGS, _runtime(process))

    def engine(self, parts: Parts) -> Engine:
        """Return the engine."""
        ports = parts.engine._ports
        made = ports.loader
        loader = self.loader_type(
            made.journal, made.definitions, made.payloads, made.outputs, made.snapshots
        )
        return self.engine_type(replace(ports, loader=loader))

    def janitor(self, parts: Parts) -> Janitor:
        """Return the janitor."""
        made = parts.snapshots
        parts.janitor._snapshots = self.snapshots_type(made._store, made._payloads, made._outputs)
        return parts.janitor

    def shard(
        self, process: SimProcess, name: str, on_batch: OnBatch, on_takeover: Callable[[], None]
    ) -> PinnedConsumer:
        """Return the loop over a shard consumer."""
        return self.consumer_type(
            process.bus,
            stream=topology.RUNS,
            consumer=name,
            group=topology.PIN_GROUP,
            clock=process.clock,
            on_batch=on_batch,
            on_takeover=on_takeover,
        )

    def takeover(self, cache: Cache) -> Callable[[], None]:
        """Return what is done when a shard has a new owner."""
        return cache.clear

    def outcome_guard(self, attempt: str, subject: str) -> str:
        """Return the group of subjects among which an outcome must be the only one."""
        del subject
        return f"{attempt}.outcome.*"

    # Processes.

    async def orchestrate(self, process: SimProcess) -> None:
        """Run an orchestrator."""
        await self.prepare(process)
        parts = self.parts(process)
        engine = self.engine(parts)
        caches = self.caches[process.name] = []
        await _until_done(lambda: parts.pools.ensure(POOL, "default"))
        timers, intake = topology.TIMER_RELAY, topology.INTAKE_RELAY
        read = partial(self._read, process, engine, caches)
        await asyncio.gather(
            self._share(process, parts, read) if self.sharing else self._all(process, read),
            _pull(process, topology.TIMERS, timers, parts.timers.relay).run(),
            _pull(process, topology.INTAKE, intake, parts.intake.relay).run(),
            self.janitor(parts).run(),
        )

    def _read(
        self, process: SimProcess, engine: Engine, caches: list[Cache], name: str
    ) -> PinnedConsumer:
        caches.append(cache := engine.new_cache())
        return self.shard(process, name, partial(engine.on_batch, cache), self.takeover(cache))

    async def _share(self, process: SimProcess, parts: Parts, read: Read) -> None:
        """Read what membership says is this process's own."""
        shards = Shards(process.bus, members=parts.members, clock=process.clock, read=read)
        await asyncio.gather(parts.members.run(), shards.run())

    async def _all(self, process: SimProcess, read: Read) -> None:
        """Read every shard consumer, as all other orchestrators do; the broker lets one."""
        for consumer in topology.shard_consumers(SHARDS):
            with suppress(TimedOutError):
                await deliver_again(process.bus, stream=topology.RUNS, consumer=consumer.name)
        names = [consumer.name for consumer in topology.shard_consumers(SHARDS)]
        await asyncio.gather(*(read(name).run() for name in names))

    async def work(self, process: SimProcess) -> None:
        """Run a worker."""
        await self.prepare(process)
        name = topology.pool_consumer(POOL).name
        worker = Worker(process, self.outcome_guard)
        await _pull(process, topology.RUNS, name, worker.handle).run()


async def _until_done(call: Callable[[], Awaitable[object]]) -> None:
    while True:
        with suppress(TransientError):
            await call()
            return
        await asyncio.sleep(1)


def _pull(process: SimProcess, stream: str, consumer: str, handler: Handler) -> PullLoop:
    bus = process.bus
    dead = DeadLetters(bus, service="tests", clock=process.clock, framer=dead_letter)
    loop = PullLoop(
        bus,
        stream=stream,
        consumer=consumer,
        handler=handler,
        dead_letters=dead,
        concurrency=16,
        ack_wait_s=_ACK_WAIT_S,
    )
    # A real one beats from a thread.
    loop._heartbeat = heartbeat_of(bus, ack_wait_s=_ACK_WAIT_S)  # type: ignore[assignment]
    return loop


class Worker:
    """A worker that does what a task says, and what nobody wants as long as faults last."""

    def __init__(self, process: SimProcess, guard: Callable[[str, str], str]) -> None:
        self._process = process
        self._bus: Bus = process.bus
        self._clock: Clock = process.clock
        self._random: Random = process.server.faults.random
        self._payloads = Payloads(process.bus, topology.PAYLOADS)
        self._guard = guard

    @property
    def _is_odd(self) -> bool:
        """Whether this time something is done that nobody wants."""
        return self._process.server.faults.plan.crash > 0 and self._random.random() < 0.1

    async def handle(self, delivery: Delivery) -> Verdict:
        """Do a task."""
        task = decode_body(decode_event(delivery.data).data, StepScheduled)
        if (early_ms := task.not_before_ms - self._clock.now_ms()) > 0:
            return Nak(early_ms / 1000)
        attempt = subjects.task_prefix(delivery.subject)
        if await self._is_pointless(delivery, task, attempt):
            return Ack()
        if self._is_odd:
            return await self._misbehave(delivery, task, attempt)
        await self._clock.sleep(self._random.choice([0, 0, 0.2, 1.5]))
        if task.start_to_close_ms or task.heartbeat_ms:
            await self._tell(task, f"{attempt}.started", StepStarted(worker="w"))
        await self._settle(task, attempt, await self._outcome(task))
        return Ack()

    async def _is_pointless(self, delivery: Delivery, task: StepScheduled, attempt: str) -> bool:
        """Look, before late work, whether it is settled."""
        if delivery.delivered == 1 and self._clock.now_ms() - delivery.time_ms < _LATE_MS:
            return False
        ended = subjects.run_event(task.namespace, task.run, "ended")
        return bool(await Journal(self._bus, topology.RUNS).last([f"{attempt}.outcome.*", ended]))

    async def _misbehave(self, delivery: Delivery, task: StepScheduled, attempt: str) -> Verdict:
        match self._random.randrange(5):
            case 0:  # nobody ever hears of it
                return Ack()
            case 1:
                await self._tell(task, f"{attempt}.started", StepStarted(worker="w"))
                self._process._crash()
                return Ack()
            case 2:  # too late, perhaps
                await self._tell(task, f"{attempt}.started", StepStarted(worker="w"))
                await self._clock.sleep(self._random.uniform(5, 60))
                await self._tell(task, f"{attempt}.beat.1", StepBeat(worker="w"))
                await self._settle(task, attempt, await self._outcome(task))
                return Ack()
            case 3:  # two that contradict each other
                good = await self._outcome(task)
                bad = StepFailed(error=Failure(code="contradiction", message="no"))
                outcomes = [good, bad] if self._random.random() < 0.5 else [bad, good]
                for outcome in outcomes:
                    await self._settle(task, attempt, outcome)
                return Ack()
            case _:  # given back though it was done
                await self._settle(task, attempt, await self._outcome(task))
                return Nak(1)

    async def _outcome(self, task: StepScheduled) -> StepCompleted | StepFailed:
        given: Any = await self._payloads.unwrap(task.input)
        do = given.get("do", {})
        usage = UsageTotals(input_tokens=1)
        if is_doomed(given):
            error = Failure(code="doomed", message="it never succeeds", retryable=False)
            return StepFailed(error=error, usage=usage)
        if task.attempt <= do.get("fails", 0):
            return StepFailed(error=Failure(code="flaky", message="not yet"), usage=usage)
        output = answer(task.step, given)
        if task.attempt <= do.get("fails", 0) + do.get("bad", 0):
            output = {"wrong": output["digest"]}
        return StepCompleted(output=await self._payloads.wrap(output), usage=usage)

    async def _settle(
        self, task: StepScheduled, attempt: str, outcome: StepCompleted | StepFailed
    ) -> None:
        subject = f"{attempt}.outcome.{OUTCOME_OF[type(outcome)]}"
        await self._tell(task, subject, outcome, guard=self._guard(attempt, subject))

    async def _tell(
        self, task: StepScheduled, subject: str, body: Message, *, guard: str = ""
    ) -> None:
        time = rfc3339(self._clock.now_ms())
        about = f"{task.run}/{task.step}"
        data = frame(body, subject=subject, source="tests/worker", about=about, time=time)
        await self._bus.create(subject, data, guard=guard)
