"""Turns of an agent loop: what was said to and by the model, and what did tools answer?

An agent's conversation is the fold of its turns, so a worker that takes over repeats no journaled
call. The guarded publish of turn `n` is also the fence between two workers on one attempt.
"""

from typing import Literal

from segue_contracts.envelope import Message
from segue_contracts.v1.chat import CallAttempt
from segue_contracts.v1.values import UsageTotals, Value


class TurnCompleted(Message, frozen=True, kw_only=True):
    """One exchange of the loop is done."""

    number: int
    """Counted from 1."""
    kind: Literal["model", "tools"]
    """Whether a model answered or tools did."""
    messages: Value
    """The messages it appends to the conversation, a list of `ChatMessage`."""
    usage: UsageTotals = UsageTotals()
    """What this turn used."""
    provider: str = ""
    """Who answered a model turn."""
    model: str = ""
    """The model that answered."""
    warnings: list[str] = []
    """What the router said, such as a fallback."""
    attempts: list[CallAttempt] = []
    """The tries at providers that a model turn took, in order; empty when the first answered."""
    worker: str = ""
    """Who wrote the turn."""
