"""Faults: what goes wrong in a simulation, how often, and what has gone wrong so far?"""

from collections import Counter
from dataclasses import dataclass
from random import Random
from typing import Literal

Kind = Literal[
    "publish_lost",
    "ack_lost",
    "ack_delayed",
    "in_flight_stored",
    "in_flight_absent",
    "request_lost",
    "settling_lost",
    "duplicate",
    "redelivery",
    "delivery_delayed",
    "batch_cut",
    "pin_moved",
    "stale_read",
    "purge",
    "crash",
    "disconnect",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultPlan:
    """Chances between 0 and 1, and how bad it may become; nothing goes wrong by default."""

    publish_lost: float = 0
    """A publish to a stream is lost, and so is neither stored nor acknowledged."""
    ack_lost: float = 0
    """A publish is stored, and its publisher hears nothing."""
    ack_delayed: float = 0
    """The answer to a publish comes late, by up to `delay_s`."""
    in_flight_stored: float = 0
    """A guarded publish is refused as one in flight (10164), and is stored."""
    in_flight_absent: float = 0
    """A guarded publish is refused as one in flight (10164), and is not stored."""
    request_lost: float = 0
    """A JetStream request, such as a read or a pull, has neither effect nor answer."""
    settling_lost: float = 0
    """What a consumer's client says of a delivery is lost."""
    duplicate: float = 0
    """A consumer's message arrives twice."""
    redelivery: float = 0
    """A consumer's message is handed out again although it is not due."""
    delivery_delayed: float = 0
    """A consumer's message comes late by up to `delay_s`, and what follows it as well."""
    batch_cut: float = 0
    """A pull request ends after any of its messages."""
    pin_moved: float = 0
    """A pinned client loses its pin before a delivery."""
    stale_read: float = 0
    """A direct get reads a replica that lacks some of the newest messages, see `lag`."""
    purge: float = 0
    """After a publish its stream loses all but the newest `kept` messages."""
    crash: float = 0
    """A process dies at a publish, right before it or right after."""
    disconnect: float = 0
    """A client loses its connection at a publish, for up to `away_s`."""

    latency_s: float = 0
    """How long a message may take in either direction."""
    delay_s: float = 8
    """How late something late may be."""
    lag: int = 5
    """How many messages a replica may lack."""
    lag_s: float = 2
    """How old a message that a replica lacks may be."""
    batch_most: int = 0
    """How many messages an answer to a direct get has room for; 0 for no bound."""
    kept: int = 100
    """How many messages a purge leaves."""
    restart_s: float = 2
    """How long a dead process may stay away."""
    away_s: float = 3
    """How long a connection may stay lost."""
    timer_early_s: float = 0
    """How much too early a schedule may fire."""
    timer_late_s: float = 0
    """How late a schedule may fire."""
    skew_ms: int = 0
    """How far a process's clock may be off, in either direction."""


class Faults:
    """Decides what goes wrong, from a seeded source of chance, and counts it."""

    def __init__(self, plan: FaultPlan, random: Random) -> None:
        self.plan = plan
        self.random = random
        self.injected: Counter[str] = Counter()
        """How often each kind of fault came."""

    def heal(self) -> None:
        """Let nothing go wrong from now on."""
        self.plan = FaultPlan()

    def hits(self, kind: Kind) -> bool:
        """Tell whether something goes wrong now."""
        chance: float = getattr(self.plan, kind)
        if chance <= 0 or self.random.random() >= chance:
            return False
        self.injected[kind] += 1
        return True

    def up_to(self, limit: float) -> float:
        """Return something between nothing and a limit; a limit of nothing takes no chance."""
        return self.random.uniform(0, limit) if limit > 0 else 0.0

    def skew_ms(self) -> int:
        """Return how far a clock is off."""
        limit = self.plan.skew_ms
        return self.random.randint(-limit, limit) if limit > 0 else 0

    def lag(self) -> int:
        """Return how many of the newest messages a read lacks."""
        return self.random.randint(1, self.plan.lag) if self.hits("stale_read") else 0

    def timer_shift_s(self) -> float:
        """Return how late a schedule fires; less than nothing is too early."""
        return self.up_to(self.plan.timer_late_s) - self.up_to(self.plan.timer_early_s)
