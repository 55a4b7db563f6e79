"""Ports: what does the agents service need from its bucket and its tools?"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from segue_agents.core.calls import Invocation, ToolSpec
from segue_agents.core.findings import ToolReport
from segue_shared.errors import PermanentError
from segue_shared.keyvalue import Entry


class InputError(PermanentError):
    """A field of the step's input is missing or wrong."""


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
