"""Does a stream of events reach Gemini's library in the one form it reads?"""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue_providers.core.wires.gemini_frames import Frames

TALK = (
    b": keep-alive\r\n\r\n"
    b'event: message\r\nid: 7\r\ndata: {"a": 1}\r\n\r\n'
    b'retry: 5\ndata:{"b": 2}\n: within\n\n'
)
READ = b'data: {}\n\n\ndata: {"a": 1}\n\ndata: {"b": 2}\n\n'


def rewritten(*pieces: bytes) -> bytes:
    """Return all that comes out."""
    frames = Frames()
    return b"".join(map(frames.feed, pieces)) + frames.end()


def test_comments_become_signs_of_life_and_names_are_left_out() -> None:
    """Only data remains, and the library can read all of it."""
    assert rewritten(TALK) == READ


@given(st.lists(st.integers(0, len(TALK))))
def test_it_does_not_matter_where_the_bytes_are_cut(cuts: list[int]) -> None:
    """A network may cut anywhere."""
    edges = [0, *sorted(cuts), len(TALK)]
    pieces = [TALK[start:end] for start, end in pairwise(edges)]
    assert rewritten(*pieces) == READ


@pytest.mark.parametrize("text", [b'{\n  "error": {}\n}\n', b"<html>\n"])
def test_what_is_no_event_passes_as_it_is(text: bytes) -> None:
    """An error may come as bare JSON in the middle of a stream."""
    assert rewritten(text) == text


def test_a_last_line_without_its_end_is_not_lost() -> None:
    """A server may end without a line break."""
    assert rewritten(b"data: {}") == b"data: {}\n"
