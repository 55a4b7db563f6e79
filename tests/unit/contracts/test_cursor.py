"""Cursors: does a position survive as text?"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue_contracts.cursor import Cursor, CursorError, parse_cursor


@given(st.text("abz019", min_size=1, max_size=32), st.integers(0, 10**19 - 1))
def test_a_cursor_reads_back_from_its_text(epoch: str, sequence: int) -> None:
    """Text and cursor are the same position."""
    cursor = Cursor(epoch, sequence)
    assert parse_cursor(str(cursor)) == cursor


def test_cursors_of_one_journal_are_ordered_by_sequence() -> None:
    """A reader can tell what came later, also across a change in the number of digits."""
    assert Cursor("k3v9x2", 99) < Cursor("k3v9x2", 100)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "42",
        "k3v9x2",
        "k3v9x2-",
        "-42",
        "K3-42",
        "k3-4-2",
        "k3--42",
        "k3-٣",
        "k3-42\n",
        "k3-1e3",
    ],
)
def test_what_is_no_cursor_is_refused(text: str) -> None:
    """The error repeats the text and shows the form."""
    with pytest.raises(CursorError, match="a cursor looks like 'k3v9x2-1042'"):
        parse_cursor(text)
