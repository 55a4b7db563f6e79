"""Cancellations: which steps being worked on are no longer wanted, as far as hints tell?"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from nats.aio.msg import Msg

from segue_contracts.envelope import UndecodableError, decode_event
from segue_contracts.v1.control import CancelHint
from segue_contracts.v1.registry import decode
from segue_providers.core.place import Place

_log = structlog.get_logger()


class Cancellations:
    """Passes hints on to the work they are about."""

    def __init__(self) -> None:
        self._watched: dict[asyncio.Event, Place] = {}

    async def on_hint(self, message: Msg) -> None:
        """Take a hint; one that cannot be read is ignored, for the journal is the truth."""
        try:
            body = decode(decode_event(message.data))
        except UndecodableError as error:
            _log.warning("hint_unreadable", subject=message.subject, reason=str(error))
            return
        if isinstance(body, CancelHint):
            self.cancel(body)

    def cancel(self, hint: CancelHint) -> None:
        """Tell all work that the hint is about."""
        for event, place in self._watched.items():
            if _means(hint, place):
                event.set()

    @contextmanager
    def watching(self, place: Place) -> Iterator[asyncio.Event]:
        """Give an event that is set once work at the place is no longer wanted."""
        event = asyncio.Event()
        self._watched[event] = place
        try:
            yield event
        finally:
            del self._watched[event]


def _means(hint: CancelHint, place: Place) -> bool:
    about_step = hint.step in {"", place.step, place.step.partition("~")[0]}
    return hint.run == place.run and about_step and hint.attempt in {0, place.attempt}
