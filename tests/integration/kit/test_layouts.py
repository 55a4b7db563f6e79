"""Layouts on a real broker: does a change of the number of consumers lose nothing?"""

import asyncio
from collections.abc import AsyncIterator, Callable

import msgspec
import pytest
from nats.aio.msg import Msg

from segue_contracts.topology import Bucket, Consumer, Layout, Stream, Topology
from segue_shared.bootstrap import apply
from segue_shared.bus import Bus, Stored
from segue_shared.consumers import api, ensure_consumer
from segue_shared.errors import ConflictError, InvalidMessageError, SegueError
from segue_shared.keyvalue import KeyValue
from segue_shared.layouts import apply_layout, stored_count
from segue_shared.puller import Puller
from segue_testing.broker import Broker

FILTERS = tuple(f"s.{number}.>" for number in range(8))
WHOLE = Consumer(stream="S", name="reader", filters=FILTERS, ack_policy="all")
LAYOUT = Layout(whole=WHOLE, bucket="LAYOUTS", default=4)
STREAM = Stream(name="S", description="", subjects=("s.>",))
BUCKET = Bucket(name="LAYOUTS", description="")


def of(count: int) -> Layout:
    """Return the layout of a number of consumers."""
    return msgspec.structs.replace(LAYOUT, count=count)


class CutError(SegueError):
    """The connection was cut on purpose."""


class CutBus(Bus):
    """A connection that ends after some requests to JetStream."""

    def __init__(self, inner: Bus, requests: int) -> None:
        super().__init__()
        self._inner = inner
        self._left = requests

    async def request(self, subject: str, data: bytes, *, timeout_s: float = 5) -> bytes:
        self._cut()
        return await self._inner.request(subject, data, timeout_s=timeout_s)

    async def exchange(
        self,
        subject: str,
        data: bytes,
        *,
        timeout_s: float = 5,
        headers: dict[str, str] | None = None,
        done: Callable[[Msg], bool] | None = None,
    ) -> list[Msg]:
        self._cut()
        return await self._inner.exchange(
            subject, data, timeout_s=timeout_s, headers=headers, done=done
        )

    async def store(self, subject: str, data: bytes, *, headers: dict[str, str] | None) -> Stored:
        self._cut()
        return await self._inner.store(subject, data, headers=headers)

    def _cut(self) -> None:
        if not self._left:
            raise CutError("cut")
        self._left -= 1


@pytest.fixture
async def fresh(fresh_broker: Broker) -> AsyncIterator[Bus]:
    """A connection to a broker with one stream and the bucket of layouts."""
    bus = await Bus.connect(fresh_broker.url, name="test", max_wait_s=10)
    await apply(bus, bare())
    yield bus
    await bus.close()


def bare(*layouts: Layout) -> Topology:
    """Return a topology of the stream, the bucket and these layouts."""
    consumers = tuple(c for layout in layouts for c in layout.consumers(layout.default))
    return Topology(
        streams=(STREAM,),
        buckets=(BUCKET,),
        object_buckets=(),
        consumers=consumers,
        access=(),
        layouts=layouts,
    )


async def names(bus: Bus) -> list[str]:
    """Return the names of all consumers of the stream."""
    return sorted((await api(bus, "CONSUMER.NAMES.S"))["consumers"] or ())


def names_of(count: int) -> list[str]:
    """Return the names that a layout of a number has."""
    return [consumer.name for consumer in LAYOUT.consumers(count)]


async def fill(bus: Bus, rounds: int, *, filters: tuple[int, ...] = tuple(range(8))) -> None:
    """Store messages for filters, in turn."""
    for number in range(rounds):
        await asyncio.gather(*(bus.append(f"s.{filter_}.x", b"%d" % number) for filter_ in filters))


async def read(bus: Bus, consumer: str, *, most: int = 20_000, settle: bool = True) -> list[int]:
    """Return the sequences that a consumer has now, and settle them."""
    info = await api(bus, f"CONSUMER.INFO.S.{consumer}")
    wanted = min(most, info["num_pending"] + info["num_ack_pending"])
    puller = Puller(bus, stream="S", consumer=consumer)
    await puller.open()
    sequences: list[int] = []
    while len(sequences) < wanted:
        for message in (await puller.next(wanted))[: wanted - len(sequences)]:
            sequences.append(int(message.reply.split(".")[5]))
            if settle and len(sequences) == wanted:
                await bus.exchange(message.reply, b"")
    await puller.close()
    return sequences


async def read_all(bus: Bus, count: int) -> set[int]:
    """Return the sequences that the consumers of a layout have now."""
    return {sequence for name in names_of(count) for sequence in await read(bus, name)}


async def test_a_fresh_broker_gets_the_default_number(fresh: Bus) -> None:
    """The bootstrap stores it, and applying again changes nothing."""
    changes = await apply(fresh, bare(LAYOUT))

    assert await stored_count(fresh, LAYOUT) == 4
    assert await names(fresh) == names_of(4)
    assert ("layout", "reader", "created") in [(c.kind, c.name, c.action) for c in changes]
    assert await apply(fresh, bare(LAYOUT)) == []


async def test_another_number_takes_the_place_of_the_old_one(fresh: Bus) -> None:
    """Afterwards only its consumers exist, and a bootstrap that names no number keeps it."""
    await apply(fresh, bare(LAYOUT))

    await apply(fresh, bare(of(2)))

    assert await stored_count(fresh, LAYOUT) == 2
    assert await names(fresh) == names_of(2)
    assert await apply(fresh, bare(LAYOUT)) == []


@pytest.mark.parametrize("count", [1, 2, 8])
async def test_new_consumers_have_all_that_the_old_ones_had_not_settled(
    fresh: Bus, count: int
) -> None:
    """However far each of the old ones had come, and little that was settled comes again."""
    await apply_layout(fresh, LAYOUT)
    await fill(fresh, 5)
    settled = set[int]()
    for number, name in enumerate(names_of(4)):
        settled |= {*await read(fresh, name, most=3 * number)}
    handed_out = {*await read(fresh, names_of(4)[3], settle=False)}

    await apply_layout(fresh, of(count))
    received = await read_all(fresh, count)

    assert handed_out <= received
    assert received >= {*range(1, 41)} - settled


async def test_what_was_settled_everywhere_does_not_come_again(fresh: Bus) -> None:
    """A new consumer starts after the lowest floor of those whose filters it has."""
    await apply_layout(fresh, LAYOUT)
    await fill(fresh, 5)
    await read_all(fresh, 4)
    await fill(fresh, 1, filters=(0,))

    await apply_layout(fresh, of(2))

    assert await read_all(fresh, 2) <= {*range(33, 42)}


async def test_a_consumer_without_messages_does_not_hold_the_others_back(fresh: Bus) -> None:
    """Where nothing came for long, the stream itself is asked what there is."""
    await apply_layout(fresh, LAYOUT)
    await fill(fresh, 1_300, filters=(0,) * 8)
    await read(fresh, names_of(4)[0])
    await fill(fresh, 1, filters=(7,))

    await apply_layout(fresh, of(1))

    assert await read(fresh, names_of(1)[0]) == [10_401]


async def test_an_interrupted_change_is_finished_by_the_next_one(fresh: Bus) -> None:
    """Cut after any request, applying again ends with the new consumers and loses nothing."""
    await apply_layout(fresh, LAYOUT)
    await fill(fresh, 2)
    unsettled, cuts, number = {*range(1, 17)}, 0, 2
    while True:
        try:
            await apply_layout(CutBus(fresh, cuts), of(number))
        except CutError:
            await apply_layout(fresh, of(number))
        else:
            break
        assert await names(fresh) == names_of(number)
        infos = [await api(fresh, f"CONSUMER.INFO.S.{name}") for name in names_of(number)]
        assert sum(info["num_pending"] for info in infos) == len(unsettled)
        cuts, number = cuts + 1, 4 if number == 2 else 2

    assert cuts > 10
    assert await read_all(fresh, number) == unsettled


async def test_a_change_of_mind_in_the_middle_leaves_nothing_behind(fresh: Bus) -> None:
    """Applying the old number after an interrupted change removes what that had made."""
    await apply_layout(fresh, LAYOUT)
    await fill(fresh, 2)
    with pytest.raises(CutError):
        await apply_layout(CutBus(fresh, 6), of(8))
    before = await names(fresh)

    await apply_layout(fresh, LAYOUT)

    assert {*before} > {*names_of(4)}
    assert await names(fresh) == names_of(4)
    assert await read_all(fresh, 4) == {*range(1, 17)}


async def test_consumers_named_without_their_number_are_replaced(fresh: Bus) -> None:
    """They vouch for what they settled as any others do."""
    for consumer in LAYOUT.consumers(2):
        old = msgspec.structs.replace(consumer, name=f"reader_{consumer.name[-2:]}")
        await ensure_consumer(fresh, old)
    await fill(fresh, 2)
    settled = {*await read(fresh, "reader_00")}

    await apply_layout(fresh, LAYOUT)

    assert await names(fresh) == names_of(4)
    assert await read_all(fresh, 4) == {*range(1, 17)} - settled


async def test_a_lost_number_loses_no_messages(fresh: Bus) -> None:
    """A broker restored without the bucket gets the default number, from where readers were."""
    await apply_layout(fresh, of(2))
    await fill(fresh, 2)
    await read(fresh, names_of(2)[0])
    await KeyValue(fresh, "LAYOUTS").delete("reader")

    await apply_layout(fresh, LAYOUT)

    assert await names(fresh) == names_of(4)
    assert {s for name in names_of(4)[2:] for s in await read(fresh, name)} == {
        seq for seq in range(1, 17) if (seq - 1) % 8 >= 4
    }


async def test_a_number_that_cannot_be_read_is_named_and_can_be_replaced(fresh: Bus) -> None:
    """The error says where it is and what helps."""
    await KeyValue(fresh, "LAYOUTS").put("reader", b'{"count": 9}')

    with pytest.raises(InvalidMessageError, match=r"key reader of bucket LAYOUTS.*1 to 8, not 9"):
        await apply_layout(fresh, LAYOUT)
    await apply_layout(fresh, of(2))

    assert await stored_count(fresh, LAYOUT) == 2


async def test_of_two_changes_at_once_one_is_told(fresh: Bus) -> None:
    """The numbers of both are never mixed: applying again ends with one of them."""
    await apply_layout(fresh, LAYOUT)
    await fill(fresh, 1)

    results = await asyncio.gather(
        apply_layout(fresh, of(2)), apply_layout(fresh, of(8)), return_exceptions=True
    )
    await apply_layout(fresh, LAYOUT)
    count = await stored_count(fresh, LAYOUT)

    assert any(isinstance(result, ConflictError) for result in results)
    assert count in {2, 8}
    assert await names(fresh) == names_of(count)
    assert await read_all(fresh, count) == {*range(1, 9)}
