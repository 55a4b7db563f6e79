"""The floor: how fast is a bare loop with the engine's message pattern?

Two durable writes and their deliveries per step, one deciding process, one worker process, nats-py
and uvloop; no validation, no state to speak of, no guards.
"""

import asyncio
import sys
import time
from typing import Final

import msgspec
import nats
import uvloop
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import ConsumerConfig, PubAck, RetentionPolicy, StreamConfig

_READY: Final = "floor.ready"
_PENDING: Final = 64 * 1024 * 1024


class Event(msgspec.Struct):
    """A bare event; it carries the run's shape along, so that deciding needs no state."""

    run: str
    type: str
    steps: int
    wide: bool = False
    """Whether all steps go on at once, instead of one after the other."""
    key: int = 0
    data: str = ""


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Event).decode


async def _connect(url: str) -> tuple[Client, JetStreamContext]:
    client = await nats.connect(url.split(","), pending_size=_PENDING)
    return client, client.jetstream(publish_async_max_pending=4000)


async def setup(url: str, *, replicas: int = 1) -> None:
    """Make the floor's streams."""
    client, js = await _connect(url)
    await js.add_stream(StreamConfig(name="FLOOR_RUN", subjects=["frun.>"], num_replicas=replicas))
    await js.add_stream(
        StreamConfig(
            name="FLOOR_TASK",
            subjects=["ftask.>"],
            retention=RetentionPolicy.WORK_QUEUE,
            num_replicas=replicas,
        )
    )
    await client.close()


class _Decider:
    """Schedules what follows each event."""

    def __init__(self, js: JetStreamContext) -> None:
        self._js = js
        self._left: dict[str, int] = {}

    async def on_event(self, message: Msg) -> None:
        """Publish the next task, all tasks, or the end."""
        event = _decode(message.data)
        if event.type == "ended":
            return
        if event.wide:
            await self._widen(event)
            return
        key = event.key + 1 if event.type == "completed" else 0
        await (self._end(event) if key == event.steps else self._task(event, key))

    async def _widen(self, event: Event) -> None:
        if event.type == "started":
            self._left[event.run] = event.steps
            for key in range(event.steps):
                await self._task(event, key)
            return
        self._left[event.run] -= 1
        if not self._left[event.run]:
            del self._left[event.run]
            await self._end(event)

    async def _task(self, event: Event, key: int) -> None:
        task = Event(event.run, "task", event.steps, event.wide, key)
        await self._js.publish_async(f"ftask.{event.run}.{key}", _encode(task))

    async def _end(self, event: Event) -> None:
        ended = Event(event.run, "ended", event.steps)
        await self._js.publish_async(f"frun.{event.run}.ended", _encode(ended))


async def decider(url: str) -> None:
    """Schedule the next step of each run until stopped."""
    client, js = await _connect(url)
    await js.subscribe("frun.>", cb=_Decider(js).on_event, ordered_consumer=True)
    await _serve_ready(client)


async def worker(url: str) -> None:
    """Complete tasks until stopped."""
    client, js = await _connect(url)
    config = ConsumerConfig(max_ack_pending=5000, ack_wait=30)
    subscription = await js.pull_subscribe("ftask.>", durable="floor", config=config)
    acks: set[asyncio.Task[None]] = set()
    ready = asyncio.create_task(_serve_ready(client))
    while not ready.done():
        try:
            messages = await subscription.fetch(100, timeout=1)
        except TimeoutError:
            continue
        for message in messages:
            event = _decode(message.data)
            done = Event(event.run, "completed", event.steps, event.wide, event.key, "x" * 100)
            stored = await js.publish_async(f"frun.{event.run}.{event.key}.done", _encode(done))
            task = asyncio.create_task(_ack_when(stored, message))
            acks.add(task)
            task.add_done_callback(acks.discard)


async def _ack_when(stored: "asyncio.Future[PubAck]", message: Msg) -> None:
    await stored
    await message.ack()


async def _serve_ready(client: Client) -> None:
    async def answer(message: Msg) -> None:
        await message.respond(b"ready")

    await client.subscribe(f"{_READY}.{sys.argv[1]}", cb=answer)
    await asyncio.Event().wait()


async def wait_ready(client: Client, subject: str) -> None:
    """Wait until somebody answers on a subject.

    Raises:
        TimeoutError: Nobody does within 20 s.
    """
    async with asyncio.timeout(20):
        while True:
            try:
                await client.request(subject, b"", timeout=0.5)
            except (nats.errors.NoRespondersError, nats.errors.TimeoutError):
                await asyncio.sleep(0.05)
            else:
                return


async def measure(url: str, *, runs: int, in_flight: int, steps: int, wide: bool = False) -> float:
    """Return the seconds that some runs take.

    Args:
        url: The broker.
        runs: How many runs.
        in_flight: How many of them at once.
        steps: Steps of each.
        wide: Whether a run's steps go on at once, instead of one after the other.
    """
    client, js = await _connect(url)
    for role in ("decider", "worker"):
        await wait_ready(client, f"{_READY}.{role}")
    room, done, left = asyncio.Semaphore(in_flight), asyncio.Event(), runs

    async def on_end(_message: Msg) -> None:
        nonlocal left
        left -= 1
        room.release()
        if not left:
            done.set()

    await client.subscribe("frun.*.ended", cb=on_end)
    await client.flush()
    mark = time.monotonic_ns()
    begin = time.perf_counter()
    for number in range(runs):
        await room.acquire()
        run = f"r{mark}x{number}"
        started = Event(run, "started", steps, wide)
        await js.publish_async(f"frun.{run}.started", _encode(started))
    await done.wait()
    seconds = time.perf_counter() - begin
    await client.close()
    return seconds


if __name__ == "__main__":
    uvloop.run({"decider": decider, "worker": worker}[sys.argv[1]](sys.argv[2]))
