"""Ephemeral progress: what is being said and done right now?

Deltas are plain messages that may be lost; the durable event that follows is the truth.
"""

from typing import Literal

from msgspec import UNSET, UnsetType

from segue_contracts.envelope import Message
from segue_contracts.v1.chat import Cost, ErrorClass, Stop, Usage


class _Delta(Message, frozen=True, kw_only=True, tag_field="type"):
    """What every delta carries."""

    request: str
    """The request it belongs to."""
    attempt: int = 1
    """The router's attempt; a higher one discards what came before."""
    seq: int = 0
    """Counted from 0 within the request; a hole means a lost delta."""
    t_ms: float = 0
    """Milliseconds since the request began."""


class DeltaStart(_Delta, frozen=True, kw_only=True, tag="start"):
    """A provider began to answer."""

    provider: str = ""
    """Who answers."""
    model: str = ""
    """The model that answers."""


class PartStart(_Delta, frozen=True, kw_only=True, tag="part_start"):
    """A part of the answer begins."""

    index: int
    """The part's place in the answer, counted from 0."""
    kind: Literal["text", "reasoning", "tool_call"]
    """What the part is."""
    id: str = ""
    """A tool call's id; empty for other parts."""
    name: str = ""
    """The tool called; empty for other parts."""


class PartDelta(_Delta, frozen=True, kw_only=True, tag="delta"):
    """More of an open part; one of the fields is present."""

    index: int
    """The part's place in the answer, counted from 0."""
    text: str | UnsetType = UNSET
    """More text."""
    args: str | UnsetType = UNSET
    """More of a tool call's arguments, a piece of JSON text."""
    reasoning: str | UnsetType = UNSET
    """More reasoning."""


class PartEnd(_Delta, frozen=True, kw_only=True, tag="part_end"):
    """A part is complete."""

    index: int
    """The part's place in the answer, counted from 0."""


class UsageDelta(_Delta, frozen=True, kw_only=True, tag="usage"):
    """Usage so far, cumulative."""

    usage: Usage
    """Tokens of the call up to now."""


class AttemptReset(_Delta, frozen=True, kw_only=True, tag="attempt_reset"):
    """The answer starts over; discard what was shown."""

    reason: str
    """Why, for people."""


class Heartbeat(_Delta, frozen=True, kw_only=True, tag="heartbeat"):
    """Still waiting for the provider."""


class DeltaEnd(_Delta, frozen=True, kw_only=True, tag="end"):
    """The answer is complete."""

    stop: Stop
    """Why the model stopped."""
    usage: Usage = Usage()
    """Tokens of the whole call."""
    cost: Cost = Cost()
    """What the call cost."""


class DeltaError(_Delta, frozen=True, kw_only=True, tag="error"):
    """The answer broke off; what was shown is not the whole."""

    error: ErrorClass
    """What went wrong."""
    message: str
    """One sentence for people; never a secret."""
    retry_after_ms: int = 0
    """Milliseconds the provider asks to wait; 0 when it did not say."""
    partial: bool = False
    """Whether part of the answer was shown before."""
    usage: Usage = Usage()
    """Tokens used all the same."""


class ToolProgress(_Delta, frozen=True, kw_only=True, tag="tool"):
    """An agent's tool began or ended."""

    name: str
    """The tool."""
    state: Literal["started", "completed", "failed"]
    """What became of it."""
    summary: str = ""
    """One line for people."""


Delta = (
    DeltaStart
    | PartStart
    | PartDelta
    | PartEnd
    | UsageDelta
    | AttemptReset
    | Heartbeat
    | DeltaEnd
    | DeltaError
    | ToolProgress
)


class StepDelta(Message, frozen=True, kw_only=True):
    """Progress of a step."""

    run: str
    """The run's id."""
    step: str
    """The step's key as the author wrote it."""
    delta: Delta
    """What is new."""
