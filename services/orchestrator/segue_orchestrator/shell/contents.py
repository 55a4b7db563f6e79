"""Contents: how does a value that an event carries get ready to travel?"""

from typing import Final

import msgspec
from msgspec import Raw

from segue_contracts.envelope import encode
from segue_contracts.payload import INLINE_LIMIT, Value
from segue_orchestrator.core.messages import NOTHING, Content
from segue_orchestrator.shell.outputs import Outputs
from segue_shared.payloads import Payloads

_EMPTY: Final = Value()


class Contents:
    """Wraps values: small ones at once, others by way of the payload store or the journal."""

    def __init__(self, payloads: Payloads, outputs: Outputs) -> None:
        self._payloads = payloads
        self._outputs = outputs

    def at_hand(self, content: Content) -> Value | bytes | None:
        """Return a value that needs nothing; its JSON when it is too large; None for any other."""
        if content is NOTHING:
            return _EMPTY
        if content.value is msgspec.UNSET:
            return None
        data = encode(content.value)
        return Value(inline=Raw(data)) if len(data) <= INLINE_LIMIT else data

    async def wrapped(self, content: Content) -> Value:
        """Return any value, ready to travel.

        Raises:
            PayloadMissingError: A value that it refers to is gone.
        """
        ready = self.at_hand(content)
        if isinstance(ready, Value):
            return ready
        if ready is not None:
            return await self._payloads.wrap_json(ready)
        if content.places is not None:
            return await self._outputs.joined(content.places)
        return _EMPTY if content.at is None else await self._outputs.value(content.at)
