"""Tracing: is the W3C header read and written as its specification says?"""

import importlib.util
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest
import structlog.testing
from opentelemetry import trace

from segue_shared import recording
from segue_shared.tracing import (
    HEADER,
    TraceContext,
    child,
    current,
    extract,
    fail,
    inject,
    parse,
    record,
    span,
)
from segue_testing.fakes import FakeIds

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.mark.parametrize(("flags", "sampled"), [("01", True), ("00", False), ("03", True)])
def test_a_header_is_read_into_its_parts(flags: str, sampled: bool) -> None:  # noqa: FBT001 - a parameter of the table
    """Trace, span and whether it is kept."""
    assert parse(f"00-{TRACE}-{SPAN}-{flags}") == TraceContext(TRACE, SPAN, sampled)


def test_a_header_of_a_later_version_may_be_longer() -> None:
    """Later versions add fields at the end."""
    assert parse(f"01-{TRACE}-{SPAN}-01-more") == TraceContext(TRACE, SPAN, sampled=True)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "nonsense",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-01-more",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[:-1]}-{SPAN}-01",
    ],
)
def test_a_header_that_is_none_starts_a_new_trace(header: str) -> None:
    """A broken header never breaks the call."""
    assert parse(header) is None


def test_headers_are_found_in_any_case_and_written_in_lower_case() -> None:
    """What one service injects, the next extracts."""
    context = TraceContext(TRACE, SPAN, sampled=False)

    assert inject(context, {"a": "b"}) == {"a": "b", HEADER: f"00-{TRACE}-{SPAN}-00"}
    assert extract({"Traceparent": str(context)}) == context
    assert extract(None) is None
    assert inject(None) == {}


def test_a_child_stays_in_the_trace_and_has_a_span_of_its_own() -> None:
    """The decision to keep the trace is passed on."""
    parent = TraceContext(TRACE, SPAN, sampled=False)

    context = child(parent, FakeIds())

    assert (context.trace_id, context.sampled) == (TRACE, False)
    assert context.span_id != SPAN
    assert parse(str(context)) == context


def test_a_child_of_nothing_begins_a_trace() -> None:
    """The first service of a trace needs no header."""
    ids = FakeIds()
    first, second = child(None, ids), child(None, ids)

    assert parse(str(first)) == first
    assert first.trace_id != second.trace_id


def test_a_span_hands_out_a_child_when_nothing_records() -> None:
    """Traces go on through services that record none."""
    parent = TraceContext(TRACE, SPAN)

    with span("handle", ids=FakeIds(), parent=parent, attributes={"step": "lint"}) as context:
        assert context.trace_id == TRACE
        assert context.span_id != SPAN


class StubTracer:
    """A tracer that keeps what it is told, and records or drops every span."""

    def __init__(self, *, samples: bool = True) -> None:
        self.begun: list[tuple[str, trace.SpanKind, Mapping[str, object] | None]] = []
        self.spans: list[StubSpan] = []
        self.parents: list[trace.SpanContext] = []
        self._samples = samples

    @contextmanager
    def start_as_current_span(
        self,
        name: str,
        context: trace.Context | None = None,
        *,
        kind: trace.SpanKind = trace.SpanKind.INTERNAL,
        attributes: Mapping[str, str | float | bool] | None = None,
    ) -> Iterator["StubSpan"]:
        """Begin a span that ends with the block."""
        parent = trace.get_current_span(context).get_span_context()
        self.parents.append(parent)
        self.begun.append((name, kind, attributes))
        running = StubSpan(parent.trace_id or 0xABC, len(self.begun), samples=self._samples)
        self.spans.append(running)
        with trace.use_span(running):
            yield running

    def start_span(
        self,
        name: str,
        context: trace.Context | None = None,
        kind: trace.SpanKind = trace.SpanKind.INTERNAL,
        attributes: Mapping[str, str | float | bool] | None = None,
        *,
        start_time: int | None = None,
    ) -> "StubSpan":
        """Begin a span that is ended by hand."""
        self.begun.append((name, kind, attributes))
        running = StubSpan(0xABC, len(self.begun), samples=self._samples)
        running.times.append(start_time)
        self.spans.append(running)
        return running


class StubSpan(trace.NonRecordingSpan):
    """A span with a place of its own."""

    def __init__(self, trace_id: int, span_id: int, *, samples: bool) -> None:
        flags = trace.TraceFlags(int(samples))
        super().__init__(trace.SpanContext(trace_id, span_id, is_remote=False, trace_flags=flags))
        self.status: trace.StatusCode | trace.Status | None = None
        self.times: list[int | None] = []

    def is_recording(self) -> bool:
        """Tell whether it is kept."""
        return self.get_span_context().trace_flags.sampled

    def set_status(
        self, status: trace.Status | trace.StatusCode, description: str | None = None
    ) -> None:
        """Keep how it went."""
        self.status = status

    def end(self, end_time: int | None = None) -> None:
        """Keep when it ended."""
        self.times.append(end_time)


def test_the_current_span_is_the_innermost_block() -> None:
    """Whoever calls another service inside it goes on with it."""
    assert current() is None
    with span("outer", ids=FakeIds()) as outer:
        assert current() == outer
        with span("inner", ids=FakeIds(), parent=outer) as inner:
            assert current() == inner
        assert current() == outer
    assert current() is None


@pytest.mark.parametrize("samples", [True, False])
def test_a_recorded_span_is_the_one_that_is_handed_on(samples: bool) -> None:  # noqa: FBT001 - a parameter of the table
    """With its own id below the parent's, and whether it is kept."""
    tracer, parent = StubTracer(samples=samples), TraceContext(TRACE, SPAN)

    with span("work", ids=FakeIds(), parent=parent, serves=True, tracer=tracer) as context:
        assert current() == context

    assert context == TraceContext(TRACE, f"{1:016x}", sampled=samples)
    assert tracer.begun == [("work", trace.SpanKind.SERVER, None)]
    assert tracer.parents[0].span_id == int(SPAN, 16)


def test_a_span_that_somebody_else_began_is_current_too() -> None:
    """Users' own spans go on through our calls."""
    with StubTracer().start_as_current_span("theirs"):
        context = current()

    assert context == TraceContext(f"{0xABC:032x}", f"{1:016x}")


def test_a_failure_is_told_to_the_recorded_span() -> None:
    """Others are not touched."""
    tracer = StubTracer()
    with span("work", ids=FakeIds(), tracer=tracer):
        fail("it broke")
    fail("outside of any")

    assert tracer.spans[0].status is trace.StatusCode.ERROR


def test_without_the_sdk_nothing_is_recorded_and_the_log_says_how_to_change_that() -> None:
    """A service runs all the same."""
    if importlib.util.find_spec("opentelemetry.sdk") is not None:
        pytest.skip("the SDK is installed")
    with structlog.testing.capture_logs() as logged:
        assert not recording.record("agents", instance="agents-1")

    assert "segue-shared[otel]" in logged[0]["reason"]


@pytest.mark.parametrize(("error", "status"), [("", None), ("timeout", trace.StatusCode.ERROR)])
def test_a_span_that_is_over_is_recorded_with_its_times(
    error: str, status: trace.StatusCode | None
) -> None:
    """As a call to somebody else's service, in nanoseconds."""
    tracer = StubTracer()

    record("chat", began_ms=1.5, ended_ms=4, attributes={"a": 1}, error=error, tracer=tracer)

    assert tracer.begun == [("chat", trace.SpanKind.CLIENT, {"a": 1})]
    assert tracer.spans[0].times == [1_500_000, 4_000_000]
    assert tracer.spans[0].status == status


def test_nothing_is_recorded_where_nobody_records() -> None:
    """And nothing goes wrong."""
    record("chat", began_ms=0, ended_ms=1, attributes={})
