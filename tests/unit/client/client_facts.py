"""Fakes of the bus: how does a test decide what a client reads and what it misses?"""

from collections.abc import Awaitable, Callable, Sequence
from types import SimpleNamespace

from unit.client.client_events import EPOCH

from segue_contracts.reply import Refused
from segue_contracts.v1 import subjects
from segue_shared.errors import BusUnavailableError, RefusedError
from segue_shared.journal import StoredMessage


class FakeSubscription:
    """A subscription that remembers whether it was ended."""

    def __init__(self) -> None:
        self.ended = False

    async def unsubscribe(self) -> None:
        """End it."""
        self.ended = True


class FakeFacts:
    """A journal, the live feed of it and the services, all under the test's control."""

    def __init__(self) -> None:
        self.stored: list[StoredMessage] = []
        self.visible = 10**9
        """Sequence up to which reads see the journal: a lagging replica sees less."""
        self.reads = 0
        self.on_read: Callable[[], None] = lambda: None
        self.subscriptions: list[FakeSubscription] = []
        self.answers: dict[str, object] = {}
        """What services answer by verb: a result, a refusal, or a function of the request."""
        self.requests: list[object] = []
        self._handler: Callable[[object], Awaitable[None]] | None = None
        self._reconnected: list[Callable[[], None]] = []

    async def subscribe(
        self, subject: str, handler: Callable[[object], Awaitable[None]], *, queue: str = ""
    ) -> FakeSubscription:
        """Take the handler of the live feed."""
        self._handler = handler
        self.subscriptions.append(FakeSubscription())
        return self.subscriptions[-1]

    def on_reconnect(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Take the callback."""
        self._reconnected.append(callback)
        return lambda: self._reconnected.remove(callback)

    def store(self, message: tuple[str, bytes]) -> int:
        """Store an event that nobody hears of."""
        subject, data = message
        sequence = len(self.stored) + 1
        self.stored.append(StoredMessage(subject, sequence, 1_000 + sequence, data))
        return sequence

    async def tell(self, sequence: int, **headers: str) -> None:
        """Send the live copy of a stored event."""
        message = self.stored[sequence - 1]
        copy = SimpleNamespace(
            subject=subjects.fact_of(message.subject),
            data=message.data,
            headers=headers or {"Nats-Sequence": str(sequence)},
        )
        assert self._handler is not None
        await self._handler(copy)

    async def call(
        self, subject: str, request: object, result: type, *, timeout_s: float = 5
    ) -> object:
        """Answer as the service would; nobody serves a verb without an answer."""
        self.requests.append(request)
        verb = subject.rpartition(".")[2]
        if verb not in self.answers:
            raise BusUnavailableError(f"nobody serves {subject}")
        answer = self.answers[verb]
        answer = answer(request) if callable(answer) else answer
        if isinstance(answer, Refused):
            raise RefusedError(answer)
        return answer

    async def unwrap(self, value: object) -> object:
        """Return an inline value."""
        return value.inline

    def reconnect(self) -> None:
        """Come back after a disconnect."""
        for callback in self._reconnected:
            callback()

    async def last(self, patterns: Sequence[str]) -> list[StoredMessage]:
        """Return what a run's patterns match; every subject is unique here."""
        return [m for m in self._read() if m.subject in patterns or patterns[0].endswith(">")]

    async def after(self, pattern: str, sequence: int, *, limit: int = 1000) -> list[StoredMessage]:
        """Return what comes after a sequence."""
        return [m for m in self._read() if m.sequence > sequence][:limit]

    async def epoch(self) -> str:
        """Return the journal's identity."""
        return EPOCH

    async def last_sequence(self) -> int:
        """Return the newest sequence."""
        return len(self.stored)

    def _read(self) -> list[StoredMessage]:
        self.reads += 1
        self.on_read()
        return [m for m in self.stored if m.sequence <= self.visible]
