"""Spending: how is it told what work used whose outcome does not count?"""

from collections.abc import Iterable
from decimal import Decimal
from typing import Final

import structlog
from msgspec import UNSET, UnsetType

from segue_contracts.envelope import Event, Message, UndecodableError, decode_event, raw
from segue_contracts.v1.registry import decode
from segue_contracts.v1.steps import StepCancelled, StepCompleted, StepFailed, StepTimedOut
from segue_contracts.v1.turns import TurnCompleted
from segue_contracts.v1.values import UsageTotals
from segue_shared.errors import TransientError
from segue_shared.ids import Ids
from segue_shared.journal import StoredMessage
from segue_worker.place import is_outcome
from segue_worker.ports import JournalReader
from segue_worker.publisher import Publisher
from segue_worker.ticket import Ticket

_log = structlog.get_logger()

_NOTHING: Final = UsageTotals()


class Spending:
    """Tells what was used for nothing, so that it is charged all the same.

    Args:
        publisher: How it is told.
        journal: Where it is seen what is told already.
        ids: What names what is told.
    """

    def __init__(self, publisher: Publisher, *, journal: JournalReader, ids: Ids) -> None:
        self._publisher = publisher
        self._journal = journal
        self._ids = ids

    async def tell(self, ticket: Ticket, outcome: Message | None) -> None:
        """Tell what an attempt used that somebody else settled.

        Args:
            ticket: The attempt.
            outcome: What was refused; None when the work was given up.
        """
        usage = ticket.spent.usage if outcome is None else usage_in(outcome)
        if usage == _NOTHING:
            return
        place = ticket.place
        try:
            stored = await self._journal.last([place.outcome_guard, place.turns])
            if outcome is not None and _is_there(outcome, stored):
                return  # it was stored by a publish of which nothing was heard
            rest = _beyond(usage, _turns(stored))
            if rest != _NOTHING:
                await self._publisher.spent(ticket, rest, teller=self._ids.unique())
        except TransientError as error:
            _log.warning("spending_untold", run=place.run, step=str(place.step), reason=str(error))


def told(usage: UsageTotals) -> UsageTotals | UnsetType:
    """Return a usage as an outcome tells it that may have none."""
    return UNSET if usage == _NOTHING else usage


def usage_in(outcome: Message) -> UsageTotals:
    """Return what an outcome says that its attempt used."""
    match outcome:
        case StepCompleted(usage=usage) | StepFailed(usage=usage):
            return usage
        case StepTimedOut(usage=usage) | StepCancelled(usage=usage):
            return _NOTHING if isinstance(usage, UnsetType) else usage
        case _:
            return _NOTHING


def _is_there(outcome: Message, stored: Iterable[StoredMessage]) -> bool:
    settled = (_event_of(message) for message in stored if is_outcome(message.subject))
    return any(event and bytes(event.data) == bytes(raw(outcome)) for event in settled)


def _turns(stored: Iterable[StoredMessage]) -> list[UsageTotals]:
    """Return what the turns of an attempt tell, whoever had them."""
    events = (_event_of(message) for message in stored if not is_outcome(message.subject))
    turns = (decode(event) for event in events if event)
    return [turn.usage for turn in turns if isinstance(turn, TurnCompleted)]


def _event_of(message: StoredMessage) -> Event | None:
    """Read an event; None when it is none, or its body is not of its type: nobody charges it."""
    try:
        event = decode_event(message.data)
        decode(event)
    except UndecodableError:
        return None
    return event


def _beyond(usage: UsageTotals, turns: list[UsageTotals]) -> UsageTotals:
    """Return what of a usage the turns do not tell."""
    usd = Decimal(usage.cost_usd) - sum(Decimal(turn.cost_usd) for turn in turns)
    return UsageTotals(
        input_tokens=max(usage.input_tokens - sum(turn.input_tokens for turn in turns), 0),
        output_tokens=max(usage.output_tokens - sum(turn.output_tokens for turn in turns), 0),
        cost_usd=f"{usd:f}" if usd > 0 else "0",
        model_calls=max(usage.model_calls - sum(turn.model_calls for turn in turns), 0),
        tool_calls=max(usage.tool_calls - sum(turn.tool_calls for turn in turns), 0),
    )
