"""Tracing: how does a trace go on from one service to the next?

The W3C header `traceparent` is read and written here with no further library; spans are recorded
only where OpenTelemetry is installed and its SDK set up, as its own launcher does.
"""

import hashlib
import importlib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import msgspec

from segue_shared.ids import Ids

try:
    _otel: Any = importlib.import_module("opentelemetry.trace")
except ImportError:
    _otel = None

HEADER: Final = "traceparent"
"""The W3C Trace Context header; NATS headers carry it under the same name."""

_SAMPLED: Final = 1
_FORM: Final = re.compile(
    r"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})"
    r"(?P<rest>-.*)?"
)


class TraceContext(msgspec.Struct, frozen=True):
    """One span's place in a trace."""

    trace_id: str
    """32 hexadecimal digits."""
    span_id: str
    """16 hexadecimal digits."""
    sampled: bool = True
    """Whether the trace is kept."""

    def __str__(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-{self.sampled:02x}"


def parse(header: str) -> TraceContext | None:
    """Read a `traceparent`; None when it is none, so that the trace starts anew (W3C, 3.2.2)."""
    match = _FORM.fullmatch(header.strip())
    if match is None or match["version"] == "ff" or (match["version"] == "00" and match["rest"]):
        return None
    if not int(match["trace"], 16) or not int(match["span"], 16):
        return None
    return TraceContext(match["trace"], match["span"], bool(int(match["flags"], 16) & _SAMPLED))


def extract(headers: Mapping[str, str] | None) -> TraceContext | None:
    """Return the trace context that a message's headers carry, whatever case they are in."""
    found = (value for key, value in (headers or {}).items() if key.lower() == HEADER)
    return parse(next(found, ""))


def inject(
    context: TraceContext | None, headers: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return headers with the trace context added."""
    return dict(headers or {}) | ({} if context is None else {HEADER: str(context)})


def child(parent: TraceContext | None, ids: Ids) -> TraceContext:
    """Return the context of a new span below `parent`, or of a new trace when there is none."""
    span_id = _digits(ids, 16)
    if parent is None:
        return TraceContext(_digits(ids, 32), span_id)
    return TraceContext(parent.trace_id, span_id, parent.sampled)


def _digits(ids: Ids, count: int) -> str:
    """Spread a new id over hexadecimal digits of which at least one is not zero."""
    return hashlib.sha256(ids.unique().encode()).hexdigest()[: count - 1] + "1"


@contextmanager
def span(
    name: str,
    *,
    ids: Ids,
    parent: TraceContext | None = None,
    attributes: Mapping[str, str | int | float | bool] | None = None,
) -> Iterator[TraceContext]:
    """Run a block as a span, and hand out the context to send along.

    Args:
        name: What is done, few words and no ids.
        ids: Where the span's id comes from when OpenTelemetry records nothing.
        parent: The span that this one belongs to.
        attributes: Facts about it; never payloads.
    """
    if _otel is None:
        yield child(parent, ids)
        return
    above = None if parent is None else _otel.set_span_in_context(_foreign(parent))
    tracer = _otel.get_tracer("segue")
    with tracer.start_as_current_span(name, context=above, attributes=attributes) as running:
        yield _own(running.get_span_context()) if running.is_recording() else child(parent, ids)


def _foreign(parent: TraceContext) -> Any:
    """Return another service's span in OpenTelemetry's form."""
    return _otel.NonRecordingSpan(
        _otel.SpanContext(
            trace_id=int(parent.trace_id, 16),
            span_id=int(parent.span_id, 16),
            is_remote=True,
            trace_flags=_otel.TraceFlags(int(parent.sampled)),
        )
    )


def _own(context: Any) -> TraceContext:
    """Return OpenTelemetry's form of a span in ours."""
    return TraceContext(
        f"{context.trace_id:032x}", f"{context.span_id:016x}", context.trace_flags.sampled
    )
