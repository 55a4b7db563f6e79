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

STEPS: Final = 5
_READY: Final = "floor.ready"
_PENDING: Final = 64 * 1024 * 1024


class Event(msgspec.Struct):
    """A bare event."""

    run: str
    type: str
    key: int = 0
    data: str = ""


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Event).decode


async def _connect(url: str) -> tuple[Client, JetStreamContext]:
    client = await nats.connect(url, pending_size=_PENDING)
    return client, client.jetstream(publish_async_max_pending=4000)


async def setup(url: str) -> None:
    """Make the floor's streams."""
    client, js = await _connect(url)
    await js.add_stream(StreamConfig(name="FLOOR_RUN", subjects=["frun.>"]))
    await js.add_stream(
        StreamConfig(name="FLOOR_TASK", subjects=["ftask.>"], retention=RetentionPolicy.WORK_QUEUE)
    )
    await client.close()


async def decider(url: str) -> None:
    """Schedule the next step of each run until stopped."""
    client, js = await _connect(url)

    async def on_event(message: Msg) -> None:
        event = _decode(message.data)
        if event.type == "ended":
            return
        key = event.key + 1 if event.type == "completed" else 0
        if key == STEPS:
            await js.publish_async(f"frun.{event.run}.ended", _encode(Event(event.run, "ended")))
        else:
            task = Event(event.run, "task", key)
            await js.publish_async(f"ftask.{event.run}.{key}", _encode(task))

    await js.subscribe("frun.>", cb=on_event, ordered_consumer=True)
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
            done = Event(event.run, "completed", event.key, "x" * 100)
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


async def measure(url: str, *, runs: int, in_flight: int) -> float:
    """Return the seconds that `runs` runs take with `in_flight` of them at once."""
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
        await js.publish_async(f"frun.{run}.started", _encode(Event(run, "started")))
    await done.wait()
    seconds = time.perf_counter() - begin
    await client.close()
    return seconds


if __name__ == "__main__":
    uvloop.run({"decider": decider, "worker": worker}[sys.argv[1]](sys.argv[2]))
