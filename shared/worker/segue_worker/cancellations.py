"""Cancellations: which work is no longer wanted, as far as hints tell?"""

import asyncio
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import structlog
from nats.aio.msg import Msg

from segue_contracts.envelope import UndecodableError, decode_event
from segue_contracts.v1.control import CancelHint
from segue_contracts.v1.registry import decode
from segue_worker.place import Place

_log = structlog.get_logger()

_REMEMBERED: Final = 1_000


class Cancellations:
    """Passes hints on to whoever works, also to who begins a little later."""

    def __init__(self) -> None:
        self._watching: dict[asyncio.Event, Place] = {}
        self._recent: OrderedDict[str, CancelHint] = OrderedDict()

    async def on_hint(self, message: Msg) -> None:
        """Take a hint from the bus; one that cannot be read is ignored, for the journal decides."""
        try:
            body = decode(decode_event(message.data))
        except UndecodableError as error:
            _log.warning("hint_unreadable", subject=message.subject, reason=str(error))
            return
        if isinstance(body, CancelHint):
            self.cancel(body)

    def cancel(self, hint: CancelHint) -> None:
        """Set the event of all work that the hint is about."""
        self._recent[hint.run] = hint
        if len(self._recent) > _REMEMBERED:
            self._recent.popitem(last=False)
        for event, place in self._watching.items():
            if _means(hint, place):
                event.set()

    @contextmanager
    def watching(self, place: Place) -> Iterator[asyncio.Event]:
        """Give an event that is set once work at the place is no longer wanted."""
        event = asyncio.Event()
        hint = self._recent.get(place.run)
        if hint is not None and _means(hint, place):
            event.set()
        self._watching[event] = place
        try:
            yield event
        finally:
            del self._watching[event]


def _means(hint: CancelHint, place: Place) -> bool:
    """Tell whether a hint is about a place; undoing a step is part of stopping the rest."""
    wider = set() if place.step.undo else {"", place.step.key}
    return (
        hint.run == place.run
        and hint.step in {str(place.step), *wider}
        and hint.attempt in {0, place.attempt}
    )
