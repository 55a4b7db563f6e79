"""Tracing: is the W3C header read and written as its specification says?"""

import pytest

from segue_shared.tracing import HEADER, TraceContext, child, extract, inject, parse, span
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
