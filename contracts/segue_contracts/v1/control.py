"""Hints to workers: what should whoever works on a run know at once?

A hint may be lost; the journal is the truth.
"""

from segue_contracts.envelope import Message


class CancelHint(Message, frozen=True, kw_only=True):
    """Work on the run, or on one step of it, is no longer wanted."""

    run: str
    """The run's id."""
    step: str = ""
    """The step's key; empty for all."""
    attempt: int = 0
    """The attempt; 0 for all."""
    reason: str = ""
    """Why."""


class CancelCall(Message, frozen=True, kw_only=True):
    """A call to a model is no longer wanted."""

    request: str
    """The request's id."""
    reason: str = ""
    """Why."""


class GrantCredit(Message, frozen=True, kw_only=True):
    """A caller can take more deltas of a call."""

    request: str
    """The request's id."""
    credit: int
    """How many more."""
    to: str = ""
    """Where the caller listens, since several may ask the same; empty for all of them."""
