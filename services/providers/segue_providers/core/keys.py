"""Keys: which of a provider's keys shall a call use, and which may it not?

A refused key is dead until it changes, one without quota rests for long, and one that is asked too
often rests, for the model concerned, as long as its provider says. Keys are known by where they
come from; the keys themselves are never here.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from segue_contracts.v1.chat import ErrorClass
from segue_contracts.v1.providers import KeyState
from segue_providers.core.health import Result

QUOTA_MS: Final = 3_600_000
"""How long a key without quota rests, unless its provider says longer."""
LONGEST_MS: Final = 86_400_000
"""How long a key rests at most, whatever its provider says."""
LIMITED_MS: Final = 5_000
"""How long a key that is asked too often rests, when its provider does not say."""
NEVER: Final = -1
"""In place of a time: nothing but a new key helps."""

_MOST_RESTS: Final = 64


class Held(NamedTuple):
    """A key that a call uses."""

    ref: str
    """Where it comes from; empty when none is wanted."""
    serial: int
    """Which one it is of those that came from there."""


@dataclass(slots=True)
class _Key:
    fingerprint: str
    serial: int = 0
    in_flight: int = 0
    turn: int = 0
    dead: bool = False
    spent_until_ms: int = 0
    rests: dict[str, int] = field(default_factory=dict)


class Keys:
    """The keys of one provider.

    Args:
        fingerprints: A hash of each key by where it comes from; one empty entry for a provider
            that wants no key.
    """

    __slots__ = ("_keys", "_serial", "_turn")

    def __init__(self, fingerprints: Mapping[str, str]) -> None:
        self._keys: dict[str, _Key] = {}
        self._serial = 0
        self._turn = 0
        self.renew(fingerprints)

    def renew(self, fingerprints: Mapping[str, str]) -> None:
        """Take other keys over; those that stayed the same keep their state."""
        old, self._keys = self._keys, {}
        for ref, fingerprint in fingerprints.items():
            kept = old.get(ref)
            if kept is None or kept.fingerprint != fingerprint:
                self._serial += 1
                kept = _Key(fingerprint, self._serial)
            self._keys[ref] = kept

    def pick(
        self,
        model: str,
        *,
        now_ms: int,
        without: Collection[str] = (),
        having: Mapping[str, str] | None = None,
    ) -> Held | None:
        """Choose the key with the fewest calls in flight, and among equals take turns.

        The key must come back by `record` or `put_back`.

        Args:
            model: The model that is called.
            now_ms: The time.
            without: Keys not to choose.
            having: The keys that the caller can use, by where they come from, as their hashes;
                None for all. A caller that began before a key changed has the one before.
        """
        free = [
            (key.in_flight, key.turn, ref)
            for ref, key in self._keys.items()
            if ref not in without
            and (having is None or having.get(ref) == key.fingerprint)
            and not _rests_until(key, model, now_ms)
        ]
        if not free:
            return None
        ref = min(free)[2]
        self._turn += 1
        key = self._keys[ref]
        key.turn = self._turn
        key.in_flight += 1
        return Held(ref, key.serial)

    def put_back(self, held: Held) -> None:
        """Return a key that was not used after all."""
        key = self._same(held)
        if key is not None:
            key.in_flight -= 1

    def record(self, held: Held, model: str, result: Result, *, now_ms: int) -> None:
        """Take into account how a call with a key ended."""
        key = self._same(held)
        if key is None:
            return
        key.in_flight -= 1
        if result.error is not None:
            _rest(key, model, result.error, now_ms, result.retry_after_s)

    def free_at(self, model: str, *, now_ms: int) -> int:
        """Return 0 when a key is free, else when the first one is; `NEVER` when none will be."""
        first = NEVER
        for key in self._keys.values():
            time = _rests_until(key, model, now_ms)
            if time == 0:
                return 0
            if time != NEVER and (first == NEVER or time < first):
                first = time
        return first

    def why_not(self, model: str, *, now_ms: int) -> str:
        """Return why no key is free, as a class of error; empty when one is."""
        if self.free_at(model, now_ms=now_ms) == 0:
            return ""
        reasons = {_reason(key, model, now_ms) for key in self._keys.values()}
        return ", ".join(sorted(reasons))

    def states(self, *, now_ms: int) -> list[KeyState]:
        """Describe the keys for operators."""
        return [_described(ref, key, now_ms) for ref, key in self._keys.items()]

    def _same(self, held: Held) -> _Key | None:
        """Return a key unless another took its place."""
        key = self._keys.get(held.ref)
        return key if key is not None and key.serial == held.serial else None


def _rest(
    key: _Key, model: str, error: ErrorClass, now_ms: int, retry_after_s: float | None
) -> None:
    asked = min(round((retry_after_s or 0) * 1000), LONGEST_MS)
    match error:
        case "auth":
            key.dead = True
        case "quota_exhausted":
            key.spent_until_ms = max(key.spent_until_ms, now_ms + max(asked, QUOTA_MS))
        case "rate_limited":
            _forget_past(key, now_ms)
            until = now_ms + (asked or LIMITED_MS)
            key.rests[model] = max(key.rests.get(model, 0), until)
        case _:
            pass


def _forget_past(key: _Key, now_ms: int) -> None:
    """Keep the rests few, since callers may name any model."""
    key.rests = {model: until for model, until in key.rests.items() if until > now_ms}
    if len(key.rests) >= _MOST_RESTS:
        del key.rests[min(key.rests, key=key.rests.__getitem__)]


def _rests_until(key: _Key, model: str, now_ms: int) -> int:
    """Return 0 when a key is free for a model, else when it is, or `NEVER`."""
    if key.dead:
        return NEVER
    until = max(key.spent_until_ms, key.rests.get(model, 0)) if key.rests else key.spent_until_ms
    return until if until > now_ms else 0


def _reason(key: _Key, model: str, now_ms: int) -> str:
    if key.dead:
        return "auth"
    if key.spent_until_ms > now_ms:
        return "quota_exhausted"
    return "rate_limited" if key.rests.get(model, 0) > now_ms else ""


def _described(ref: str, key: _Key, now_ms: int) -> KeyState:
    if key.dead:
        return KeyState(ref=ref, usable=False, reason="auth")
    if key.spent_until_ms > now_ms:
        return KeyState(
            ref=ref, usable=False, reason="quota_exhausted", until_ms=key.spent_until_ms
        )
    until = max(key.rests.values(), default=0)
    if until > now_ms:
        return KeyState(ref=ref, usable=False, reason="rate_limited", until_ms=until)
    return KeyState(ref=ref, usable=True)
