"""The turn log: how is an agent's conversation kept in the journal?"""

from typing import Final

import msgspec

from segue_agents.core.loop import Turn
from segue_contracts.envelope import UndecodableError, decode_event
from segue_contracts.v1.chat import ChatMessage
from segue_contracts.v1.registry import decode
from segue_contracts.v1.turns import TurnCompleted
from segue_shared.errors import BusUnavailableError, InvalidMessageError
from segue_worker.ports import JournalReader, PayloadStore
from segue_worker.publisher import Publisher
from segue_worker.ticket import Ticket

_MESSAGES: Final = tuple[ChatMessage, ...]


class TurnLog:
    """Reads and writes turns; writing one is the fence between two workers."""

    def __init__(
        self, journal: JournalReader, *, payloads: PayloadStore, publisher: Publisher
    ) -> None:
        self._journal = journal
        self._payloads = payloads
        self._publisher = publisher

    async def read(self, ticket: Ticket) -> list[Turn]:
        """Return the turns that the attempt has had, in order.

        Raises:
            InvalidMessageError: One of them is no turn.
            PayloadMissingError: The messages of one are gone.
        """
        stored = [_turn(message.data) for message in await self._journal.last([ticket.place.turns])]
        stored.sort(key=lambda turn: turn.number)
        if [turn.number for turn in stored] != list(range(1, len(stored) + 1)):
            raise BusUnavailableError("a turn is not readable yet")
        return [await self._opened(turn) for turn in stored]

    async def append(self, ticket: Ticket, turn: Turn) -> bool:
        """Write a turn; False when another worker wrote one in its place.

        Raises:
            BusUnavailableError: The turn that is there cannot be read yet.
        """
        subject = ticket.place.turn(turn.number)
        body = TurnCompleted(
            number=turn.number,
            kind=turn.kind,
            messages=await self._payloads.wrap(turn.messages),
            usage=turn.usage,
            provider=turn.provider,
            model=turn.model,
            warnings=list(turn.warnings),
            attempts=list(turn.attempts),
            worker=ticket.worker,
        )
        if await self._publisher.create(ticket, body, subject=subject):
            return True
        return await self._is_own(ticket, subject)

    async def _is_own(self, ticket: Ticket, subject: str) -> bool:
        """Tell whether the turn that is there is ours, stored by a publish we heard nothing of."""
        found = await self._journal.last([subject])
        if not found:
            raise BusUnavailableError("the turn is taken, but not readable yet")
        return _turn(found[0].data).worker == ticket.worker

    async def _opened(self, turn: TurnCompleted) -> Turn:
        try:
            messages = msgspec.convert(await self._payloads.unwrap(turn.messages), _MESSAGES)
        except msgspec.ValidationError as error:
            raise InvalidMessageError(f"turn {turn.number} holds no messages: {error}") from error
        return Turn(
            number=turn.number,
            kind=turn.kind,
            messages=messages,
            usage=turn.usage,
            provider=turn.provider,
            model=turn.model,
            warnings=tuple(turn.warnings),
            attempts=tuple(turn.attempts),
        )


def _turn(data: bytes) -> TurnCompleted:
    try:
        body = decode(decode_event(data))
    except UndecodableError as error:
        raise InvalidMessageError(f"a turn in the journal cannot be read: {error}") from error
    if not isinstance(body, TurnCompleted):
        raise InvalidMessageError("a turn's subject holds something else")
    return body
