"""Pull loops on a real broker: is every task done once, or given back?"""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import msgspec
import pytest
import structlog.testing
from support.wait import PATIENCE_S, until

from segue_contracts.topology import Consumer
from segue_contracts.v1 import subjects
from segue_contracts.v1.dead import dead_letter
from segue_contracts.v1.topology import DEAD, RUNS, topology
from segue_shared.bootstrap import apply, ensure_consumer
from segue_shared.bus import Bus
from segue_shared.clock import SystemClock
from segue_shared.dead import DeadLetters
from segue_shared.delivery import Delivery
from segue_shared.errors import BusUnavailableError, PermanentError, TransientError
from segue_shared.ids import SystemIds
from segue_shared.journal import Journal
from segue_shared.pull import Ack, Dead, Handler, Nak, PullLoop, Verdict
from segue_testing.binary import BinaryBroker
from segue_testing.broker import Broker

ACK_WAIT_S = 1.0


@pytest.fixture
async def tasks(bus: Bus) -> Consumer:
    """A fresh durable over the tasks of a pool of this test alone."""
    pool = SystemIds().unique()
    consumer = Consumer(
        stream=RUNS,
        name=f"pool_{pool}",
        filters=(subjects.pool_filter(pool, "*"),),
        ack_wait_s=ACK_WAIT_S,
        deliver_new=True,
    )
    await ensure_consumer(bus, consumer)
    return consumer


async def test_who_makes_a_consumer_second_takes_the_one_that_is_there(bus: Bus) -> None:
    """Several begin at once, each from the end of the stream as it saw it; one wins."""
    name = f"pool_{SystemIds().unique()}"
    consumers = [
        Consumer(stream=RUNS, name=name, filters=("segue.v1.a.run.>",), start_sequence=1 + number)
        for number in range(3)
    ]

    changes = await asyncio.gather(*(ensure_consumer(bus, one) for one in consumers))

    assert sorted(map(len, changes)) == [0, 0, 1]


async def publish_tasks(bus: Bus, consumer: Consumer, count: int) -> None:
    """Dispatch `count` tasks of one run to the consumer's pool."""
    prefix = subjects.run_prefix("default", SystemIds().run_id(0))
    pool = consumer.name.removeprefix("pool_")
    for number in range(count):
        subject = subjects.scheduled(prefix, f"s{number}", 1, pool=pool, priority="p2")
        await bus.create(subject, str(number).encode())


@asynccontextmanager
async def working(
    bus: Bus, consumer: Consumer, handler: Handler, *, concurrency: int = 4
) -> AsyncIterator[PullLoop]:
    """Run a pull loop for the length of a block."""
    loop = PullLoop(
        bus,
        stream=consumer.stream,
        consumer=consumer.name,
        handler=handler,
        dead_letters=DeadLetters(bus, service="tests", clock=SystemClock(), framer=dead_letter),
        concurrency=concurrency,
        ack_wait_s=ACK_WAIT_S,
    )
    task = asyncio.create_task(loop.run())
    try:
        yield loop
    finally:
        await loop.stop(0.1)
        with suppress(asyncio.CancelledError):
            await task


async def is_settled(bus: Bus, consumer: Consumer) -> bool:
    """Tell whether the consumer waits for nothing."""
    subject = f"$JS.API.CONSUMER.INFO.{consumer.stream}.{consumer.name}"
    info = msgspec.json.decode(await bus.request(subject, b""))
    return not info["num_ack_pending"] and not info["num_pending"]


async def settled(bus: Bus, consumer: Consumer) -> None:
    """Wait until the consumer has nothing left."""
    await until(lambda: is_settled(bus, consumer))


async def test_every_task_is_handled_and_settled(bus: Bus, tasks: Consumer) -> None:
    """A loop takes all tasks, each once, and leaves none unsettled."""
    seen: list[bytes] = []

    async def handler(delivery: Delivery) -> Verdict:
        seen.append(delivery.data)
        return Ack()

    await publish_tasks(bus, tasks, 50)
    async with working(bus, tasks, handler):
        await settled(bus, tasks)

    assert sorted(seen) == sorted(str(n).encode() for n in range(50))


async def test_concurrency_is_bounded(bus: Bus, tasks: Consumer) -> None:
    """Never are more tasks worked on at once than allowed, and as many when there is work."""
    running, most, full = 0, 0, asyncio.Event()

    async def handler(_delivery: Delivery) -> Verdict:
        nonlocal running, most
        running += 1
        most = max(most, running)
        if running == 3:
            full.set()
        await full.wait()
        running -= 1
        return Ack()

    await publish_tasks(bus, tasks, 40)
    async with working(bus, tasks, handler, concurrency=3):
        await settled(bus, tasks)

    assert most == 3


async def test_a_handler_that_blocks_the_event_loop_keeps_its_task(
    bus: Bus, tasks: Consumer, broker: Broker
) -> None:
    """More time is asked for from outside, so a long task is not handed out twice."""
    deliveries: list[int] = []
    never = threading.Event()

    async def handler(delivery: Delivery) -> Verdict:
        deliveries.append(delivery.delivered)
        never.wait(timeout=3 * ACK_WAIT_S)  # blocks the whole loop, as bad user code does
        return Ack()

    await publish_tasks(bus, tasks, 1)
    async with working(bus, tasks, handler):
        await settled(bus, tasks)

    assert deliveries == [1]


async def test_a_transient_error_gives_the_task_back(bus: Bus, tasks: Consumer) -> None:
    """What retrying may help is handed out again until it works."""
    attempts: list[int] = []

    async def handler(delivery: Delivery) -> Verdict:
        attempts.append(delivery.delivered)
        if delivery.delivered < 3:
            raise TransientError("not yet")
        return Ack()

    await publish_tasks(bus, tasks, 1)
    async with working(bus, tasks, handler):
        await settled(bus, tasks)

    assert attempts == [1, 2, 3]


async def test_an_unexpected_error_gives_the_task_back(bus: Bus, tasks: Consumer) -> None:
    """A bug in a handler neither loses the task nor ends the loop."""
    attempts: list[int] = []

    async def handler(delivery: Delivery) -> Verdict:
        attempts.append(delivery.delivered)
        if delivery.delivered == 1:
            raise ZeroDivisionError
        return Ack()

    await publish_tasks(bus, tasks, 1)
    async with working(bus, tasks, handler):
        await settled(bus, tasks)

    assert attempts == [1, 2]


async def test_a_letter_that_cannot_be_kept_is_logged_and_its_task_comes_again(
    bus: Bus, tasks: Consumer
) -> None:
    """Nothing is settled that was not kept."""
    deliveries: list[int] = []

    async def handler(delivery: Delivery) -> Verdict:
        deliveries.append(delivery.delivered)
        return Dead("unhandled" if len(deliveries) > 1 else "no token", "cannot be")

    await publish_tasks(bus, tasks, 1)
    with structlog.testing.capture_logs() as logged:
        async with working(bus, tasks, handler):
            await settled(bus, tasks)

    assert deliveries == [1, 2]
    assert "task_not_settled" in [line["event"] for line in logged]


@pytest.mark.parametrize("how", ["verdict", "error"])
async def test_what_nobody_can_handle_goes_to_the_dead_letters(
    bus: Bus, tasks: Consumer, how: str
) -> None:
    """A dead task is kept whole with its reason, and is not handed out again."""

    async def handler(_delivery: Delivery) -> Verdict:
        if how == "error":
            raise PermanentError("cannot be")
        return Dead("unhandled", "cannot be")

    await publish_tasks(bus, tasks, 1)
    async with working(bus, tasks, handler):
        await settled(bus, tasks)

    pool = tasks.name.removeprefix("pool_")
    letters = await Journal(bus, DEAD).after("segue.v1.default.dead.tests.unhandled", 0)
    bodies = [msgspec.json.decode(letter.data)["data"] for letter in letters]
    [body] = [b for b in bodies if pool in b["subject"]]
    assert body["detail"] == "cannot be"
    assert body["dataB64"] == "MA=="


async def test_a_delay_is_kept_by_the_broker(bus: Bus, tasks: Consumer) -> None:
    """A task given back with a delay comes again, not before it."""
    times: list[float] = []

    async def handler(delivery: Delivery) -> Verdict:
        times.append(asyncio.get_running_loop().time())
        return Nak(0.3) if delivery.delivered == 1 else Ack()

    await publish_tasks(bus, tasks, 1)
    async with working(bus, tasks, handler):
        await settled(bus, tasks)

    assert times[1] - times[0] >= 0.29


async def test_stopping_gives_back_what_did_not_finish(bus: Bus, tasks: Consumer) -> None:
    """A drained worker's tasks go to another at once, not after the ack wait."""
    begun = asyncio.Event()

    async def stuck(_delivery: Delivery) -> Verdict:
        begun.set()
        await asyncio.Event().wait()
        return Ack()

    async def handler(_delivery: Delivery) -> Verdict:
        return Ack()

    await publish_tasks(bus, tasks, 1)
    async with working(bus, tasks, stuck):
        async with asyncio.timeout(PATIENCE_S):
            await begun.wait()
    async with working(bus, tasks, handler), asyncio.timeout(ACK_WAIT_S * 0.9):
        await settled(bus, tasks)


async def test_a_loop_goes_on_after_the_broker_was_killed(
    bus: Bus, tasks: Consumer, broker: Broker
) -> None:
    """A loop pulls again by itself once the broker is back."""
    seen: list[bytes] = []

    async def handler(delivery: Delivery) -> Verdict:
        seen.append(delivery.data)
        return Ack()

    async with working(bus, tasks, handler):
        await asyncio.to_thread(broker.kill)
        await asyncio.to_thread(broker.restart)
        await publish_tasks(bus, tasks, 3)
        await settled(bus, tasks)

    assert sorted(set(seen)) == [b"0", b"1", b"2"]


async def test_a_loop_that_was_stopped_before_it_began_never_begins() -> None:
    """A service whose start failed half-way is stopped as a whole; no connection is touched."""
    bus = Bus()
    letters = DeadLetters(bus, service="tests", clock=SystemClock(), framer=dead_letter)

    async def handler(_delivery: Delivery) -> Verdict:
        return Ack()

    loop = PullLoop(
        bus,
        stream=RUNS,
        consumer="pool_x",
        handler=handler,
        dead_letters=letters,
        concurrency=1,
        ack_wait_s=1,
    )
    running = asyncio.create_task(loop.run())

    await loop.stop(0)
    async with asyncio.timeout(PATIENCE_S):
        await running
        await loop.run()
        await loop.stop(0)


async def test_a_consumer_that_the_disk_does_not_take_may_be_asked_for_again(
    fresh_broker: Broker, tmp_path: Path
) -> None:
    """The broker says so with the code of a setting that can never be changed."""
    if not isinstance(fresh_broker, BinaryBroker):
        pytest.skip("the broker's files lie in its container")
    bus = await Bus.connect(fresh_broker.url, name="test", max_wait_s=10)
    await apply(bus, topology())
    [stored] = await asyncio.to_thread(lambda: [*tmp_path.rglob(f"{RUNS}/obs")])
    in_the_way = stored / "pool_x"
    in_the_way.touch()
    consumer = Consumer(stream=RUNS, name="pool_x", filters=("segue.v1.x.run.>",))
    with pytest.raises(BusUnavailableError, match="10012"):
        await ensure_consumer(bus, consumer)

    in_the_way.unlink()
    [change] = await ensure_consumer(bus, consumer)
    with pytest.raises(PermanentError, match="10012"):
        await ensure_consumer(bus, msgspec.structs.replace(consumer, ack_policy="all"))

    assert change.action == "created"
    await bus.close()
