"""Tracing: how does a trace go on from one service to the next?

The W3C header `traceparent` is read and written here with no further library; spans are recorded
only where OpenTelemetry is installed and its SDK set up, as `recording` or its own launcher does.
"""

import hashlib
import importlib
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any, Final, Protocol

import msgspec

from segue_shared.ids import Ids

try:
    _otel: Any = importlib.import_module("opentelemetry.trace")
except ImportError:
    _otel = None

HEADER: Final = "traceparent"
"""The W3C Trace Context header; NATS headers carry it under the same name."""

Attributes = Mapping[str, str | int | float | bool]
"""Facts about a span; never payloads."""

_SAMPLED: Final = 1
_NS_PER_MS: Final = 1_000_000
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
    if not headers:
        return None
    found = (value for key, value in headers.items() if key.lower() == HEADER)
    return parse(next(found, ""))


def inject(
    context: TraceContext | None, headers: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return headers with the trace context added."""
    return dict(headers or {}) | ({} if context is None else {HEADER: str(context)})


class Tracer(Protocol):
    """What records spans: OpenTelemetry's tracer, as far as it is used here."""

    def start_as_current_span(
        self,
        name: str,
        context: Any = None,
        *,
        kind: Any = ...,
        attributes: Attributes | None = None,
    ) -> AbstractContextManager[Any]:
        """Begin a span that ends with the block."""
        ...

    def start_span(
        self,
        name: str,
        context: Any = None,
        kind: Any = ...,
        attributes: Attributes | None = None,
        *,
        start_time: int | None = None,
    ) -> Any:
        """Begin a span that ends when its `end` is called; times are Unix nanoseconds."""
        ...


_default: Final[Tracer | None] = None if _otel is None else _otel.get_tracer("segue")
_SDK: Final = "opentelemetry.sdk.trace"
"""The module without which nothing is recorded; asking for it is cheap."""
_current: Final[ContextVar[TraceContext | None]] = ContextVar("segue_trace", default=None)


def current() -> TraceContext | None:
    """Return the span in which this code runs; None outside of any."""
    if _otel is not None:
        running = _otel.get_current_span()
        if running.is_recording():
            return _own(running.get_span_context())
    return _current.get()


def child(parent: TraceContext | None, ids: Ids) -> TraceContext:
    """Return the context of a new span below `parent`, or of a new trace when there is none."""
    # Spread a new id over hexadecimal digits of which at least one is not zero.
    digits = hashlib.sha256(ids.unique().encode()).hexdigest()
    span_id = f"{digits[:15]}1"
    if parent is None:
        return TraceContext(f"{digits[16:47]}1", span_id)
    return TraceContext(parent.trace_id, span_id, parent.sampled)


def span(
    name: str,
    *,
    ids: Ids,
    parent: TraceContext | None = None,
    serves: bool = False,
    attributes: Attributes | None = None,
    tracer: Tracer | None = None,
) -> AbstractContextManager[TraceContext]:
    """Run a block as a span, the current one meanwhile, and hand out the context to send along.

    Args:
        name: What is done, few words and no ids.
        ids: Where the span's id comes from when OpenTelemetry records nothing.
        parent: The span that this one belongs to.
        serves: Whether it answers somebody's request.
        attributes: Facts about it; never payloads.
        tracer: Who records it; OpenTelemetry's own by default.
    """
    recorder = tracer or _configured()
    if recorder is None:
        return _Current(child(parent, ids))
    return _recorded(name, parent, ids, serves=serves, attributes=attributes, tracer=recorder)


def record(
    name: str,
    *,
    began_ms: float,
    ended_ms: float,
    attributes: Attributes,
    error: str = "",
    tracer: Tracer | None = None,
) -> None:
    """Record a span below the current one that is over already, where spans are recorded.

    Args:
        name: What was done, few words and no ids.
        began_ms: When it began, Unix milliseconds.
        ended_ms: When it ended.
        attributes: Facts about it; never payloads.
        error: The class of the error that ended it; empty for none.
        tracer: Who records it; OpenTelemetry's own by default.
    """
    recorder = tracer or _configured()
    if recorder is None:
        return
    started_ns = int(began_ms * _NS_PER_MS)
    over = recorder.start_span(
        name, kind=_otel.SpanKind.CLIENT, attributes=attributes, start_time=started_ns
    )
    if error:
        over.set_status(_otel.StatusCode.ERROR, error)
    over.end(int(ended_ms * _NS_PER_MS))


class _Current:
    """A block during which a span is the current one."""

    __slots__ = ("_before", "_context")

    def __init__(self, context: TraceContext) -> None:
        self._context = context

    def __enter__(self) -> TraceContext:
        self._before = _current.set(self._context)
        return self._context

    def __exit__(self, *_error: object) -> None:
        _current.reset(self._before)


def fail(reason: str) -> None:
    """Mark the current span as failed, where spans are recorded."""
    if _otel is not None:
        _otel.get_current_span().set_status(_otel.StatusCode.ERROR, reason)


def _configured() -> Tracer | None:
    """Return OpenTelemetry's tracer; None while nobody has said where spans go.

    Its stand-in records nothing and costs as much as all the rest of a short block.
    """
    if _otel is None or _SDK not in sys.modules:
        return None
    if isinstance(_otel.get_tracer_provider(), _otel.ProxyTracerProvider):
        return None
    return _default


@contextmanager
def _recorded(
    name: str,
    parent: TraceContext | None,
    ids: Ids,
    *,
    serves: bool,
    attributes: Attributes | None,
    tracer: Tracer,
) -> Iterator[TraceContext]:
    """Run a block as a span that a tracer begins."""
    kind = _otel.SpanKind.SERVER if serves else _otel.SpanKind.INTERNAL
    above = None if parent is None else _otel.set_span_in_context(_foreign(parent))
    with tracer.start_as_current_span(name, above, kind=kind, attributes=attributes) as running:
        made = running.get_span_context()
        # What records nothing passes the parent on; what is not sampled has a span all the same.
        is_new = made.is_valid and (parent is None or made.span_id != int(parent.span_id, 16))
        with _Current(_own(made) if is_new else child(parent, ids)) as context:
            yield context


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
