"""Following runs on a real broker: is every event seen once, in order, whatever is lost?"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path

import msgspec
import pytest
from support.wait import until

from segue import Client, RunEvent, RunFailedError
from segue_contracts.envelope import Message, decode_body, encode, raw
from segue_contracts.reply import Refused, Reply
from segue_contracts.v1 import registry, runs, steps, subjects
from segue_contracts.v1.commands import (
    CancelAccepted,
    CancelRun,
    GetRun,
    ListRuns,
    RunAccepted,
    RunList,
    StartRun,
)
from segue_contracts.v1.deltas import StepDelta, ToolProgress
from segue_contracts.v1.events import frame, make_event
from segue_contracts.v1.topology import topology
from segue_contracts.v1.values import Failure
from segue_shared.bootstrap import apply
from segue_shared.bus import Bus
from segue_shared.errors import (
    BusUnavailableError,
    InvalidMessageError,
    NotFoundError,
    RefusedError,
    TimedOutError,
)
from segue_shared.ids import SystemIds
from segue_shared.payloads import Payloads
from segue_testing.broker import Broker

TIME = "2026-11-21T12:03:04.000Z"
_counter = itertools.count(1)


class Writer:
    """Writes a run's journal as the services would."""

    def __init__(self, bus: Bus) -> None:
        self.run = f"follow{next(_counter):012d}"
        self._bus = bus
        self._prefix = subjects.run_prefix("default", self.run)

    async def event(self, name: str, body: Message) -> int:
        """Store an event of the run as a whole."""
        subject = f"{self._prefix}.{name}"
        data = frame(body, subject=subject, source="segue/test", about=self.run, time=TIME)
        return (await self._bus.create(subject, data)).sequence

    async def start(self) -> int:
        """Store the run's start."""
        return await self.event("started", runs.RunStarted(workflow="w", definition="d" * 64))

    async def skip(self, *numbers: int) -> None:
        """Store the outcome of some steps."""
        for number in numbers:
            await self.event(
                f"step.s{number}.1.outcome.skipped", steps.StepSkipped(reason="condition")
            )

    async def end(self, **fields: object) -> int:
        """Store the run's end."""
        return await self.event("ended", runs.RunEnded(**({"status": "completed"} | fields)))


@pytest.fixture
async def client(broker: Broker) -> AsyncIterator[Client]:
    """The SDK on the module's broker."""
    async with Client.connect(broker.url, patience_s=0.3) as connected:
        yield connected


@pytest.fixture
def writer(bus: Bus) -> Writer:
    """A fresh run."""
    return Writer(bus)


async def _all(events: AsyncIterator[RunEvent]) -> list[RunEvent]:
    async with asyncio.timeout(20):
        return [event async for event in events]


def _names(events: list[RunEvent]) -> list[str]:
    return [event.step or event.type.split(".")[2] for event in events]


async def test_a_finished_run_is_read_from_its_journal(client: Client, writer: Writer) -> None:
    """History comes whole and in order, and the iteration ends with the run."""
    await writer.start()
    await writer.skip(1, 2, 3)
    await writer.end()

    events = await _all(client.run(writer.run).events())

    assert _names(events) == ["started", "s1", "s2", "s3", "ended"]
    assert [event.sequence for event in events] == sorted(event.sequence for event in events)
    assert all(event.time_ms > 0 and event.run == writer.run for event in events)


async def test_a_running_run_is_followed_to_its_end(client: Client, writer: Writer) -> None:
    """What was stored before and what comes while reading are seen once each."""
    await writer.start()
    seen: list[str] = []
    async with asyncio.timeout(20), aclosing(client.run(writer.run).events()) as events:
        async for event in events:
            seen += _names([event])
            number = len(seen)
            await (writer.skip(number) if number < 30 else writer.end())

    assert seen == ["started", *(f"s{number}" for number in range(1, 30)), "ended"]


@pytest.mark.parametrize("cut", range(6))
async def test_a_reader_goes_on_after_any_event(client: Client, writer: Writer, cut: int) -> None:
    """Resuming after any cursor gives exactly the rest; after the last there is nothing."""
    await writer.start()
    await writer.skip(1, 2, 3, 4)
    await writer.end()
    whole = await _all(client.run(writer.run).events())

    rest = await _all(client.run(writer.run).events(after=whole[cut].cursor))

    assert [event.cursor for event in rest] == [event.cursor for event in whole[cut + 1 :]]


async def test_events_stored_during_a_disconnect_are_not_missed(fresh_broker: Broker) -> None:
    """Facts are plain messages and lost while disconnected; the journal fills the gap."""
    own = await Bus.connect(fresh_broker.url, name="own", max_wait_s=10)
    await apply(own, topology())
    writer = Writer(own)
    await writer.start()
    async with Client.connect(fresh_broker.url) as client:
        seen: list[RunEvent] = []
        follower = asyncio.create_task(_into(client.run(writer.run).events(), seen))
        await _until(lambda: len(seen) == 1)
        fresh_broker.kill()
        fresh_broker.restart()
        # The writer may be back before the follower, and then its events reach nobody live.
        await writer.skip(*range(1, 20))
        await writer.end()
        await asyncio.wait_for(follower, 20)
    await own.close()

    assert _names(seen) == ["started", *(f"s{number}" for number in range(1, 20)), "ended"]


async def _into(events: AsyncIterator[RunEvent], seen: list[RunEvent]) -> None:
    async for event in events:
        seen.append(event)  # noqa: PERF401 - the other side reads the list while it grows


async def _until(condition: Callable[[], bool]) -> None:
    async def ask() -> bool:
        return condition()

    await until(ask)


async def test_deltas_are_seen_when_asked_for(client: Client, writer: Writer, bus: Bus) -> None:
    """Ephemeral progress has its step and no cursor."""
    await writer.start()
    delta = StepDelta(
        run=writer.run, step="s1", delta=ToolProgress(request="r", name="t", state="started")
    )
    message = make_event(delta, id="d1", source="segue/test", subject=writer.run, time=TIME)
    seen: list[RunEvent] = []
    async with asyncio.timeout(20), aclosing(client.run(writer.run).events(deltas=True)) as events:
        async for event in events:
            seen.append(event)
            if len(seen) == 1:
                await bus.publish(subjects.delta("default", writer.run, "s1"), encode(message))
            if len(seen) == 2:
                await writer.end()

    assert [(event.step, bool(event.cursor)) for event in seen] == [
        ("", True),
        ("s1", False),
        ("", True),
    ]


async def test_a_namespace_is_followed_from_now_on(client: Client, bus: Bus) -> None:
    """Without a run, every run's new events come, with the run they are of."""
    old, new = Writer(bus), Writer(bus)
    await old.start()
    seen: list[RunEvent] = []
    follower = asyncio.create_task(_into(client.events(), seen))
    try:
        # The subscription has no event of its own: events are stored until one is seen.
        numbers = itertools.count(1)

        async def stored_and_seen() -> bool:
            await new.skip(next(numbers))
            return len(seen) >= 3

        await until(stored_and_seen)
    finally:
        follower.cancel()

    assert {event.run for event in seen} == {new.run}
    sequences = [event.sequence for event in seen]
    assert sequences == list(range(sequences[0], sequences[0] + len(sequences)))


async def test_a_namespace_is_read_from_a_cursor(client: Client, bus: Bus) -> None:
    """History first, then live, over all runs."""
    first, second = Writer(bus), Writer(bus)
    start = await first.start()
    await second.start()
    epoch = (await _all_of(client, first, bus)).rpartition("-")[0]
    seen: list[RunEvent] = []
    async with asyncio.timeout(20), aclosing(client.events(f"{epoch}-{start - 1}")) as events:
        async for event in events:
            seen.append(event)
            if len(seen) >= 3:
                break

    assert [event.run for event in seen] == [first.run, second.run, first.run]


async def _all_of(client: Client, writer: Writer, bus: Bus) -> str:
    """End a run and return the cursor of its end."""
    await writer.end()
    return (await _all(client.run(writer.run).events()))[-1].cursor


async def test_a_run_that_does_not_exist_is_told(client: Client) -> None:
    """Following nothing does not wait for ever."""
    with pytest.raises(NotFoundError, match="there is no run nosuchrun0001"):
        await _all(client.run("nosuchrun0001").events())


async def test_a_cursor_of_another_journal_is_refused(client: Client, writer: Writer) -> None:
    """After a wiped store, an old position would silently skip events."""
    await writer.start()

    with pytest.raises(NotFoundError, match="of another journal"):
        await _all(client.run(writer.run).events(after="0ther-5"))


@pytest.mark.parametrize("after", ["7", "x-", "e1-12-3"])
async def test_text_that_is_no_cursor_is_refused(client: Client, after: str) -> None:
    """A wrong cursor is a sentence about cursors."""
    with pytest.raises(InvalidMessageError, match="is no cursor"):
        await _all(client.events(after))


async def test_a_result_brings_the_output_even_when_it_is_large(
    client: Client, writer: Writer, bus: Bus
) -> None:
    """An output that travelled by reference is fetched."""
    output = {"report": "x" * 200_000}
    await writer.start()
    await writer.end(output=await Payloads(bus, "PAYLOADS").wrap(output))

    result = await client.run(writer.run).result(timeout=20)

    assert result.unwrap() == output


async def test_a_failed_run_has_its_reason(client: Client, writer: Writer) -> None:
    """The result tells, and unwrapping it raises."""
    await writer.start()
    await writer.end(status="failed", error=Failure(code="no_provider", message="set a key"))

    result = await client.run(writer.run).result()

    assert (result.status, result.output) == ("failed", None)
    with pytest.raises(RunFailedError, match="failed: no_provider: set a key"):
        result.unwrap()


async def test_waiting_for_a_result_has_an_end(client: Client, writer: Writer) -> None:
    """The caller's patience ends, the run does not."""
    await writer.start()

    with pytest.raises(TimedOutError, match=r"has not ended within 0\.2 s"):
        await client.run(writer.run).result(timeout=0.2)


Serve = Callable[[registry.Command, Callable[[Message], Message | Refused]], Awaitable[None]]


@pytest.fixture
async def serve(bus: Bus) -> AsyncIterator[Serve]:
    """Answers a command for the length of a test, as a service would."""
    subscriptions = []

    async def answer(
        command: registry.Command, handler: Callable[[Message], Message | Refused]
    ) -> None:
        async def on_request(message: object) -> None:
            answered = handler(decode_body(message.data, command.request))
            refused = isinstance(answered, Refused)
            reply = Reply(refused=answered) if refused else Reply(result=raw(answered))
            await message.respond(encode(reply))

        subject = subjects.command("default", command.service, command.verb)
        subscriptions.append(await bus.subscribe(subject, on_request, queue=command.service))

    yield answer
    for subscription in subscriptions:
        await subscription.unsubscribe()


async def test_starting_a_run_sends_text_inputs_and_a_key(client: Client, serve: Serve) -> None:
    """The orchestrator gets what was given, and always a key."""
    requests: list[StartRun] = []

    def start(request: StartRun) -> RunAccepted:
        requests.append(request)
        return RunAccepted(
            run=SystemIds().run_id(1), workflow="w", definition="d" * 64, cursor="e1-1"
        )

    await serve(registry.START_RUN, start)
    run = await client.start_run("name: w\nsteps: []", inputs={"a": 1}, file="w.yaml")
    await client.start_run({"name": "w"}, key="mine")

    assert run.accepted is not None
    assert run.accepted.run == run.id
    assert (requests[0].text, requests[0].file) == ("name: w\nsteps: []", "w.yaml")
    assert requests[0].inputs == {"a": 1}
    assert len(requests[0].key) == 26
    assert (requests[1].key, msgspec.json.decode(requests[1].text)) == ("mine", {"name": "w"})


async def test_starting_a_run_reads_the_file_of_a_path(
    client: Client, serve: Serve, tmp_path: Path
) -> None:
    """A path gives its text and its name, so problems name the file."""
    file = tmp_path / "w.yaml"
    file.write_text("name: w")
    requests: list[StartRun] = []

    def start(request: StartRun) -> Refused:
        requests.append(request)
        return Refused(code="invalid_definition", message="no steps")

    await serve(registry.START_RUN, start)
    for workflow in (file, str(file)):
        with pytest.raises(RefusedError, match="no steps"):
            await client.start_run(workflow)

    assert [(request.text, request.file) for request in requests] == [("name: w", str(file))] * 2


async def test_a_service_that_is_away_is_told_after_patience(client: Client) -> None:
    """Nobody answers, and the message says what would."""
    with pytest.raises(BusUnavailableError, match=r"no orchestrator service answers.*'segue up'"):
        await client.list_runs()


async def test_runs_are_listed_looked_up_and_cancelled(client: Client, serve: Serve) -> None:
    """Each question goes to the orchestrator and comes back typed."""
    summary = runs.RunSummary(run="r" * 26, workflow="w", status="running", started_ms=1)

    def view(request: GetRun) -> runs.RunView:
        return runs.RunView(
            run=request.run,
            namespace="default",
            workflow="w",
            definition="d",
            status="running",
            started_ms=1,
            cursor="e1-1",
        )

    def listed(request: ListRuns) -> RunList:
        return RunList(runs=[summary] * request.limit)

    def cancelled(request: CancelRun) -> CancelAccepted:
        return CancelAccepted(run=request.run, already_ended=request.reason == "late")

    await serve(registry.LIST_RUNS, listed)
    await serve(registry.GET_RUN, view)
    await serve(registry.CANCEL_RUN, cancelled)
    run = client.run("r" * 26)

    assert await client.list_runs(limit=2) == [summary] * 2
    assert (await run.status()).run == run.id
    assert (await run.cancel("late")).already_ended


def test_an_id_that_no_run_can_have_is_told(client: Client) -> None:
    """A typing mistake is found before anything is asked."""
    with pytest.raises(NotFoundError, match="must be 8 to 40"):
        client.run("Not An Id")
