"""Ports: what does the agents service need from the bus and its stores?"""

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeVar

from segue_agents.core.calls import Invocation, ToolSpec
from segue_agents.core.findings import ToolReport
from segue_contracts.payload import Value
from segue_shared.bus import Stored
from segue_shared.errors import PermanentError
from segue_shared.journal import StoredMessage
from segue_shared.keyvalue import Entry

T = TypeVar("T")


class InputError(PermanentError):
    """A field of the step's input is missing or wrong."""


class EventBus(Protocol):
    """Publishing and asking."""

    async def publish(
        self, subject: str, data: bytes, *, headers: Mapping[str, str] | None = None
    ) -> None:
        """Publish a plain message."""
        ...

    async def create(self, subject: str, data: bytes, *, guard: str = "") -> Stored:
        """Store an event unless one of its group exists."""
        ...

    async def call(
        self,
        subject: str,
        request: object,
        result: type[T],
        *,
        timeout_s: float = 5,
        silence_s: float = 0,
    ) -> T:
        """Send a command and return its result."""
        ...


class JournalReader(Protocol):
    """Reading the journal of runs."""

    async def last(self, patterns: Sequence[str]) -> list[StoredMessage]:
        """Return the newest message of each subject that fits a pattern."""
        ...


class PayloadStore(Protocol):
    """Values of any size."""

    async def wrap(self, value: object) -> Value:
        """Return a value to put into a message."""
        ...

    async def unwrap(self, value: Value) -> object:
        """Return the value itself."""
        ...


class AgentBucket(Protocol):
    """The bucket of published manifests."""

    async def get(self, key: str) -> Entry | None:
        """Return a key's value."""
        ...

    async def put(self, key: str, value: bytes) -> int:
        """Set a key."""
        ...

    async def keys(self, prefix: str = "") -> list[str]:
        """Return the keys below a prefix."""
        ...


class Bench(Protocol):
    """Tools laid out for one task."""

    @property
    def specs(self) -> Mapping[str, ToolSpec]:
        """The tools by name."""
        ...

    @property
    def repository(self) -> str:
        """The repository they look at; empty when they need none."""
        ...

    @property
    def branch(self) -> str:
        """Its branch; empty when unknown."""
        ...

    async def run(self, call: Invocation) -> ToolReport:
        """Do one call."""
        ...


class Toolbox(Protocol):
    """All tools there are."""

    @property
    def names(self) -> frozenset[str]:
        """The tools by name."""
        ...

    async def bind(self, names: Sequence[str], given: Mapping[str, object]) -> Bench:
        """Lay out tools for a task with this input.

        Raises:
            InputError: A field that the tools need is missing or wrong.
        """
        ...
