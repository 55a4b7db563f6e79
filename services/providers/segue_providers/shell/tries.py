"""Tries: what has one call tried so far, at what cost, and what was learnt?"""

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Final

from segue_contracts.v1.chat import CallAttempt, ChatMessage, ChatRequest, ErrorClass
from segue_providers.core.catalogue import Target
from segue_providers.shell.lines import Line, Lines
from segue_providers.shell.ports import ModelCallError

BY_KEY: Final[frozenset[ErrorClass]] = frozenset({"auth", "quota_exhausted", "rate_limited"})
"""Errors of one key; another key of the same provider may do."""

Tell = Callable[[CallAttempt, str], Awaitable[None]]
"""Tells of a try that is over, and what the router does next."""


class Tries:
    """The tries of one call.

    Args:
        lines: The way to providers.
        tell: Tells of each.
        deadline: When the call gives up, on the event loop's clock.
    """

    def __init__(self, lines: Lines, *, tell: Tell, deadline: float) -> None:
        self.records: Final[list[CallAttempt]] = []
        """All that are over, in the order in which they ended."""
        self.said = ChatMessage(role="assistant", parts=[])
        """What the latest that failed had said."""
        self.warnings: Final[list[str]] = []
        """What the caller should know of their costs."""
        self._lines = lines
        self._tell = tell
        self._deadline = deadline
        self._untold: CallAttempt | None = None
        self._refused: dict[tuple[str, str], ErrorClass] = {}

    async def open(self, target: Target, request: ChatRequest) -> Line:
        """Begin a try; see `Lines.open` for what may be in the way."""
        return await self._lines.open(
            target,
            request,
            without={key for provider, key in self._refused if provider == target.provider},
            spent=sum((Decimal(one.cost.usd) for one in self.records), Decimal(0)),
            deadline=self._deadline,
        )

    def has_other_key(self, provider: str) -> bool:
        """Tell whether a provider has a key that has not failed this call."""
        refused = {key for name, key in self._refused if name == provider}
        return not refused.issuperset(self._lines.keys(provider))

    def forgive(self, provider: str) -> None:
        """Let keys that were asked too often be asked again, once that was waited for."""
        self._refused = {
            place: error
            for place, error in self._refused.items()
            if place[0] != provider or error != "rate_limited"
        }

    async def won(self, line: Line) -> CallAttempt:
        """End the try that answered."""
        record = await self._closed(line, None)
        await self._tell(record, "")
        return record

    async def failed(self, line: Line, error: ModelCallError) -> None:
        """End a try that failed; what follows is told by `follow`."""
        self.said = line.attempt.assembly.message()
        if error.error in BY_KEY:
            self._refused[line.attempt.target.provider, line.admission.key] = error.error
        self._untold = await self._closed(line, error)

    async def given_up(self, line: Line, why: str) -> None:
        """End a try that is no longer wanted; what it took is charged all the same."""
        error = ModelCallError("cancelled", why)
        record = await asyncio.shield(self._closed(line, error))
        await self._tell(record, "")

    async def follow(self, then: str) -> None:
        """Tell what follows the try that failed; nothing when nobody was asked."""
        untold, self._untold = self._untold, None
        if untold is not None:
            await self._tell(untold, then)

    async def _closed(self, line: Line, error: ModelCallError | None) -> CallAttempt:
        closed = await self._lines.close(line, error, number=len(self.records) + 1)
        self.records.append(closed.record)
        if closed.warning and closed.warning not in self.warnings:
            self.warnings.append(closed.warning)
        return closed.record
