"""The bus on a real broker: is every publish stored, refused or repeated, and never lost?"""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest
import structlog.testing
from nats.aio.msg import Msg
from support.wait import until

from segue_contracts.envelope import encode, raw
from segue_contracts.reply import Refused, Reply
from segue_contracts.v1 import subjects
from segue_contracts.v1.topology import RUNS, topology
from segue_shared.bootstrap import apply
from segue_shared.bus import Bus, Creation
from segue_shared.errors import (
    BusUnavailableError,
    PermissionDeniedError,
    RefusedError,
    TimedOutError,
    TooLargeError,
)
from segue_shared.journal import Journal
from segue_shared.metrics import Metrics
from segue_testing.broker import Broker, running_broker

PERMISSIONS = """
authorization {
  users: [{user: worker, password: pw, permissions: {publish: ["segue.v1.*.run.>", "_INBOX.>"]}}]
}
"""


def a_run() -> str:
    """Return a subject prefix that no other test uses."""
    return f"segue.v1.default.run.00.r{uuid.uuid4().hex}"  # noqa: TID251 - a test's own name


async def test_only_the_first_of_a_subject_is_stored(bus: Bus) -> None:
    """A second create on the same subject reports that it was there."""
    subject = f"{a_run()}.started"

    first = await bus.create(subject, b"1")
    second = await bus.create(subject, b"2")

    assert first.created
    assert not second.created


async def test_a_guard_lets_one_of_a_group_win_every_race(bus: Bus) -> None:
    """Of outcomes published at once under one guard, exactly one is stored."""
    attempt = f"{a_run()}.step.a.1"

    stored = await asyncio.gather(
        *(
            bus.create(f"{attempt}.outcome.{status}", b"x", guard=f"{attempt}.outcome.*")
            for status in ("completed", "failed", "timed_out", "cancelled")
        )
    )

    assert [s.created for s in stored].count(True) == 1


async def test_an_event_is_refused_where_its_group_has_gone_on(bus: Bus) -> None:
    """It is stored as long as nothing came after the newest one that is known."""
    run = a_run()
    first = await bus.create(f"{run}.started", b"1")
    second = await bus.create(f"{run}.step.a.1.scheduled.p.p2", b"2")
    ends = [Creation(f"{run}.ended", b"3", f"{run}.>", after.sequence) for after in (first, second)]

    [blind] = await bus.create_all(ends[:1])
    [seeing] = await bus.create_all(ends[1:])

    assert (blind.created, seeing.created) == (False, True)


async def test_a_create_waits_for_a_killed_broker(fresh_broker: Broker) -> None:
    """A publish during an outage is stored once the broker is back, and only once."""
    bus = await Bus.connect(fresh_broker.url, name="test", max_wait_s=10)
    await apply(bus, topology())
    subject = f"{a_run()}.started"
    fresh_broker.kill()

    waiting = asyncio.create_task(bus.create(subject, b"x"))
    await asyncio.to_thread(fresh_broker.restart)
    async with asyncio.timeout(20):
        stored = await waiting

    assert stored.created
    assert not (await bus.create(subject, b"x")).created
    await bus.close()


async def test_events_that_are_stored_together_keep_their_order_and_guards(bus: Bus) -> None:
    """As if each were stored by itself: the first of a group wins."""
    run = a_run()
    outcomes = [f"{run}.step.a.1.outcome.{status}" for status in ("completed", "failed")]
    creations = [Creation(f"{run}.started", b"1"), Creation(f"{run}.started", b"2")]
    creations += [Creation(each, b"3", f"{run}.step.a.1.outcome.*") for each in outcomes]

    stored = await bus.create_all([*creations, Creation(f"{run}.ended", b"4")])
    kept = await Journal(bus, RUNS).last([f"{run}.>"])

    assert [one.created for one in stored] == [True, False, True, False, True]
    assert [one.sequence for one in stored if one.created] == [one.sequence for one in kept]
    assert [one.subject for one in kept] == [f"{run}.started", outcomes[0], f"{run}.ended"]


async def test_events_that_are_stored_together_wait_for_a_killed_broker(
    fresh_broker: Broker,
) -> None:
    """All of them are stored once it is back, and each only once."""
    bus = await Bus.connect(fresh_broker.url, name="test", max_wait_s=10)
    await apply(bus, topology())
    run = a_run()
    creations = [Creation(f"{run}.signal.{number}", b"x" * 1_000) for number in range(2_000)]

    waiting = asyncio.create_task(bus.create_all(creations))
    await asyncio.sleep(0)  # so that they are on their way
    fresh_broker.kill()
    await asyncio.to_thread(fresh_broker.restart)
    async with asyncio.timeout(20):
        stored = await waiting
        again = await bus.create_all(creations)

    assert len(stored) == len(creations)
    assert not any(one.created for one in again)
    assert await Journal(bus, RUNS).last_sequence() == len(creations)
    await bus.close()


async def test_an_event_that_can_never_be_stored_leaves_the_others_stored(bus: Bus) -> None:
    """The error says which it is."""
    run = a_run()
    too_large = Creation(f"{run}.signal.1", b"x" * (2 * 1024 * 1024))
    creations = [Creation(f"{run}.started", b"1"), too_large, Creation(f"{run}.ended", b"2")]

    with pytest.raises(TooLargeError, match=r"\.signal\.1"):
        await bus.create_all(creations)

    kept = await Journal(bus, RUNS).last([f"{run}.>"])
    assert [one.subject for one in kept] == [f"{run}.started", f"{run}.ended"]


async def test_a_large_message_arrives_whole(bus: Bus) -> None:
    """In however many pieces the network brings it."""
    data = bytes(range(256)) * 4_000

    async def echo(message: Msg) -> None:
        await message.respond(message.data)

    await bus.subscribe("segue.v1.default.cmd.echo.one", echo)
    answers = await asyncio.gather(
        *(bus.request("segue.v1.default.cmd.echo.one", data) for _ in range(5))
    )

    assert all(answer == data for answer in answers)


async def test_a_denied_publish_is_an_error_of_the_waiting_call(tmp_path: Path) -> None:
    """The broker reports a violation on the side; the call gets it, at once and typed."""
    with running_broker(tmp_path, extra=PERMISSIONS) as broker:
        url = broker.url.replace("nats://", "nats://worker:pw@")
        metrics = Metrics("test")
        bus = await Bus.connect(url, name="test", max_wait_s=10, observer=metrics)

        with pytest.raises(PermissionDeniedError, match=r"segue\.v1\.default\.cmd\.x\.y"):
            await bus.request("segue.v1.default.cmd.x.y", b"", timeout_s=5)

        assert metrics.registry.get_sample_value("segue_permission_violations_total") == 1
        await bus.close()


async def test_publishes_are_counted_by_template_and_by_what_became_of_them(broker: Broker) -> None:
    """A refused create shows beside the stored ones, and no run's id becomes a label."""
    metrics = Metrics("test", template=subjects.template)
    bus = await Bus.connect(broker.url, name="test", max_wait_s=10, observer=metrics)
    first, second = a_run(), a_run()
    for subject in (f"{first}.started", f"{second}.started", f"{first}.started"):
        await bus.create(subject, b"x")
    with pytest.raises(TooLargeError):
        await bus.create(f"{second}.ended", b"x" * (2 * 1024 * 1024))
    await bus.append(f"{second}.ended", b"x")
    await bus.close()

    value = metrics.registry.get_sample_value
    started, ended = (f"segue.v1.<ns>.run.<shard>.<run>.{what}" for what in ("started", "ended"))
    for subject, result, count in [
        (started, "stored", 2),
        (started, "refused", 1),
        (ended, "stored", 1),
        (ended, "refused", 1),
    ]:
        labels = {"subject": subject, "result": result}
        assert value("segue_published_total", labels) == count
    assert first.rpartition(".")[2] not in metrics.exposition()[0].decode()


async def test_a_publish_whose_outcome_is_unknown_is_counted_as_such(broker: Broker) -> None:
    """No stream listens, so nobody answers; it is tried until somebody does."""
    metrics = Metrics("test", template=subjects.template)
    observed = await Bus.connect(broker.url, name="test", max_wait_s=10, observer=metrics)
    waiting = asyncio.create_task(observed.create("segue.v1.default.nowhere", b"x"))
    labels = {"subject": "<other>", "result": "unknown"}

    async def is_counted() -> bool:
        return bool(metrics.registry.get_sample_value("segue_published_total", labels))

    await until(is_counted)
    waiting.cancel()
    await observed.close()


async def test_a_message_over_the_brokers_limit_is_a_lasting_error(bus: Bus) -> None:
    """What can never be stored is not repeated for ever."""
    with pytest.raises(TooLargeError):
        await bus.create(f"{a_run()}.started", b"x" * (2 * 1024 * 1024))


async def test_nobody_listening_is_told_at_once(bus: Bus) -> None:
    """No responders is another error than silence."""
    with pytest.raises(BusUnavailableError):
        await bus.request("segue.v1.default.cmd.nobody.home", b"", timeout_s=5)


async def test_silence_ends_in_a_timeout(bus: Bus) -> None:
    """A listener that does not answer leaves the outcome unknown."""

    async def silent(_message: object) -> None:
        return

    await bus.subscribe("segue.v1.default.cmd.silent.one", silent)

    with pytest.raises(TimedOutError):
        await bus.request("segue.v1.default.cmd.silent.one", b"", timeout_s=0.2)


async def test_a_typed_refusal_is_raised_with_its_problems(bus: Bus) -> None:
    """A refused command raises the refusal, not a decoding error."""
    refused = Refused(code="not_found", message="no such run")

    async def refuse(message: object) -> None:
        await message.respond(encode(Reply(refused=refused)))  # type: ignore[attr-defined] # nats Msg

    await bus.subscribe("segue.v1.default.cmd.refuser.one", refuse)

    with pytest.raises(RefusedError) as caught:
        await bus.call("segue.v1.default.cmd.refuser.one", {}, dict)

    assert caught.value.refused == refused


async def test_a_result_is_decoded_into_its_type(bus: Bus) -> None:
    """A successful command returns the typed result."""

    async def answer(message: object) -> None:
        await message.respond(encode(Reply(result=raw({"a": 1}))))  # type: ignore[attr-defined] # nats Msg

    await bus.subscribe("segue.v1.default.cmd.answerer.one", answer)

    assert await bus.call("segue.v1.default.cmd.answerer.one", {}, dict[str, int]) == {"a": 1}


async def test_a_handler_that_fails_keeps_its_subscription(bus: Bus) -> None:
    """One bad message does not end a subscription."""
    seen: asyncio.Queue[bytes] = asyncio.Queue()

    async def handler(message: object) -> None:
        data: bytes = message.data  # type: ignore[attr-defined] # nats Msg
        if data == b"bad":
            raise ValueError
        seen.put_nowait(data)

    await bus.subscribe("segue.v1.default.delta.x.y", handler)
    await bus.publish("segue.v1.default.delta.x.y", b"bad")
    await bus.publish("segue.v1.default.delta.x.y", b"good")

    async with asyncio.timeout(5):
        assert await seen.get() == b"good"


async def test_a_subscription_hears_what_is_sent_once_it_was_made(broker: Broker, bus: Bus) -> None:
    """However much waits to be sent before it; repeated, since a race shows only sometimes."""
    listener = await Bus.connect(broker.url, name="listener", max_wait_s=10)
    for number in range(40):
        heard = asyncio.Event()

        async def hear(_message: object, heard: asyncio.Event = heard) -> None:
            heard.set()

        for _ in range(200):
            await listener.publish("segue.v1.default.delta.before.x", b"x" * 1_000)
        subscription = await listener.subscribe(f"segue.v1.default.delta.after.{number}", hear)
        await bus.publish(f"segue.v1.default.delta.after.{number}", b"")
        async with asyncio.timeout(5):
            await heard.wait()
        await subscription.unsubscribe()
    await listener.close()


async def test_a_subscription_waits_for_a_broker_that_is_away(fresh_broker: Broker) -> None:
    """It is made once the broker is back."""
    bus = await Bus.connect(fresh_broker.url, name="test", max_wait_s=10)
    heard = asyncio.Event()

    async def hear(_message: object) -> None:
        heard.set()

    fresh_broker.kill()
    subscribing = asyncio.create_task(bus.subscribe("segue.v1.default.delta.x.y", hear))
    await asyncio.to_thread(fresh_broker.restart)
    async with asyncio.timeout(20):
        await subscribing
        sender = await Bus.connect(fresh_broker.url, name="sender")
        await sender.publish("segue.v1.default.delta.x.y", b"")
        await heard.wait()
    await sender.close()
    await bus.close()


@pytest.mark.parametrize("how", [Bus.close, Bus.drain])
async def test_a_deliberate_end_is_no_trouble(
    broker: Broker, how: Callable[[Bus], Awaitable[None]]
) -> None:
    """Nothing is logged as a warning, and the bus counts as not connected."""
    with structlog.testing.capture_logs() as logged:
        bus = await Bus.connect(broker.url, name="test", max_wait_s=10)
        await bus.subscribe("segue.v1.default.delta.x.y", lambda _message: asyncio.sleep(0))
        await how(bus)

    assert not bus.connected
    assert [line for line in logged if line["log_level"] not in {"debug", "info"}] == []


async def test_a_lost_broker_is_a_warning(fresh_broker: Broker) -> None:
    """Nobody asked for that."""
    bus = await Bus.connect(fresh_broker.url, name="test", max_wait_s=10)

    async def is_lost() -> bool:
        return not bus.connected

    with structlog.testing.capture_logs() as logged:
        fresh_broker.kill()
        await until(is_lost)
    await bus.close()

    assert {"event": "bus_disconnected", "log_level": "warning"} in logged


async def test_a_closed_bus_says_so_to_whoever_uses_it(broker: Broker) -> None:
    """Also to whoever was waiting for the broker to come back."""
    bus = await Bus.connect(broker.url, name="test", max_wait_s=10)
    await bus.close()

    with pytest.raises(BusUnavailableError, match="closed"):
        await bus.create(f"{a_run()}.started", b"x")
    with pytest.raises(BusUnavailableError):
        await bus.subscribe("segue.v1.default.delta.x.y", lambda _message: asyncio.sleep(0))


async def test_a_first_connection_is_bounded_when_asked() -> None:
    """Nobody at the address is an error after the given wait."""
    with pytest.raises(BusUnavailableError):
        await Bus.connect("nats://127.0.0.1:9", name="test", max_wait_s=0.3)


async def test_facts_are_republished_once_with_their_sequence(bus: Bus) -> None:
    """A plain subscriber sees stored events only, with the cursor's sequence; no duplicate."""
    run = a_run()
    facts: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()

    async def on_fact(message: object) -> None:
        headers = message.headers  # type: ignore[attr-defined] # nats Msg
        facts.put_nowait((headers["Nats-Sequence"], message.data))  # type: ignore[attr-defined] # nats Msg

    await bus.subscribe(f"{run.replace('.run.', '.fact.')}.>", on_fact)
    stored = await bus.create(f"{run}.started", b'{"n":1}')
    await bus.create(f"{run}.started", b'{"n":2}')
    last = await bus.create(f"{run}.ended", b'{"n":3}')

    async with asyncio.timeout(5):
        assert await facts.get() == (str(stored.sequence), b'{"n":1}')
        assert await facts.get() == (str(last.sequence), b'{"n":3}')


def test_a_reply_holds_either_a_result_or_a_refusal() -> None:
    """The wire form of a reply has one field."""
    assert msgspec.json.decode(encode(Reply(result=raw(1)))) == {"result": 1}
