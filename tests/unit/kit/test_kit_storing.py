"""Storing: is a message published until its stream is known to have it, and no longer?"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import cast

import nats.errors
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from segue_shared.errors import (
    InvalidMessageError,
    PermanentError,
    PermissionDeniedError,
    TooLargeError,
)
from segue_shared.observer import PublishResult, Unobserved
from segue_shared.storing import Creation, Outgoing, Stored, StreamPublisher, guarded

STORED = b'{"stream":"RUNS","seq":7}'
TAKEN = b'{"error":{"code":400,"err_code":10071,"description":"wrong last sequence"}}'
IN_FLIGHT = b'{"error":{"code":400,"err_code":10164,"description":"in flight"}}'
AWAY = b'{"error":{"code":503,"err_code":10077,"description":"not available"}}'
TOO_LARGE = b'{"error":{"code":400,"err_code":10054,"description":"message size"}}'
REFUSED = b'{"error":{"code":400,"err_code":10052,"description":"sealed"}}'
NOBODY = {"Status": "503"}

Callback = Callable[[Msg], Awaitable[None]]


class FakeClient:
    """A client whose broker answers each publish on a subject with the next of its answers."""

    def __init__(self) -> None:
        self.answers: dict[str, list[bytes | None]] = {}
        self.sent: list[str] = []
        self.headers: list[Mapping[str, str] | None] = []
        self.replies: list[str] = []
        self.published = asyncio.Event()
        self._hear: Callback | None = None

    def new_inbox(self) -> str:
        return "_INBOX.x"

    async def subscribe(self, subject: str, *, cb: Callback, **_limits: int) -> None:
        assert subject == "_INBOX.x.*"
        self._hear = cb

    async def publish(
        self, subject: str, data: bytes, reply: str, headers: Mapping[str, str] | None
    ) -> None:
        if len(data) > 10:
            raise nats.errors.MaxPayloadError
        if " " in subject:
            raise nats.errors.BadSubjectError
        self.sent.append(subject)
        self.headers.append(headers)
        self.replies.append(reply)
        self.published.set()
        answers = self.answers.get(subject, [])
        answer = answers.pop(0) if answers else STORED
        if answer is not None:
            await self.answer(reply, answer)

    async def answer(self, reply: str, data: bytes) -> None:
        """Bring an answer; an empty one says that nobody listens."""
        assert self._hear is not None
        client = cast("Client", self)
        await self._hear(Msg(client, reply, "", data, None if data else dict(NOBODY)))


class Tally(Unobserved):
    """Notes what became of publishes."""

    def __init__(self) -> None:
        self.results: list[tuple[str, PublishResult]] = []

    def published(self, subject: str, result: PublishResult) -> None:
        self.results.append((subject, result))


class Stage:
    """A publisher on a fake client."""

    def __init__(self) -> None:
        self.client = FakeClient()
        self.tally = Tally()
        self.publisher: StreamPublisher

    async def open(self, patience_s: float) -> None:
        """Make the publisher."""
        self.publisher = StreamPublisher(
            cast("Client", self.client),
            observer=self.tally,
            connected=self.connected,
            patience_s=patience_s,
        )
        await self.publisher.open()

    async def connected(self) -> None:
        """Be always there."""

    async def store(self, *subjects: str) -> list[Stored]:
        """Store empty messages."""
        return await self.publisher.store([Outgoing(subject, b"") for subject in subjects])


@pytest.fixture
async def stage() -> Stage:
    """A publisher that waits for ever."""
    stage = Stage()
    await stage.open(3600)
    return stage


async def test_each_message_gets_its_own_result(stage: Stage) -> None:
    """In the order in which they were given, whether stored now or there before."""
    stage.client.answers["b"] = [TAKEN]

    stored = await stage.store("a", "b", "c")

    assert [one.created for one in stored] == [True, False, True]
    assert [one.sequence for one in stored] == [7, 0, 7]


async def test_nothing_to_store_is_done_at_once(stage: Stage) -> None:
    """Without a publish."""
    assert await stage.store() == []
    assert stage.client.sent == []


@pytest.mark.parametrize("unknown", [IN_FLIGHT, AWAY, b""])
async def test_only_what_is_unknown_is_published_again(stage: Stage, unknown: bytes) -> None:
    """Another publish in flight, a stream without a leader, nobody listening."""
    stage.client.answers["b"] = [unknown, unknown, TAKEN]

    stored = await stage.store("a", "b", "c")

    assert [one.created for one in stored] == [True, False, True]
    assert stage.client.sent == ["a", "b", "c", "b", "b"]
    assert [result for subject, result in stage.tally.results if subject == "b"] == [
        "unknown",
        "unknown",
        "refused",
    ]


async def test_silence_is_no_answer_for_ever() -> None:
    """A message whose acknowledgement never comes is published again, and only that one."""
    stage = Stage()
    await stage.open(0.05)
    stage.client.answers["b"] = [None]

    async with asyncio.timeout(5):
        stored = await stage.store("a", "b")

    assert [one.created for one in stored] == [True, True]
    assert stage.client.sent == ["a", "b", "b"]


async def test_every_publish_has_its_own_time(stage: Stage) -> None:
    """One that began later is not given up together with an earlier one."""
    stage.client.answers |= {"a": [None], "b": [None]}
    early, late = asyncio.create_task(stage.store("a")), asyncio.create_task(stage.store("b"))
    while len(stage.client.sent) < 2:
        stage.client.published.clear()
        await stage.client.published.wait()
    first, _ = stage.publisher._rounds
    first.deadline = 0
    stage.publisher._sweep()
    await early
    await stage.client.answer(stage.client.replies[1], STORED)
    await late

    assert stage.client.sent == ["a", "b", "a"]


async def test_the_clock_is_always_set_for_the_oldest_that_waits(stage: Stage) -> None:
    """Also after it rang for one that is not waited for any more."""
    stage.client.answers["a"] = [None]
    waiting = asyncio.create_task(stage.store("a"))
    await stage.client.published.wait()
    [oldest] = stage.publisher._rounds

    stage.publisher._sweep()

    assert stage.publisher._sweeper is not None
    assert stage.publisher._sweeper.when() == oldest.deadline
    waiting.cancel()


@pytest.mark.parametrize(
    ("answer", "error", "said"),
    [
        (TOO_LARGE, TooLargeError, "no message of this size on b"),
        (REFUSED, PermanentError, "refuses b: sealed"),
        (b"{", InvalidMessageError, "b was acknowledged in another form"),
    ],
)
async def test_a_lasting_error_is_raised_once_all_others_are_stored(
    stage: Stage, answer: bytes, error: type[Exception], said: str
) -> None:
    """It names its message; the others are not left on their way."""
    stage.client.answers |= {"b": [answer], "c": [IN_FLIGHT, STORED]}

    with pytest.raises(error, match=said):
        await stage.store("a", "b", "c")

    assert stage.client.sent == ["a", "b", "c", "c"]
    assert ("c", "stored") in stage.tally.results
    assert ("b", "refused") in stage.tally.results


async def test_further_lasting_errors_are_noted(stage: Stage) -> None:
    """All of them are told."""
    stage.client.answers |= {"a": [REFUSED], "c": [TOO_LARGE]}

    with pytest.raises(PermanentError, match="refuses a") as caught:
        await stage.store("a", "b", "c")

    assert caught.value.__notes__ == ["the stream takes no message of this size on c"]


async def test_what_cannot_be_sent_is_a_lasting_error(stage: Stage) -> None:
    """The client library's limits are known before the broker says so."""
    with pytest.raises(TooLargeError, match="a message for a exceeds"):
        await stage.publisher.store([Outgoing("a", b"x" * 11), Outgoing("b", b"")])
    with pytest.raises(InvalidMessageError, match="'no subject'"):
        await stage.store("no subject")

    assert stage.client.sent == ["b"]


async def test_a_denied_subject_fails_whoever_waits_on_it(stage: Stage) -> None:
    """The broker tells it on the side, in lower case."""
    stage.client.answers |= {"Run.a": [None], "run.b": [None]}
    waiting = asyncio.create_task(stage.store("Run.a", "run.b"))
    await stage.client.published.wait()
    stage.publisher.deny("run.a")
    await stage.client.answer(stage.client.replies[1], STORED)

    with pytest.raises(PermissionDeniedError, match=r"Run\.a"):
        await waiting


async def test_a_late_or_second_answer_changes_nothing(stage: Stage) -> None:
    """Whoever gave up waiting is not told."""
    stage.client.answers["a"] = [None]
    waiting = asyncio.create_task(stage.store("a", "b"))
    await stage.client.published.wait()
    waiting.cancel()
    await asyncio.wait([waiting])

    for reply in stage.client.replies:
        await stage.client.answer(reply, STORED)

    assert waiting.cancelled()
    assert stage.publisher._waiting == {}
    assert stage.publisher._rounds == {}
    assert [one.created for one in await stage.store("c")] == [True]


async def test_a_guard_is_sent_with_its_event(stage: Stage) -> None:
    """Only the first of the group is stored; of its own subject when no group is named."""
    await stage.publisher.store(
        [guarded(Creation("a", b"")), guarded(Creation("b.x", b"", guard="b.*"))]
    )

    assert stage.client.headers == [
        {"Nats-Expected-Last-Subject-Sequence": "0"},
        {
            "Nats-Expected-Last-Subject-Sequence": "0",
            "Nats-Expected-Last-Subject-Sequence-Subject": "b.*",
        },
    ]


async def test_an_event_may_follow_a_known_one_of_its_group(stage: Stage) -> None:
    """It is stored unless the group has a newer one."""
    await stage.publisher.store([guarded(Creation("b.x", b"", guard="b.>", after=7))])

    assert stage.client.headers == [
        {
            "Nats-Expected-Last-Subject-Sequence": "7",
            "Nats-Expected-Last-Subject-Sequence-Subject": "b.>",
        },
    ]
