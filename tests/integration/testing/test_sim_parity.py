"""Parity: does the simulated broker answer as the real one does?"""

import asyncio
from typing import Final

import pytest
from integration.testing.parity_world import (
    RUN,
    PullClient,
    Script,
    api,
    ask,
    ask_all,
    is_settled,
    on_the_real_broker,
    on_the_simulated_broker,
    until_waiting,
)
from msgspec.structs import replace
from nats.aio.msg import Msg
from support.wait import PATIENCE_S, until

from segue_contracts.topology import Consumer
from segue_contracts.v1.topology import MEMBERS, PAYLOADS, PIN_GROUP, RUN_KEYS, RUNS, TIMERS
from segue_shared.bootstrap import ensure_consumer
from segue_shared.bus import Bus, Handler
from segue_shared.clock import Clock, rfc3339
from segue_shared.errors import BusUnavailableError, TimedOutError
from segue_shared.journal import Journal
from segue_shared.keyvalue import KeyValue
from segue_shared.payloads import Payloads
from segue_shared.schedules import cancel, schedule
from segue_testing.broker import Broker

EXPECTED: Final = "Nats-Expected-Last-Subject-Sequence"
GUARD: Final = f"{EXPECTED}-Subject"
READ: Final = f"$JS.API.DIRECT.GET.{RUNS}"
TIMER: Final = "segue.v1.default.timer.00.run1"
FIRED: Final = "segue.v1.default.fired.00.run1"
STATE: Final = (
    "delivered.consumer_seq",
    "delivered.stream_seq",
    "ack_floor.consumer_seq",
    "ack_floor.stream_seq",
    "num_ack_pending",
    "num_redelivered",
    "num_pending",
)
GROUP: Final = {"group": PIN_GROUP}


async def publishing(bus: Bus, _clock: Clock) -> list[object]:
    """Guards, refusals, and answers where nobody listens."""
    seen: list[object] = [
        await ask(bus, f"{RUN}.a", b"x", headers={"Foo": "bar"}),
        await ask(bus, f"{RUN}.a", b"x", headers={EXPECTED: "0"}),
        await ask(bus, f"{RUN}.b", b"x", headers={EXPECTED: "0", GUARD: f"{RUN}.>"}),
        await ask(bus, f"{RUN}.b", b"x", headers={EXPECTED: "1", GUARD: f"{RUN}.>"}),
        await ask(bus, f"{RUN}.b", b"x", headers={EXPECTED: "1", GUARD: f"{RUN}.*"}),
        await ask(bus, f"{RUN}.c", b"x", headers={"Nats-TTL": "1s"}),
        await ask(bus, f"{RUN}.c", b"x", headers={"Nats-Schedule": "@at 2030-01-01T00:00:00Z"}),
    ]
    for subject in ("nobody", "$JS.API.DIRECT.GET.NONE", f"$JS.API.CONSUMER.MSG.NEXT.{RUNS}.none"):
        with pytest.raises(BusUnavailableError):
            await ask(bus, subject, b"{}")
    return seen


async def republishing(bus: Bus, _clock: Clock) -> list[object]:
    """What is stored is sent on, and what is refused is not."""
    heard: list[object] = []

    async def hear(message: Msg) -> None:
        headers = dict(message.headers or {})
        del headers["Nats-Time-Stamp"]
        heard.append((message.subject, headers, message.data))

    await bus.subscribe("segue.v1.*.fact.>", hear)
    for text in (b"1", b"2"):
        await bus.create(f"{RUN}.a", text)
    await bus.append(f"{RUN}.a", b"3", headers={"Foo": "bar"})
    await bus.append(f"{RUN}.b.c", b"4")

    async def has_heard_all() -> bool:
        return len(heard) == 3

    await until(has_heard_all)
    return heard


async def reading(bus: Bus, _clock: Clock) -> list[object]:
    """Direct gets in all forms."""
    for name in ("a", "b", "a", "c.d"):
        await bus.append(f"{RUN}.{name}", name.encode(), headers={"X": name})
    every = f"{RUN}.>"
    return [
        *[await ask(bus, READ, request) for request in ({"seq": 2}, {"seq": 9}, {}, b"", b"{x")],
        await ask(bus, READ, {"last_by_subj": every}),
        await ask(bus, READ, {"seq": 2, "next_by_subj": every}),
        await ask(bus, f"{READ}.{RUN}.a"),
        await ask(bus, f"{READ}.{RUN}.none"),
        await ask_all(bus, READ, {"batch": 2, "seq": 2, "next_by_subj": every}),
        await ask_all(bus, READ, {"batch": 9, "seq": 0, "next_by_subj": f"{RUN}.*"}),
        await ask_all(bus, READ, {"batch": 9, "seq": 5, "next_by_subj": every}),
        await ask_all(bus, READ, {"batch": 2, "multi_last": [every, f"{RUN}.a"]}),
        await ask_all(bus, READ, {"batch": 9, "multi_last": [f"{RUN}.c.d", f"{RUN}.a"]}),
        await ask_all(bus, READ, {"batch": 9, "multi_last": [every], "up_to_seq": 2}),
        await ask_all(bus, READ, {"batch": 9, "multi_last": [f"{RUN}.none"]}),
    ]


async def reading_many(bus: Bus, _clock: Clock) -> list[object]:
    """More subjects than one read allows."""
    for number in range(1024):
        await bus.client.publish(f"{RUN}.signal.{number}", b"x")
    await bus.append(f"{RUN}.signal.1024", b"x")
    refused = await ask_all(bus, READ, {"batch": 1100, "multi_last": [f"{RUN}.>"]})
    paged = await Journal(bus, RUNS).last([f"{RUN}.>"])
    return [refused, len(paged), paged[-1].sequence]


async def forgetting(bus: Bus, _clock: Clock) -> list[object]:
    """Purges by subject, by sequence and with some left, and what the stream says of itself."""
    for number in range(8):
        await bus.append(f"{RUN}.{'ab'[number % 2]}.{number}", b"x")
    keys = ("state.messages", "state.first_seq", "state.last_seq", "state.subjects")
    filtered = {"subjects_filter": f"{RUN}.a.>"}
    return [
        await api(bus, f"STREAM.INFO.{RUNS}", filtered, *keys),
        await api(bus, f"STREAM.PURGE.{RUNS}", {"filter": f"{RUN}.a.>", "keep": 2}, "purged"),
        await api(bus, f"STREAM.INFO.{RUNS}", filtered, *keys),
        await api(bus, f"STREAM.PURGE.{RUNS}", {"seq": 5}, "purged"),
        await api(bus, f"STREAM.INFO.{RUNS}", None, *keys),
        await api(bus, f"STREAM.PURGE.{RUNS}", None, "purged"),
        await api(bus, f"STREAM.INFO.{RUNS}", None, *keys),
        await api(bus, "STREAM.INFO.NONE"),
        await api(bus, "STREAM.PURGE.NONE"),
    ]


async def values(bus: Bus, _clock: Clock) -> list[object]:
    """Keys and objects through the kit's own classes."""
    keys, payloads = KeyValue(bus, RUN_KEYS), Payloads(bus, PAYLOADS)
    first = await keys.create("default.k", b"1")
    seen: list[object] = [first, await keys.create("default.k", b"2"), await keys.get("default.k")]
    seen += [await keys.update("default.k", b"3", 9), await keys.update("default.k", b"3", 1)]
    await keys.delete("default.k")
    seen += [await keys.get("default.k"), await keys.create("default.k", b"4")]
    seen += [await keys.keys("default"), await keys.keys("none")]
    large = await payloads.wrap("x" * 100_000)
    return [*seen, large, await payloads.wrap("x" * 100_000), await payloads.unwrap(large)]


async def lapsing(bus: Bus, _clock: Clock) -> list[object]:
    """Keys with a time to live, and deletions with one, leave a mark."""
    keys = KeyValue(bus, MEMBERS)
    await keys.put("s.a", b"1", ttl_s=1)
    await keys.put("s.b", b"2", ttl_s=60)
    await keys.delete("s.b", ttl_s=60)
    await keys.put("s.c", b"3")
    before = await keys.entries("s")

    async def has_lapsed() -> bool:
        return len(await keys.entries("s")) == 1

    await until(has_lapsed)
    await until(lambda: _holds(bus, 5))
    request = {"batch": 9, "seq": 1, "next_by_subj": f"$KV.{MEMBERS}.>"}
    held = await ask_all(bus, f"$JS.API.DIRECT.GET.KV_{MEMBERS}", request)
    return [before, await keys.entries("s"), held]


async def _holds(bus: Bus, sequence: int) -> bool:
    return await Journal(bus, f"KV_{MEMBERS}").last_sequence() == sequence


async def asking_the_leader(bus: Bus, _clock: Clock) -> list[object]:
    """Single messages and all consumers, page by page."""
    for name in ("a", "b", "a"):
        await bus.append(f"{RUN}.{name}", b"x")
    requests = (
        {"seq": 2},
        {"seq": 4},
        {"seq": 2, "next_by_subj": f"{RUN}.a"},
        {"seq": 4, "next_by_subj": f"{RUN}.>"},
        {"last_by_subj": f"{RUN}.b"},
    )
    parts = ("message.subject", "message.seq", "message.data")
    seen = [await api(bus, f"STREAM.MSG.GET.{RUNS}", one, *parts) for one in requests]
    seen += [await api(bus, "STREAM.MSG.GET.NONE", {"seq": 1})]
    seen += [await api(bus, "CONSUMER.LIST.NONE", {"offset": 0})]
    listed = await api(bus, f"CONSUMER.LIST.{RUNS}", {"offset": 1}, "total", "offset", "limit")
    return [*seen, listed]


async def settling(bus: Bus, _clock: Clock) -> list[object]:
    """Acknowledging, giving back, ending and extending single deliveries."""
    shared = Consumer(stream=RUNS, name="c", filters=(f"{RUN}.>",), ack_wait_s=0.4)
    await ensure_consumer(bus, shared)
    client = await PullClient(bus, "c").open()
    await client.pull(2, no_wait=True)
    await client.pull(2, expires_s=0.1)
    await client.hear(2)
    for number in range(4):
        await bus.append(f"{RUN}.e{number}", b"x")
    await client.pull(4, expires_s=5)
    await client.hear(6)
    await client.say(3, b"+ACK")
    seen = [await api(bus, f"CONSUMER.INFO.{RUNS}.c", None, *STATE)]
    await client.say(2, b"-NAK")
    await client.say(4, b"+TERM")
    await client.say(5, b'-NAK {"delay": 100000000}')
    await client.pull(9, expires_s=0.7)
    # Given back: at once, and after the delay; then both after the ack wait; then the end.
    seen += await client.hear(11)
    await client.say(2, b"+ACK")
    await client.say(5, b"+ACK")
    return [*seen, await api(bus, f"CONSUMER.INFO.{RUNS}.c", None, *STATE)]


async def sharing(bus: Bus, _clock: Clock) -> list[object]:
    """Two clients in turn, one that leaves, and a bound on what is unsettled."""
    shared = Consumer(stream=RUNS, name="c", filters=(f"{RUN}.>",), max_ack_pending=4)
    await ensure_consumer(bus, shared)
    clients = [await PullClient(bus, "c").open() for _ in range(2)]
    for client in clients:
        await client.pull(3, expires_s=5)
    await until_waiting(bus, "c", 2)
    for number in range(6):
        await bus.append(f"{RUN}.e{number}", b"x")
    seen: list[object] = [await client.hear(2) for client in clients]
    seen.append(await api(bus, f"CONSUMER.INFO.{RUNS}.c", None, *STATE, "num_waiting"))
    await clients[0].say(0, b"+ACK")
    await clients[1].say(1, b"")
    seen += [await client.hear(3) for client in clients]
    await clients[0].pull(1, expires_s=5)
    await until_waiting(bus, "c", 1)
    seen.append(await api(bus, f"CONSUMER.DELETE.{RUNS}.c", None, "success"))
    return [*seen, await clients[0].hear(4), await api(bus, f"CONSUMER.DELETE.{RUNS}.c")]


async def covering(bus: Bus, _clock: Clock) -> list[object]:
    """Acknowledgements that cover everything before, and purges under a consumer's hands."""
    covering_all = Consumer(stream=RUNS, name="c", filters=(f"{RUN}.>",), ack_policy="all")
    await ensure_consumer(bus, covering_all)
    client = await PullClient(bus, "c").open()
    for number in range(7):
        await bus.append(f"{RUN}.e{number}", b"x")
    await client.pull(4, expires_s=5)
    await client.hear(4)
    seen: list[object] = []
    for number in (1, 0, 3):
        await client.say(number, b"+ACK")
        seen.append(await api(bus, f"CONSUMER.INFO.{RUNS}.c", None, *STATE))
    await client.pull(1, expires_s=5)
    await client.hear(5)
    await api(bus, f"STREAM.PURGE.{RUNS}", {"seq": 7})
    await until(lambda: is_settled(bus, "c"))
    await client.pull(1, expires_s=5)
    return [*seen, await client.hear(6)]


async def changing(bus: Bus, _clock: Clock) -> list[object]:
    """Consumers that begin with what is new, and whose filters change."""
    await bus.append(f"{RUN}.a", b"old")
    narrow = Consumer(stream=RUNS, name="c", deliver_new=True, filters=(f"{RUN}.a",))
    await ensure_consumer(bus, narrow)
    for name in ("b", "a"):
        await bus.append(f"{RUN}.{name}", b"new")
    seen = [await api(bus, f"CONSUMER.INFO.{RUNS}.c", None, *STATE)]
    changes = await ensure_consumer(bus, replace(narrow, filters=(f"{RUN}.a", f"{RUN}.b")))
    seen += [changes, await api(bus, f"CONSUMER.INFO.{RUNS}.c", None, *STATE)]
    config = {"durable_name": "c", "ack_policy": "all", "deliver_policy": "new"}
    for name in (RUNS, "NONE"):
        request = {"stream_name": name, "config": config}
        seen.append(await api(bus, f"CONSUMER.DURABLE.CREATE.{name}.c", request))
    client = await PullClient(bus, "c").open()
    await client.pull(2, expires_s=5)
    return [*seen, await client.hear(2)]


async def pinned(bus: Bus, *, timeout_s: float) -> tuple[PullClient, PullClient]:
    """Return two clients of a pinned consumer."""
    consumer = Consumer(
        stream=RUNS,
        name="p",
        filters=(f"{RUN}.>",),
        ack_policy="all",
        pinned_group=PIN_GROUP,
        pinned_timeout_s=timeout_s,
    )
    await ensure_consumer(bus, consumer)
    return await PullClient(bus, "p").open(), await PullClient(bus, "p").open()


async def pinning(bus: Bus, _clock: Clock) -> list[object]:
    """One client has the pin; the others wait, and wrong pins are refused."""
    owner, other = await pinned(bus, timeout_s=30)
    await other.pull(1, expires_s=0.1)
    await other.pull(1, expires_s=0.1, group="none")
    await other.pull(1, expires_s=0.1, **GROUP, id="old")
    await other.hear(3)
    await owner.pull(2, expires_s=30, **GROUP)
    await until_waiting(bus, "p", 1)
    await other.pull(2, expires_s=30, **GROUP)
    await until_waiting(bus, "p", 2)
    for number in range(6):
        await bus.append(f"{RUN}.e{number}", b"x")
    await owner.hear(2)
    await owner.pull(3, expires_s=30, **GROUP, id=owner.pin)
    await owner.hear(5)
    await other.pull(2, expires_s=30, **GROUP, id="wrong")
    seen = [*await owner.hear(5), *await other.hear(4)]
    group = await api(bus, f"CONSUMER.INFO.{RUNS}.p", None, *STATE, "num_waiting")
    return [*seen, group]


async def losing_the_pin(bus: Bus, _clock: Clock) -> list[object]:
    """A pin ends by command or in time; its old requests are told once somebody else could go."""
    owner, other = await pinned(bus, timeout_s=0.5)
    await owner.pull(9, expires_s=30, **GROUP)
    await bus.append(f"{RUN}.e0", b"x")
    await owner.hear(1)
    await other.pull(9, expires_s=30, **GROUP)
    await until_waiting(bus, "p", 2)
    seen: list[object] = [await api(bus, f"CONSUMER.UNPIN.{RUNS}.p", {"group": "none"})]
    seen += [await api(bus, f"CONSUMER.UNPIN.{RUNS}.none", GROUP)]
    seen += [await api(bus, f"CONSUMER.UNPIN.{RUNS}.p", GROUP)]
    await bus.append(f"{RUN}.e1", b"x")
    seen += [await owner.hear(2), await other.hear(1)]
    await owner.pull(9, expires_s=30, **GROUP)
    await until_unpinned(bus)
    await bus.append(f"{RUN}.e2", b"x")
    return [*seen, await other.hear(2), await owner.hear(3)]


async def until_unpinned(bus: Bus) -> None:
    """Wait until nobody has the pin."""

    async def is_unpinned() -> bool:
        told = await api(bus, f"CONSUMER.INFO.{RUNS}.p", None, "priority_groups")
        return "pinned_client_id" not in str(told)

    await until(is_unpinned)


async def resetting(bus: Bus, _clock: Clock) -> list[object]:
    """A reset hands out again what is unsettled, counts anew and keeps the pin."""
    owner, _ = await pinned(bus, timeout_s=30)
    for number in range(5):
        await bus.append(f"{RUN}.e{number}", b"x")
    await owner.pull(3, expires_s=30, **GROUP)
    await owner.hear(3)
    await owner.say(0, b"+ACK")
    seen = [await api(bus, f"CONSUMER.RESET.{RUNS}.p", None, *STATE, "reset_seq")]
    with pytest.raises(TimedOutError):  # a delivery before the reset covers nothing any more
        await owner.say(2, b"+ACK")
    seen.append(await api(bus, f"CONSUMER.INFO.{RUNS}.p", None, *STATE))
    await owner.pull(4, expires_s=30, **GROUP, id=owner.pin)
    seen += await owner.hear(7)
    await owner.say(6, b"+ACK")
    with pytest.raises(TimedOutError):
        await bus.request(f"$JS.API.CONSUMER.RESET.{RUNS}.none", b"", timeout_s=0.1)
    return [*seen, await api(bus, f"CONSUMER.RESET.{RUNS}.p", None, *STATE, "reset_seq")]


async def scheduling(bus: Bus, clock: Clock) -> list[object]:
    """Schedules fire once, are replaced, refused and taken back."""
    soon, later = clock.now_ms() + 200, clock.now_ms() + 3_600_000
    seen: list[object] = [
        await schedule(bus, f"{TIMER}.1", target=f"{FIRED}.1", at_ms=soon, data=b"1"),
        await schedule(bus, f"{TIMER}.1", target=f"{FIRED}.1", at_ms=soon, data=b"1"),
        await schedule(bus, f"{TIMER}.2", target=f"{FIRED}.2", at_ms=later),
        await schedule(bus, f"{TIMER}.3", target=f"{FIRED}.3", at_ms=later),
    ]
    await cancel(bus, f"{TIMER}.2", note=f"{TIMER}.cancelled")
    headers = {"Nats-Schedule": f"@at {rfc3339(later)}", "Nats-Schedule-Target": f"{FIRED}.4"}
    seen.append(await ask(bus, f"{TIMER}.3", b"anew", headers=headers))
    wrongs = ({"Nats-Schedule": "@at noon"}, {"Nats-Schedule-Target": "elsewhere"})
    seen += [await ask(bus, f"{TIMER}.5", b"x", headers=headers | wrong) for wrong in wrongs]
    seen.append(await ask(bus, f"{FIRED}.6", b"x", headers={"Nats-TTL": "soon"}))
    journal = Journal(bus, TIMERS)
    await until(lambda: journal.last([f"{FIRED}.>"]))

    async def is_forgotten() -> bool:
        return not await journal.last([f"{TIMER}.cancelled"])

    await until(is_forgotten)
    request = {"batch": 9, "seq": 1, "next_by_subj": "segue.v1.default.fired.>"}
    fired = await ask_all(bus, f"$JS.API.DIRECT.GET.{TIMERS}", request)
    return [*seen, fired, await journal.subjects(f"{TIMER}.>")]


async def answering(bus: Bus, _clock: Clock) -> list[object]:
    """Queue groups get a message once, plain subscribers each."""
    heard: list[object] = []
    done = asyncio.Event()

    def hear(name: str) -> Handler:
        async def handler(message: Msg) -> None:
            heard.append(name)
            if len(heard) == 3:
                done.set()

        return handler

    for name in ("queue", "queue", "alone", "alone"):
        queue = "q" if name == "queue" else ""
        await bus.subscribe("talk.*", hear(name), queue=queue)
    await bus.publish("talk.x", b"")
    async with asyncio.timeout(PATIENCE_S):
        await done.wait()
    return sorted(heard, key=str)


async def removing(bus: Bus, _clock: Clock) -> list[object]:
    """One message goes, handed out or not, and its subject is free again."""
    guard = {"Nats-Expected-Last-Subject-Sequence": "0"}
    for name in "abc":
        await ask(bus, f"{RUN}.{name}", b"x", headers=guard)
    consumer = Consumer(stream=RUNS, name="pool_x", filters=(f"{RUN}.>",))
    await ensure_consumer(bus, consumer)
    client = await PullClient(bus, "pool_x").open()
    await client.pull(2)
    told = await client.hear(2)
    request = {"seq": 1, "no_erase": True}
    removed = [await api(bus, f"STREAM.MSG.DELETE.{RUNS}", request, "success") for _ in range(2)]
    again = await ask(bus, f"{RUN}.a", b"y", headers=guard)
    await client.say(1, b"+ACK")
    await until(lambda: is_settled(bus, "pool_x"))
    last = await Journal(bus, RUNS).last([f"{RUN}.>"])
    return [told, removed, again, [(one.subject, one.sequence) for one in last]]


SCRIPTS: Final = (
    publishing,
    republishing,
    reading,
    reading_many,
    forgetting,
    removing,
    values,
    lapsing,
    asking_the_leader,
    settling,
    sharing,
    covering,
    changing,
    pinning,
    losing_the_pin,
    resetting,
    scheduling,
    answering,
)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.__name__)
def test_the_simulated_broker_answers_as_the_real_one(script: Script, fresh_broker: Broker) -> None:
    """One script of requests is told the same by both."""
    assert on_the_simulated_broker(script) == on_the_real_broker(script, fresh_broker)
