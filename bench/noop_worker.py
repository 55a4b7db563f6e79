"""The no-op worker: who completes the benchmark's steps, with 100 bytes each?"""

import asyncio
import sys
from typing import Final

import msgspec
import uvloop

from segue_contracts.envelope import decode_event
from segue_contracts.payload import Value
from segue_contracts.v1 import subjects
from segue_contracts.v1.commands import EnsurePool, PoolReady
from segue_contracts.v1.dead import dead_letter
from segue_contracts.v1.events import frame
from segue_contracts.v1.steps import StepCompleted, StepScheduled
from segue_shared.bus import Bus
from segue_shared.clock import SystemClock, rfc3339
from segue_shared.dead import DeadLetters
from segue_shared.delivery import Delivery
from segue_shared.errors import TransientError
from segue_shared.pull import Ack, PullLoop, Verdict

POOL: Final = "noop"
_OUTPUT: Final = StepCompleted(output=Value(inline={"text": "x" * 88}))
_task = msgspec.json.Decoder(StepScheduled)


async def main(url: str, pause_s: float = 0) -> None:
    """Work until stopped.

    Args:
        url: The broker.
        pause_s: How long each step takes.
    """
    bus, clock = await Bus.connect(url, name="noop"), SystemClock()
    ready = await _ensure_pool(bus)

    async def complete(delivery: Delivery) -> Verdict:
        event = decode_event(delivery.data)
        task = _task.decode(event.data)
        if pause_s:
            await asyncio.sleep(pause_s)
        attempt = subjects.task_prefix(delivery.subject)
        target = f"{attempt}.outcome.completed"
        data = frame(
            _OUTPUT,
            subject=target,
            source="noop",
            about=f"{task.run}/{task.step}",
            time=rfc3339(clock.now_ms()),
        )
        await bus.create(target, data, guard=f"{attempt}.outcome.*")
        return Ack()

    loop = PullLoop(
        bus,
        stream=ready.stream,
        consumer=ready.consumer,
        handler=complete,
        dead_letters=DeadLetters(bus, service="noop", clock=clock, framer=dead_letter),
        concurrency=400,
        ack_wait_s=ready.ack_wait_s,
    )
    await loop.run()


async def _ensure_pool(bus: Bus) -> PoolReady:
    subject = subjects.command("default", "orchestrator", "pool_ensure")
    while True:
        try:
            return await bus.call(subject, EnsurePool(pool=POOL), PoolReady)
        except TransientError:
            await asyncio.sleep(0.1)


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], *map(float, sys.argv[2:])))
