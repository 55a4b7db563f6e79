"""The fleet: may a model be called now, by which key, and what did the call teach?

It brings health, breakers and keys together; one fleet lives as long as its process, across
changes of the configuration.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from segue_contracts.v1.chat import ErrorClass
from segue_contracts.v1.providers import KeyState
from segue_providers.core.breaker import Breaker, Change, Pass
from segue_providers.core.catalogue import Target
from segue_providers.core.health import MOST_MODELS, Health, Result, Vital
from segue_providers.core.keys import NEVER, Held, Keys

KEYLESS: Final = ""
"""The key of providers that want none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """A call that may be made; it must come back by `Fleet.record`, however it ends."""

    target: Target
    key: str
    """Where its key comes from; empty for none."""
    breaker: Pass
    held: Held | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Barred:
    """A call that may not be made now."""

    error: ErrorClass
    """The class of error that stands for it."""
    reason: str
    """Why, for people."""
    until_ms: int = 0
    """When it may be made; 0 when that cannot be said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turned:
    """A breaker changed its state."""

    target: Target
    change: Change


class Fleet:
    """How providers, models and keys fare."""

    def __init__(self) -> None:
        self.health: Final = Health()
        """What the calls showed."""
        self._breakers: dict[Target, Breaker] = {}
        self._keys: dict[str, Keys] = {}
        self._most: dict[str, int] = {}
        self._turned: list[Turned] = []

    def renew(
        self, fingerprints: Mapping[str, Mapping[str, str]], *, most: Mapping[str, int]
    ) -> None:
        """Take over the keys and limits of a new configuration.

        Args:
            fingerprints: A hash of each key by where it comes from, by provider.
            most: How many calls a provider may have in flight.
        """
        kept = self._keys
        self._keys = {name: kept.get(name, Keys({})) for name in fingerprints}
        for name, keys in self._keys.items():
            keys.renew(fingerprints[name])
        self._most = dict(most)

    def vital(self, target: Target) -> Vital | None:
        """Return what is remembered of a model; None when nothing is."""
        return self.health.of(target)

    def barred(self, target: Target, *, now_ms: int) -> Barred | None:
        """Tell whether a call may not be made now; nothing changes by asking."""
        breaker = self._breakers.get(target)
        if breaker is not None and not breaker.calm:
            again = breaker.admits_at(now_ms)
            self._note(target, breaker)
            if again:
                return _open(breaker, now_ms)
        return self._without_room(target, now_ms)

    def share(self, target: Target, *, now_ms: int) -> float:
        """Return which share of calls may go to a model first."""
        breaker = self._breakers.get(target)
        return 1.0 if breaker is None or breaker.calm else breaker.share(now_ms)

    def admit(
        self,
        target: Target,
        *,
        now_ms: int,
        without: Collection[str] = (),
        having: Mapping[str, str] | None = None,
    ) -> Admission | Barred:
        """Admit a call, or say why not.

        Args:
            target: The model to call.
            now_ms: The time.
            without: Keys that failed this call before.
            having: The keys that the caller's setup has, as `Setup.keys` tells them; None for all.
        """
        barred = self._without_room(target, now_ms)
        if barred is not None:
            return barred
        keys, held = self._keys.get(target.provider), None
        if keys is not None:
            held = keys.pick(target.model, now_ms=now_ms, without=without, having=having)
            if held is None:
                return Barred(error="auth", reason="no other key is left")
        breaker = self._breaker(target)
        admitted = breaker.admit(now_ms=now_ms)
        self._note(target, breaker)
        if admitted is None:
            if keys is not None and held is not None:
                keys.put_back(held)
            return _open(breaker, now_ms)
        self.health.began(target, now_ms=now_ms)
        key = held.ref if held is not None else next(iter(having or ()), KEYLESS)
        return Admission(target=target, key=key, breaker=admitted, held=held)

    def record(self, admission: Admission, result: Result, *, now_ms: int, jitter: float) -> None:
        """Learn from a call.

        Args:
            admission: What `admit` returned.
            result: How it ended, `cancelled` when it was given up.
            now_ms: When.
            jitter: A random number from 0 to 1.
        """
        self.health.record(admission.target, result, now_ms=now_ms)
        self._learn(admission, result, now_ms, jitter)

    def record_probe(
        self, admission: Admission, result: Result, *, now_ms: int, jitter: float
    ) -> None:
        """Learn from a call that asked no model: of reaching a provider and of its key only."""
        target = admission.target
        self.health.record(target, Result(error="cancelled"), now_ms=now_ms)
        self._learn(admission, result, now_ms, jitter)

    def awaiting_probe(self, *, now_ms: int) -> list[Target]:
        """Return the models whose breaker waits for somebody to try."""
        waiting = []
        for target, breaker in self._breakers.items():
            if breaker.awaits_probe(now_ms):
                waiting.append(target)
            self._note(target, breaker)
        return waiting

    def breaker(self, target: Target) -> Breaker | None:
        """Return a model's breaker; None while it was never called."""
        return self._breakers.get(target)

    def key_states(self, provider: str, *, now_ms: int) -> list[KeyState]:
        """Describe a provider's keys; those that want none have none to describe."""
        keys = self._keys.get(provider)
        states = [] if keys is None else keys.states(now_ms=now_ms)
        return [state for state in states if state.ref != KEYLESS]

    def turned(self) -> list[Turned]:
        """Return which breakers changed since this was asked last."""
        turned, self._turned = self._turned, []
        return turned

    def _learn(self, admission: Admission, result: Result, now_ms: int, jitter: float) -> None:
        target = admission.target
        breaker = self._breaker(target)
        breaker.record(admission.breaker, result, now_ms=now_ms, jitter=jitter)
        self._note(target, breaker)
        keys = self._keys.get(target.provider)
        if keys is not None and admission.held is not None:
            keys.record(admission.held, target.model, result, now_ms=now_ms)

    def _without_room(self, target: Target, now_ms: int) -> Barred | None:
        most = self._most.get(target.provider)
        if most is not None and self.health.in_flight(target.provider) >= most:
            reason = f"{most} calls are in flight, the most allowed"
            return Barred(error="overloaded", reason=reason)
        keys = self._keys.get(target.provider)
        if keys is None or keys.free_at(target.model, now_ms=now_ms) == 0:
            return None
        return _keyless(keys, target.model, now_ms)

    def _breaker(self, target: Target) -> Breaker:
        breaker = self._breakers.get(target)
        if breaker is None:
            if len(self._breakers) > MOST_MODELS:
                self._forget()
            breaker = self._breakers[target] = Breaker()
        return breaker

    def _forget(self) -> None:
        """Drop the breakers of models that health has forgotten; callers may name any model."""
        self._breakers = {
            target: breaker
            for target, breaker in self._breakers.items()
            if self.health.of(target) is not None
        }

    def _note(self, target: Target, breaker: Breaker) -> None:
        self._turned += [Turned(target=target, change=one) for one in breaker.changes()]


def _open(breaker: Breaker, now_ms: int) -> Barred:
    until = breaker.until_ms
    if until:
        left = -(-(until - now_ms) // 1000)
        reason = f"its breaker is open, next try in {left} s"
        return Barred(error="overloaded", reason=reason, until_ms=until)
    return Barred(error="overloaded", reason="its breaker is half-open and enough probes run")


def _keyless(keys: Keys, model: str, now_ms: int) -> Barred:
    why, until = keys.why_not(model, now_ms=now_ms), keys.free_at(model, now_ms=now_ms)
    if until == NEVER:
        return Barred(error="auth", reason="every key was refused (auth); set a new one")
    left = -(-(until - now_ms) // 1000)
    error: ErrorClass = "quota_exhausted" if "quota_exhausted" in why else "rate_limited"
    return Barred(error=error, reason=f"every key rests ({why}) for {left} s", until_ms=until)
