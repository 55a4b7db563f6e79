"""Claims: which run does an idempotency key stand for, for ever?

A key is claimed before its run is started. Once the run's first event is stored, the claim notes
its sequence; from then on nobody looks for the event, which the journal may let go.
"""

import hashlib
from typing import Final

import msgspec

from segue_contracts.envelope import encode
from segue_contracts.reply import Refused
from segue_shared.clock import Clock
from segue_shared.errors import RefusedError
from segue_shared.keyvalue import KeyValue

_TRUSTED: Final = 0.9
"""Share of the retention window in which nothing is let go, however clocks differ."""


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """What a key stands for."""

    run: str
    hash: str
    """SHA-256 over what was asked for."""
    at_ms: int = 0
    """When it was claimed."""
    sequence: int = 0
    """Stream sequence of the run's first event; 0 until that is known to be stored."""
    workflow: str = ""
    """The definition's name, once it is."""
    definition: str = ""
    """The definition's hash, once it is."""


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """A claim, and where it is kept."""

    key: str
    claim: Claim
    revision: int
    is_new: bool = False
    """Whether it was made just now."""


class Claims:
    """The claims of all keys."""

    def __init__(self, store: KeyValue, clock: Clock, *, window_s: float) -> None:
        """Make the claims of a journal.

        Args:
            store: Where they are kept.
            clock: The time.
            window_s: How long the journal keeps events at least, seconds.
        """
        self._store = store
        self._clock = clock
        self._window_ms = int(window_s * 1000)

    async def find(self, namespace: str, key: str, *, content: bytes) -> Held | None:
        """Return the claim of a key; None when it has none.

        Raises:
            RefusedError: It stands for another content.
        """
        name = _name(namespace, key)
        entry = await self._store.get(name)
        if entry is None:
            return None
        claim = msgspec.json.decode(entry.value, type=Claim)
        if claim.hash != _digest(content):
            raise RefusedError(_conflict(key, claim.run))
        return Held(key=name, claim=claim, revision=entry.revision)

    async def take(self, namespace: str, key: str, *, run: str, content: bytes) -> Held:
        """Claim a key for a run, or return the claim that it has.

        Raises:
            RefusedError: It stands for another content.
        """
        name = _name(namespace, key)
        claim = Claim(run=run, hash=_digest(content), at_ms=self._clock.now_ms())
        while True:
            revision = await self._store.create(name, encode(claim))
            if revision is not None:
                return Held(key=name, claim=claim, revision=revision, is_new=True)
            held = await self.find(namespace, key, content=content)
            if held is not None:
                return held

    async def settle(self, held: Held, *, sequence: int, workflow: str, definition: str) -> None:
        """Note that the run's first event is stored; whoever notes it first is right."""
        claim = msgspec.structs.replace(
            held.claim, sequence=sequence, workflow=workflow, definition=definition
        )
        await self._store.update(held.key, encode(claim), held.revision)

    def check_age(self, key: str, held: Held) -> None:
        """Refuse a claim whose run may have been started, and let go, without anybody noting it.

        Raises:
            RefusedError: It is that old.
        """
        age_ms = self._clock.now_ms() - held.claim.at_ms
        if held.is_new or age_ms < self._window_ms * _TRUSTED:
            return
        message = (
            f"key {key!r} was claimed for run {held.claim.run}, which may have been started and "
            "forgotten since; use a new key for a new run"
        )
        details = {"run": held.claim.run}
        raise RefusedError(Refused(code="conflict", message=message, details=details))


def _name(namespace: str, key: str) -> str:
    return f"{namespace}.{hashlib.sha256(key.encode()).hexdigest()}"


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _conflict(key: str, run: str) -> Refused:
    message = (
        f"key {key!r} started run {run} with another definition or other inputs; "
        "use a new key for a new run"
    )
    return Refused(code="conflict", message=message, details={"run": run})
