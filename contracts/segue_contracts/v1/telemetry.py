"""Telemetry: what do services tell of themselves and their decisions?"""

from typing import Literal

from segue_contracts.envelope import Message
from segue_contracts.v1.chat import CallAttempt


class ServiceStateChanged(Message, frozen=True, kw_only=True):
    """A service instance came up or is going down."""

    service: str
    """The service's name."""
    instance: str
    """Which one of it."""
    state: Literal["ready", "draining"]
    """What it is now."""
    version: str = ""
    """The release it runs."""


class RouteCandidate(Message, frozen=True, kw_only=True):
    """A provider that was considered."""

    provider: str
    """Its configured name."""
    eligible: bool
    """Whether it could have been chosen."""
    reason: str = ""
    """Why not, or why it ranks where it does."""
    model: str = ""
    """The model it would be asked for."""
    score: float = 0
    """Its score under the policy, the lowest goes first; 0 for those ruled out."""


class RouteDecided(Message, frozen=True, kw_only=True):
    """The router chose a provider."""

    request: str
    """The request's id."""
    chosen: str
    """The provider; empty when none could serve."""
    requested: list[str] = []
    """The caller's preference."""
    candidates: list[RouteCandidate] = []
    """All providers considered, in order."""
    run: str = ""
    """The run, when the request belongs to one."""
    step: str = ""
    """The step's key."""
    policy: str = ""
    """The policy that ranked the candidates."""


class ModelCalled(Message, frozen=True, kw_only=True):
    """One try at one provider is over, whether it won, failed, was hedged away or cancelled."""

    request: str
    """The request's id."""
    call: CallAttempt
    """How it went, with its usage and cost."""
    run: str = ""
    """The run, when the request belongs to one."""
    step: str = ""
    """The step's key."""
    then: str = ""
    """What the router does next, for people, such as `next: gemini`; empty when it won."""


class BreakerChanged(Message, frozen=True, kw_only=True):
    """A breaker let calls through, or stopped to."""

    provider: str
    """The provider."""
    model: str
    """The model."""
    state: Literal["closed", "open", "half_open", "ramping"]
    """What it is now."""
    before: Literal["closed", "open", "half_open", "ramping"]
    """What it was."""
    reason: str
    """Why, for people."""
    instance: str = ""
    """The instance whose breaker it is."""


class DeadLetter(Message, frozen=True, kw_only=True):
    """A message that could not be handled, kept whole with its reason."""

    service: str
    """Who could not handle it."""
    reason: str
    """Typed reason, such as `undecodable`, `unknown_agent`, `payload_missing`."""
    detail: str
    """One sentence; never the payload."""
    subject: str
    """Where the message was."""
    data_b64: str
    """The message as it was, base64; the first 512 KiB of a larger one."""
    stream: str = ""
    """The stream it is in; empty for a plain message."""
    sequence: int = 0
    """Its stream sequence."""
    headers: dict[str, str] = {}
    """Its headers, without credentials."""
