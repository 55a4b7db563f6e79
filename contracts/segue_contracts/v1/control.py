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
