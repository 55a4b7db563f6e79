"""The stream: what does JetStream keep, refuse and forget?"""

import heapq
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import msgspec

from segue_shared.journal import parse_time_ms
from segue_testing.sim.consumer import SimConsumer
from segue_testing.sim.patterns import any_of, fits, is_pattern, transformed

if TYPE_CHECKING:
    from segue_testing.sim.server import SimServer

NANO: Final = 1_000_000_000

_EXPECTED: Final = "Nats-Expected-Last-Subject-Sequence"
_GUARD: Final = f"{_EXPECTED}-Subject"
_MARKER: Final = "Nats-Marker-Reason"
_AT: Final = "@at"
_TTL: Final = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?|(\d+)")
_ONCE: Final = frozenset(
    {_EXPECTED, _GUARD, "Nats-Schedule", "Nats-Schedule-Target", "Nats-Schedule-TTL", "Nats-TTL"}
)
"""Headers of a schedule that what it fires does not carry."""


class Held(msgspec.Struct, frozen=True):
    """A message as the stream holds it."""

    sequence: int
    subject: str
    data: bytes
    headers: Mapping[str, str]
    time_ns: int

    def marked(self, stream: str) -> dict[str, str]:
        """Return its headers with those that say where it is held."""
        return {
            **self.headers,
            "Nats-Stream": stream,
            "Nats-Subject": self.subject,
            "Nats-Sequence": str(self.sequence),
            "Nats-Time-Stamp": timestamp(self.time_ns),
        }


class RefusedPublishError(Exception):
    """A stream does not take a message."""

    def __init__(self, err_code: int, description: str) -> None:
        super().__init__(description)
        self.error = {"code": 400, "err_code": err_code, "description": description}


class SimStream:
    """One stream and its consumers."""

    def __init__(self, server: "SimServer", config: dict[str, Any]) -> None:
        self.server = server
        self.config = config
        self.name: Final[str] = config["name"]
        self.messages: dict[int, Held] = {}
        """What it holds, by sequence, in order."""
        self.by_subject: dict[str, list[int]] = {}
        """The sequences of each subject that it holds, in order."""
        self.last_seq = 0
        self.consumers: dict[str, SimConsumer] = {}
        self._expiries: list[tuple[int, int]] = []

    def accepts(self, subject: str) -> bool:
        """Tell whether messages of a subject are stored here."""
        return bool(any_of(tuple(self.config["subjects"]))(subject))

    @property
    def first_seq(self) -> int:
        """The oldest sequence held, or the next one when none is."""
        return next(iter(self.messages), self.last_seq + 1)

    def subjects(self, pattern: str) -> Iterator[str]:
        """Yield the subjects held that fit a pattern."""
        if is_pattern(pattern):
            fitting = any_of((pattern,))
            yield from (subject for subject in self.by_subject if fitting(subject))
        elif pattern in self.by_subject:
            yield pattern

    def newest(self, pattern: str, *, upto: int | None = None) -> int:
        """Return the newest sequence that fits a pattern; 0 for none.

        Args:
            pattern: A subject, with or without wildcards.
            upto: The newest sequence that counts.
        """
        found = (self.newest_of(subject, upto) for subject in self.subjects(pattern))
        return max(found, default=0)

    def newest_of(self, subject: str, upto: int | None) -> int:
        """Return the newest sequence of one subject, see `newest`."""
        sequences = self.by_subject[subject]
        if upto is None or sequences[-1] <= upto:
            return sequences[-1]
        return max((sequence for sequence in sequences if sequence <= upto), default=0)

    def known_to_replica(self, lag: int) -> int:
        """Return the newest sequence of a replica that lacks so many messages, none of them old."""
        since_ns = self.server.now_ns - int(self.server.faults.plan.lag_s * NANO)
        upto = self.last_seq
        for sequence in range(self.last_seq, max(self.last_seq - lag, 0), -1):
            held = self.messages.get(sequence)
            if held is not None and held.time_ns < since_ns:
                break
            upto = sequence - 1
        return upto

    def publish(self, subject: str, data: bytes, headers: Mapping[str, str]) -> Held:
        """Store a message as its headers ask.

        Raises:
            RefusedPublishError: They forbid it, or ask for what the stream does not do.
        """
        self.sweep()
        if _EXPECTED in headers:
            last = self.newest(headers.get(_GUARD, subject))
            if headers[_EXPECTED] != str(last):
                raise RefusedPublishError(10071, f"wrong last sequence: {last}")
        if "Nats-TTL" in headers:
            if not self.config.get("allow_msg_ttl"):
                raise RefusedPublishError(10166, "per-message TTL is disabled")
            _ttl_ns(headers["Nats-TTL"])
        fires_ms = self._schedule(headers) if "Nats-Schedule" in headers else None
        held = self.store(subject, data, headers)
        if fires_ms is not None:
            self._arm(held, fires_ms)
        return held

    def store(self, subject: str, data: bytes, headers: Mapping[str, str]) -> Held:
        """Store a message, let go of what it replaces, and tell everybody."""
        before = self.by_subject.get(subject, [0])[-1]
        self.last_seq += 1
        held = Held(self.last_seq, subject, data, headers, self.server.now_ns)
        self.messages[held.sequence] = held
        self.by_subject.setdefault(subject, []).append(held.sequence)
        for witness in self.server.witnesses:
            witness(self.name, held)
        self._expire_later(held)
        self._replace(held)
        self._republish(held, before)
        for consumer in tuple(self.consumers.values()):
            consumer.offer(held)
        return held

    def remove(self, sequence: int) -> None:
        """Let go of one message."""
        held = self.messages.pop(sequence, None)
        if held is None:
            return
        left = self.by_subject[held.subject]
        left.remove(sequence)
        if not left:
            del self.by_subject[held.subject]
        for consumer in self.consumers.values():
            consumer.forget(sequence)

    def purge(self, *, pattern: str = "", before: int = 0, keep: int = 0) -> int:
        """Let go of messages, and return how many.

        Args:
            pattern: The subjects that go; all by default.
            before: Only messages before this sequence go; 0 for no bound.
            keep: How many of the newest stay.
        """
        going = [
            held.sequence
            for held in self.messages.values()
            if (not pattern or fits(pattern, held.subject))
            and (not before or held.sequence < before)
        ]
        going = going[: max(len(going) - keep, 0)]
        for sequence in going:
            self.remove(sequence)
        return len(going)

    def sweep(self) -> None:
        """Let go of what is too old, which nobody sees before the next call."""
        while self._expiries and self._expiries[0][0] <= self.server.now_ns:
            held = self.messages.get(heapq.heappop(self._expiries)[1])
            if held is not None:
                self.remove(held.sequence)
                self._mark(held)

    def _mark(self, held: Held) -> None:
        """Store the marker of a subject whose last message grew too old."""
        lasts_ns = self.config.get("subject_delete_marker_ttl", 0)
        if lasts_ns and held.subject not in self.by_subject and _MARKER not in held.headers:
            headers = {"Nats-TTL": _duration(lasts_ns // NANO), "Nats-Rollup": "sub"}
            self.store(held.subject, b"", {_MARKER: "MaxAge", **headers})

    def _expire_later(self, held: Held) -> None:
        ages = [self.config.get("max_age", 0) or None]
        if "Nats-TTL" in held.headers:
            ages = [_ttl_ns(held.headers["Nats-TTL"])]
        for age in filter(None, ages):
            heapq.heappush(self._expiries, (held.time_ns + age, held.sequence))

    def _replace(self, held: Held) -> None:
        """Let go of what a newer message of its subject, or a cancellation, makes needless."""
        limit = self.config.get("max_msgs_per_subject", 0)
        if "Nats-Schedule" in held.headers:
            limit = 1
        if limit > 0:
            for sequence in self.by_subject[held.subject][:-limit]:
                self.remove(sequence)
        if held.headers.get("Nats-Schedule-Next") == "purge":
            self.purge(pattern=held.headers.get("Nats-Scheduler", ""))

    def _republish(self, held: Held, before: int) -> None:
        republish = self.config.get("republish")
        if not republish:
            return
        target = transformed(held.subject, source=republish["src"], destination=republish["dest"])
        if target is not None:
            headers = {**held.marked(self.name), "Nats-Last-Sequence": str(before)}
            self.server.send(target, held.data, headers)

    def _schedule(self, headers: Mapping[str, str]) -> int:
        """Return when a schedule fires, in Unix milliseconds; only single times are simulated."""
        if not self.config.get("allow_msg_schedules"):
            raise RefusedPublishError(10188, "message schedules is disabled")
        kind, _, when = headers["Nats-Schedule"].partition(" ")
        try:
            at_ms = parse_time_ms(when if kind == _AT else "")
        except ValueError as error:
            raise RefusedPublishError(10189, "message schedules pattern is invalid") from error
        if not self.accepts(headers.get("Nats-Schedule-Target", "")):
            raise RefusedPublishError(10190, "message schedules target is invalid")
        return at_ms

    def _arm(self, held: Held, at_ms: int) -> None:
        wait_s = (at_ms * 1_000_000 - self.server.now_ns) / NANO
        shift_s = self.server.faults.timer_shift_s()
        self.server.later(max(wait_s + shift_s, 0), partial(self._fire, held))

    def _fire(self, held: Held) -> None:
        """Store what a schedule says, unless it was taken back meanwhile."""
        if held.sequence not in self.messages:
            return
        self.sweep()
        headers = {key: value for key, value in held.headers.items() if key not in _ONCE}
        headers |= {"Nats-Scheduler": held.subject, "Nats-Schedule-Next": "purge"}
        if "Nats-Schedule-TTL" in held.headers:
            headers["Nats-TTL"] = held.headers["Nats-Schedule-TTL"]
        self.server.note(self.name, "fires", held.subject)
        self.store(held.headers["Nats-Schedule-Target"], held.data, headers)


def _ttl_ns(text: str) -> int:
    """Return how long a message lives; 0 is for ever."""
    if text == "never":
        return 0
    match = _TTL.fullmatch(text)
    if match is None or not text:
        raise RefusedPublishError(10165, "invalid per-message TTL")
    hours, minutes, seconds, plain = (int(part or 0) for part in match.groups())
    return (hours * 3600 + minutes * 60 + seconds + plain) * NANO


def _duration(seconds: int) -> str:
    """Format a duration as the server does."""
    minutes, left = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    whole = f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else ""
    return f"{whole}{left}s"


def timestamp(time_ns: int) -> str:
    """Format Unix nanoseconds as the server does."""
    seconds, nanos = divmod(time_ns, NANO)
    whole = f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"
    return f"{whole}.{nanos:09d}Z"
