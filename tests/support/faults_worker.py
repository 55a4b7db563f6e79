"""A worker as a process: what do the steps of a test under faults do?

Run as `python -m support.faults_worker`. It does what the input of its tasks asks for: to take some
time, to fail at first, to return much, or to publish more than a message may hold.
"""

import asyncio
from typing import Any, Final

import msgspec
from support.faults_parts import POOL

from segue_contracts.envelope import Message
from segue_contracts.payload import Value
from segue_contracts.v1 import subjects, topology
from segue_contracts.v1.service_state import state_event
from segue_contracts.v1.steps import StepCompleted, StepFailed
from segue_contracts.v1.values import Failure, UsageTotals
from segue_shared.journal import Journal
from segue_shared.payloads import Payloads
from segue_shared.service import Requires, Runtime, Vocabulary, run
from segue_shared.settings import ServiceSettings
from segue_worker.cancellations import Cancellations
from segue_worker.pool import Pool
from segue_worker.ports import PayloadStore
from segue_worker.publisher import Publisher
from segue_worker.ticket import Ticket
from segue_worker.worker import Worker

NAME: Final = "faults_worker"
ONE: Final = UsageTotals(input_tokens=1)
"""What every attempt uses, so that what a run used tells how many outcomes counted."""


class Order(msgspec.Struct, frozen=True):
    """What a task asks for."""

    value: Any = None
    """What the output says."""
    ms: int = 0
    """How long it takes."""
    fail: int = 0
    """How many attempts fail first."""
    pad: int = 0
    """How many letters the output holds beside."""
    bare: bool = False
    """Whether the output travels in the event, however large it is."""


class Orders:
    """Does what tasks ask for."""

    def __init__(self, payloads: PayloadStore) -> None:
        self._payloads = payloads

    async def outcome(self, ticket: Ticket) -> Message:
        """Carry an attempt out."""
        given = await self._payloads.unwrap(ticket.task.input)
        order = msgspec.convert(given, Order)
        ticket.spent.usage = ONE
        await asyncio.sleep(order.ms / 1000)
        if ticket.task.attempt <= order.fail:
            failure = Failure(code="broken", message=f"attempt {ticket.task.attempt} is to fail")
            return StepFailed(error=failure, usage=ONE, worker=ticket.worker)
        output = {"value": order.value} | ({"pad": "x" * order.pad} if order.pad else {})
        value = Value(inline=output) if order.bare else await self._payloads.wrap(output)
        return StepCompleted(output=value, usage=ONE, worker=ticket.worker)

    def failure(self, error: Exception) -> Failure:
        """Say what an error means."""
        return Failure(code="worker_failed", message=f"{type(error).__name__}: {error}")


class Service:
    """The pool's worker of one process."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._cancellations = Cancellations()
        worker = Worker(
            Orders(Payloads(runtime.bus, topology.PAYLOADS)),
            runtime=runtime,
            publisher=Publisher(
                runtime.bus, clock=runtime.clock, ids=runtime.ids, source="tests/worker"
            ),
            journal=Journal(runtime.bus, topology.RUNS),
            cancellations=self._cancellations,
            check_s=1,
        )
        self._pool = Pool(runtime, name=POOL, service="tests", worker=worker, concurrency=32)

    async def start(self) -> None:
        """Take tasks as soon as there is a pool."""
        await self._runtime.bus.subscribe(subjects.controls("cancel"), self._cancellations.on_hint)
        self._pool.start()

    async def stop(self) -> None:
        """Finish or give back what runs."""
        await self._pool.stop()


def build(_settings: ServiceSettings, runtime: Runtime) -> Service:
    """Wire the worker."""
    return Service(runtime)


if __name__ == "__main__":
    requires = Requires(streams=(topology.RUNS, topology.DEAD), object_buckets=(topology.PAYLOADS,))
    vocabulary = Vocabulary(template=subjects.template, state_event=state_event)
    raise SystemExit(run(NAME, ServiceSettings, build, requires=requires, vocabulary=vocabulary))
