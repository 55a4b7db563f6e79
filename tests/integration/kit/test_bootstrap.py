"""The bootstrap on a real broker: is a topology applied once, and never at the price of data?"""

import msgspec
import pytest
from support.wait import until

from segue_contracts.topology import Stream, Topology
from segue_contracts.v1 import subjects
from segue_contracts.v1.topology import TIMERS, shard_consumers, topology
from segue_shared.bootstrap import apply, missing, stream_configs
from segue_shared.bus import Bus
from segue_shared.clock import SystemClock
from segue_shared.errors import DestructiveChangeError
from segue_shared.ids import SystemIds
from segue_shared.journal import Journal
from segue_shared.schedules import cancel, schedule
from segue_testing.broker import Broker


def only(stream: Stream) -> Topology:
    """Return a topology of one stream."""
    return Topology(streams=(stream,), buckets=(), object_buckets=(), consumers=(), access=())


def a_stream(**changes: object) -> Stream:
    """Return a stream with some settings changed."""
    fields = {"name": "X", "description": "", "subjects": ("x.>", "y.>"), "max_age_s": 100}
    return Stream(**{**fields, **changes})  # type: ignore[arg-type] # a test's shorthand


async def test_applying_twice_changes_nothing(fresh_broker: Broker) -> None:
    """The first application creates everything, the second nothing."""
    bus = await Bus.connect(fresh_broker.url, name="test", max_wait_s=10)

    everything = [config["name"] for config in stream_configs(topology())]
    assert await missing(bus, topology()) == everything
    changes = await apply(bus, topology())
    epoch = await Journal(bus, "RUNS").epoch()

    assert {change.action for change in changes} == {"created"}
    assert await missing(bus, topology()) == []
    assert await apply(bus, topology()) == []
    assert await Journal(bus, "RUNS").epoch() == epoch
    await bus.close()


async def test_a_harmless_change_is_made(fresh_broker: Broker) -> None:
    """A new subject and a longer life lose nothing."""
    bus = await Bus.connect(fresh_broker.url, name="test", max_wait_s=10)
    await apply(bus, only(a_stream()))

    wider = a_stream(subjects=("x.>", "y.>", "z.>"), max_age_s=200)
    [change] = await apply(bus, only(wider))

    assert (change.name, change.action) == ("X", "updated")
    await bus.close()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"subjects": ("x.>",)}, "subjects"),
        ({"max_age_s": 10}, "max_age"),
        ({"max_bytes": 1000}, "max_bytes"),
    ],
)
async def test_a_change_that_would_lose_messages_is_refused(
    fresh_broker: Broker, change: dict[str, object], named: str
) -> None:
    """Fewer subjects or narrower limits drop messages, so they are refused by name."""
    bus = await Bus.connect(fresh_broker.url, name="test", max_wait_s=10)
    await apply(bus, only(a_stream()))

    with pytest.raises(DestructiveChangeError, match=named):
        await apply(bus, only(a_stream(**change)))
    await bus.close()


async def test_our_servers_run_without_the_flag_that_breaks_clients(bus: Bus) -> None:
    """Acknowledgement subjects keep the short form that the client library can read."""
    subject = f"$JS.API.CONSUMER.INFO.RUNS.{shard_consumers()[0].name}"
    assert "error" not in msgspec.json.decode(await bus.request(subject, b""))


async def test_a_schedule_fires_once_even_when_armed_twice(bus: Bus) -> None:
    """A timer is its subject: arming it again is harmless."""
    run, now = SystemIds().run_id(0), SystemClock().now_ms()
    timer, fired = subjects.timer("default", run, now), subjects.fired("default", run, now)

    first = await schedule(bus, timer, target=fired, at_ms=now + 300)
    second = await schedule(bus, timer, target=fired, at_ms=now + 300)
    journal = Journal(bus, TIMERS)
    messages = await until(lambda: journal.after(fired, 0))

    assert first.created
    assert not second.created
    assert len(messages) == 1
    assert messages[0].time_ms >= now + 300


async def test_a_cancelled_schedule_is_gone(bus: Bus) -> None:
    """A timer that was taken back is no longer in the stream."""
    run, at_ms = SystemIds().run_id(0), SystemClock().now_ms() + 60_000
    timer = subjects.timer("default", run, at_ms)
    await schedule(bus, timer, target=subjects.fired("default", run, at_ms), at_ms=at_ms)

    await cancel(bus, timer, note=subjects.timer_cancelled("default", run))

    assert await Journal(bus, TIMERS).after(timer, 0) == []
