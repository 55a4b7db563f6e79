"""Rates: may one more request go out now, and if not, when?

A token bucket for requests and one for tokens, shared by all replicas. Requests are spread evenly,
with two seconds' worth at once at most, so that no minute holds more than its limit and a
thirtieth. Tokens may come a minute's worth at once, as providers themselves count, since most of
what a request reserves comes back. One that wants more than the bucket ever holds goes out when it
is full, and those after it wait the longer. A bucket is filled and drawn from by whoever asks; the
pieces that replicas take at once are small.
"""

import re
from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import structs

MINUTE_S: Final = 60.0
_REQUEST_BURST_S: Final = 2.0
_TOKEN_BURST_S: Final = 60.0
_PIECE_S: Final = 0.1
"""A replica takes this long a time's worth at once, and what it needs at least."""
_EPSILON: Final = 1e-6


class Allowed(msgspec.Struct, frozen=True, kw_only=True):
    """What may be asked of one provider with one key in a minute; 0 is no limit."""

    rpm: float = 0
    """Requests."""
    tpm: float = 0
    """Tokens of input and output."""

    @property
    def bounded(self) -> bool:
        """Whether there is any limit."""
        return self.rpm > 0 or self.tpm > 0

    def divided(self, replicas: int) -> "Allowed":
        """Return what each of so many replicas may ask."""
        return Allowed(rpm=self.rpm / max(replicas, 1), tpm=self.tpm / max(replicas, 1))


class Bucket(msgspec.Struct, frozen=True, omit_defaults=True):
    """How much may go out at a moment."""

    level: float = 0
    """What is left; negative while more went out than was there."""
    at_ms: int = 0
    """The moment, Unix milliseconds; 0 for a bucket that was never used, which is full."""


class Pace(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What all replicas know of one provider and key."""

    requests: Bucket = Bucket()
    """Requests."""
    tokens: Bucket = Bucket()
    """Tokens."""
    closed_until_ms: int = 0
    """The provider wants nothing until then, Unix milliseconds."""


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """What a replica may send without asking again; negative where it owes."""

    requests: float = 0
    """Requests."""
    tokens: float = 0
    """Tokens."""

    def plus(self, other: "Piece") -> "Piece":
        """Return both together."""
        return Piece(requests=self.requests + other.requests, tokens=self.tokens + other.tokens)

    def minus(self, other: "Piece") -> "Piece":
        """Return what is left."""
        return Piece(requests=self.requests - other.requests, tokens=self.tokens - other.tokens)

    def covers(self, need: "Piece", allowed: Allowed) -> bool:
        """Tell whether a need is met, as far as there are limits."""
        requests = not allowed.rpm or self.requests >= need.requests
        return requests and (not allowed.tpm or self.tokens >= need.tokens)


def draw(pace: Pace, need: Piece, allowed: Allowed, *, now_ms: int) -> tuple[Pace, Piece | float]:
    """Take what is needed, and a little more; the seconds to wait when it is not there yet.

    Args:
        pace: What is known.
        need: What goes out.
        allowed: The limits.
        now_ms: The time.
    """
    requests = filled(pace.requests, allowed.rpm, burst_s=_REQUEST_BURST_S, now_ms=now_ms)
    tokens = filled(pace.tokens, allowed.tpm, burst_s=_TOKEN_BURST_S, now_ms=now_ms)
    wait_s = max(
        (pace.closed_until_ms - now_ms) / 1000,
        _wait_s(requests, need.requests, allowed.rpm, burst_s=_REQUEST_BURST_S),
        _wait_s(tokens, need.tokens, allowed.tpm, burst_s=_TOKEN_BURST_S),
    )
    if wait_s > _EPSILON:
        return pace, wait_s
    piece = Piece(
        requests=_piece(requests, need.requests, allowed.rpm),
        tokens=_piece(tokens, need.tokens, allowed.tpm),
    )
    drawn = structs.replace(
        pace,
        requests=Bucket(requests.level - piece.requests, requests.at_ms),
        tokens=Bucket(tokens.level - piece.tokens, tokens.at_ms),
    )
    return drawn, piece


def give_back(pace: Pace, piece: Piece, allowed: Allowed, *, now_ms: int) -> Pace:
    """Put back what was not used after all; a negative piece is taken as well."""
    requests = filled(pace.requests, allowed.rpm, burst_s=_REQUEST_BURST_S, now_ms=now_ms)
    tokens = filled(pace.tokens, allowed.tpm, burst_s=_TOKEN_BURST_S, now_ms=now_ms)
    most = _most(allowed.rpm, _REQUEST_BURST_S), _most(allowed.tpm, _TOKEN_BURST_S)
    return structs.replace(
        pace,
        requests=Bucket(min(requests.level + piece.requests, most[0]), requests.at_ms),
        tokens=Bucket(min(tokens.level + piece.tokens, most[1]), tokens.at_ms),
    )


def filled(bucket: Bucket, per_minute: float, *, burst_s: float, now_ms: int) -> Bucket:
    """Return a bucket as of now; a clock that went back fills nothing."""
    if not per_minute:
        return bucket
    most = _most(per_minute, burst_s)
    if not bucket.at_ms:
        return Bucket(most, now_ms)
    gained = max(now_ms - bucket.at_ms, 0) / 1000 * per_minute / MINUTE_S
    return Bucket(min(bucket.level + gained, most), max(bucket.at_ms, now_ms))


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider said of its limits."""

    requests: float | None = None
    """Requests that it takes now; None when it did not say."""
    tokens: float | None = None
    """Tokens that it takes now; None when it did not say."""
    wait_s: float = 0
    """Seconds for which it wants nothing more."""


def tightened(pace: Pace, told: Told, allowed: Allowed, *, now_ms: int) -> Pace:
    """Return the pace that respects what the provider said; it never becomes more.

    The same pace comes back when it says nothing new.
    """
    requests = filled(pace.requests, allowed.rpm, burst_s=_REQUEST_BURST_S, now_ms=now_ms)
    tokens = filled(pace.tokens, allowed.tpm, burst_s=_TOKEN_BURST_S, now_ms=now_ms)
    closed = max(pace.closed_until_ms, now_ms + round(told.wait_s * 1000) if told.wait_s else 0)
    fewer = _is_less(told.requests, requests, allowed.rpm)
    less = _is_less(told.tokens, tokens, allowed.tpm)
    if not fewer and not less and closed == pace.closed_until_ms:
        return pace
    return Pace(
        requests=Bucket(told.requests or 0, requests.at_ms) if fewer else requests,
        tokens=Bucket(told.tokens or 0, tokens.at_ms) if less else tokens,
        closed_until_ms=closed,
    )


_REMAINING: Final = {
    "x-ratelimit-remaining-requests": "requests",
    "anthropic-ratelimit-requests-remaining": "requests",
    "x-ratelimit-remaining-tokens": "tokens",
    "anthropic-ratelimit-tokens-remaining": "tokens",
    "anthropic-ratelimit-input-tokens-remaining": "tokens",
    "anthropic-ratelimit-output-tokens-remaining": "tokens",
}
_LONGEST_S: Final = 3600.0
"""A longer wait is not believed: a mistake would close the provider for good."""


def told_by(headers: Mapping[str, str]) -> Told:
    """Read what a provider's headers say of its limits, in whichever dialect; see `Told`."""
    said = {name.lower(): text for name, text in headers.items()}
    left: dict[str, list[float]] = {"requests": [], "tokens": []}
    for name, kind in _REMAINING.items():
        count = _number(said.get(name, ""))
        if count is not None:
            left[kind].append(count)
    wait_s = _number(said.get("retry-after", "")) or 0
    return Told(
        requests=min(left["requests"], default=None),
        tokens=min(left["tokens"], default=None),
        wait_s=min(max(wait_s, 0), _LONGEST_S),
    )


def _most(per_minute: float, burst_s: float) -> float:
    """Return how much a bucket holds at most."""
    return max(1.0, per_minute * burst_s / MINUTE_S) if per_minute else 0.0


def _wait_s(bucket: Bucket, need: float, per_minute: float, *, burst_s: float) -> float:
    if not per_minute:
        return 0
    lacking = min(need, _most(per_minute, burst_s)) - bucket.level - _EPSILON
    return max(lacking, 0) / per_minute * MINUTE_S


def _piece(bucket: Bucket, need: float, per_minute: float) -> float:
    """Return how much a replica takes at once: its need, and more as far as it is there."""
    if not per_minute:
        return 0
    more = min(per_minute / MINUTE_S * _PIECE_S, bucket.level) - need
    return need + float(int(max(more, 0)))


def _is_less(told: float | None, bucket: Bucket, per_minute: float) -> bool:
    return told is not None and per_minute > 0 and told < bucket.level


def _number(text: str) -> float | None:
    return float(text) if re.fullmatch(r"-?\d{1,15}(\.\d+)?", text.strip()) else None
