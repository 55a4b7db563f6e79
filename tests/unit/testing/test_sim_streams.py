"""Simulated streams: what is kept, and for how long?"""

import asyncio
from typing import Any

import pytest
from nats.aio.msg import Msg
from nats.errors import ConnectionClosedError, MaxPayloadError
from unit.testing.sim_world import RUN, simulated

from segue_contracts.v1.topology import PAYLOADS, RUN_KEYS, RUNS, TELEMETRY, TIMERS
from segue_shared.bus import Bus
from segue_shared.errors import PayloadMissingError
from segue_shared.journal import Journal
from segue_shared.keyvalue import KeyValue
from segue_shared.payloads import Payloads
from segue_shared.schedules import cancel, schedule
from segue_testing.sim import START_MS, FaultPlan, SimClock, SimServer, sim_bus
from segue_testing.sim.patterns import any_of, fits, transformed

TICKING = {
    "name": "KV_TICKING",
    "subjects": ["$KV.TICKING.>"],
    "max_msgs_per_subject": 1,
    "allow_msg_ttl": True,
    "subject_delete_marker_ttl": 60_000_000_000,
}


@pytest.mark.parametrize(
    ("pattern", "subject", "expected"),
    [
        ("a.b", "a.b", True),
        ("a.*", "a.b", True),
        ("a.*", "a.b.c", False),
        ("a.>", "a.b.c", True),
        ("a.>", "a", False),
        ("*.b.>", "a.b.c.d", True),
        ("a.b", "aXb", False),
        ("$KV.x", "$KV.x", True),
    ],
)
def test_a_pattern_fits_by_tokens(pattern: str, subject: str, *, expected: bool) -> None:
    """A star is one token, an angle at least one to the end; alone and among others."""
    assert fits(pattern, subject) is expected
    assert bool(any_of((pattern,))(subject)) is expected
    assert bool(any_of((pattern, "z.*", "z.>"))(subject)) is expected


def test_a_republished_subject_is_filled_in() -> None:
    """Wildcards go where the template names them, the rest to its end."""
    mapping = {"source": "v1.*.run.>", "destination": "v1.{{wildcard(1)}}.fact.>"}

    assert transformed("v1.ns.run.00.a", **mapping) == "v1.ns.fact.00.a"
    assert transformed("v1.ns.walk.00.a", **mapping) is None


def test_old_messages_go() -> None:
    """A stream with a maximum age forgets, and one without does not."""

    async def body(server: SimServer, bus: Bus) -> tuple[int, int]:
        for subject in ("segue.v1.default.tel.x.y.z", f"{RUN}.a"):
            await bus.append(subject, b"x")
        await asyncio.sleep(23 * 3600)
        kept = await Journal(bus, TELEMETRY).first_sequence()
        await asyncio.sleep(3601)
        assert len(server.streams[RUNS].messages) == 1
        return kept, await Journal(bus, TELEMETRY).first_sequence()

    assert simulated(body) == (1, 2)


def test_a_key_that_lived_its_time_leaves_a_marker() -> None:
    """A key with a time to live is gone after it, and its marker after another while."""

    async def body(server: SimServer, bus: Bus) -> list[Any]:
        stream = server.create_stream(TICKING)
        keys = KeyValue(bus, "TICKING")
        await bus.append("$KV.TICKING.a", b"1", headers={"Nats-TTL": "3s"})
        seen: list[Any] = [await keys.get("a")]
        await asyncio.sleep(3)
        seen += [await keys.get("a"), dict(stream.messages[2].headers)]
        await asyncio.sleep(60)
        seen += [await keys.get("a"), len(stream.messages)]
        return seen

    entry, none, marker, still_none, left = simulated(body)

    assert entry.value == b"1"
    assert (none, still_none, left) == (None, None, 0)
    assert marker == {"Nats-Marker-Reason": "MaxAge", "Nats-TTL": "1m0s", "Nats-Rollup": "sub"}


def test_a_key_holds_its_newest_value_only() -> None:
    """A bucket without history forgets what is overwritten."""

    async def body(server: SimServer, bus: Bus) -> int:
        for number in range(3):
            await KeyValue(bus, RUN_KEYS).put("default.k", b"%d" % number)
        return len(server.streams[f"KV_{RUN_KEYS}"].messages)

    assert simulated(body) == 1


def test_the_epoch_is_the_same_in_every_run() -> None:
    """Cursors of one seed do not differ."""

    async def body(_server: SimServer, bus: Bus) -> str:
        return await Journal(bus, RUNS).epoch()

    assert simulated(body) == simulated(body)


def test_a_schedule_fires_at_its_time() -> None:
    """Neither sooner nor later, when nothing goes wrong."""

    async def body(_server: SimServer, bus: Bus) -> int:
        timer, fired = (f"segue.v1.default.{kind}.00.run1.1" for kind in ("timer", "fired"))
        await schedule(bus, timer, target=fired, at_ms=START_MS + 5000)
        await asyncio.sleep(60)
        [message] = await Journal(bus, TIMERS).last([fired])
        return message.time_ms - START_MS

    assert simulated(body) == 5000


def test_a_schedule_that_was_taken_back_never_fires() -> None:
    """Nor does one that another on its subject replaced."""

    async def body(server: SimServer, bus: Bus) -> list[str]:
        timer, fired = ("segue.v1.default." + kind + ".00.run1" for kind in ("timer", "fired"))
        for number in (1, 2):
            target = f"{fired}.{number}"
            await schedule(bus, f"{timer}.{number}", target=target, at_ms=START_MS + 5000)
        await cancel(bus, f"{timer}.1", note=f"{timer}.cancelled")
        later = {"Nats-Schedule": "@at 2027-01-15T08:01:00Z", "Nats-Schedule-Target": f"{fired}.3"}
        await bus.append(f"{timer}.2", b"", headers=later)
        await asyncio.sleep(3600)
        return [held.subject for held in server.streams[TIMERS].messages.values()]

    assert simulated(body) == ["segue.v1.default.fired.00.run1.3"]


@pytest.mark.parametrize(
    ("plan", "low", "high"),
    [
        (FaultPlan(timer_late_s=10), 5000, 15_000),
        (FaultPlan(timer_early_s=4), 1000, 5000),
    ],
)
def test_a_schedule_fires_early_or_late_when_told_to(plan: FaultPlan, low: int, high: int) -> None:
    """The plan bounds by how much."""

    async def body(_server: SimServer, bus: Bus) -> int:
        timer, fired = (f"segue.v1.default.{kind}.00.run1.1" for kind in ("timer", "fired"))
        await schedule(bus, timer, target=fired, at_ms=START_MS + 5000)
        await asyncio.sleep(60)
        [message] = await Journal(bus, TIMERS).last([fired])
        return message.time_ms - START_MS

    times = {simulated(body, plan, seed=seed) for seed in range(5)}

    assert len(times) > 1
    assert all(low <= time <= high for time in times)


def test_large_values_lie_in_the_object_store() -> None:
    """The kit's own payloads work, and a bucket that is missing is told."""

    async def body(server: SimServer, bus: Bus) -> tuple[object, int]:
        payloads = Payloads(bus, PAYLOADS)
        value = await payloads.wrap("x" * 70_000)
        with pytest.raises(PayloadMissingError):
            await Payloads(bus, "NONE").unwrap(value)
        return await payloads.unwrap(value), len(server.objects[PAYLOADS])

    assert simulated(body) == ("x" * 70_000, 1)


def test_messages_of_one_connection_keep_their_order() -> None:
    """However long they take."""

    async def body(server: SimServer, bus: Bus) -> list[bytes]:
        sender = await sim_bus(server, "sender")
        heard: list[bytes] = []

        async def hear(message: Msg) -> None:
            heard.append(message.data)

        await bus.subscribe("talk", hear)
        for number in range(50):
            await sender.publish("talk", b"%d" % number)
        await asyncio.sleep(10)
        return heard

    heard = simulated(body, FaultPlan(latency_s=0.5), seed=3)

    assert heard == [b"%d" % number for number in range(50)]


def test_a_closed_connection_takes_nothing() -> None:
    """Nor does an open one take what is too large."""

    async def body(_server: SimServer, bus: Bus) -> None:
        with pytest.raises(MaxPayloadError):
            await bus.client.publish("talk", b"x" * (1024 * 1024 + 1))
        await bus.drain()
        with pytest.raises(ConnectionClosedError):
            await bus.client.publish("talk", b"")

    simulated(body)


def test_the_story_tells_what_happened() -> None:
    """The end of the trace is text for whoever reads a failing run."""

    async def body(server: SimServer, bus: Bus) -> str:
        await bus.append(f"{RUN}.a", b"")
        return server.story(last=2)

    assert simulated(body).splitlines() == [
        f"    0.000000 test sends {RUN}.a",
        f"    0.000000 RUNS stores 1 {RUN}.a",
    ]


def test_clocks_may_be_off() -> None:
    """A process's clock differs from the server's by its skew, and runs as fast."""

    async def body(_server: SimServer, _bus: Bus) -> int:
        clock = SimClock(skew_ms=-250)
        before = clock.monotonic()
        await clock.sleep(2)
        assert clock.monotonic() - before == 2
        return clock.now_ms() - START_MS

    assert simulated(body) == 1750
