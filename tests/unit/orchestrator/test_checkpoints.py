"""Tests of checkpoints: which position of which run does a text name?"""

import pytest

from segue_contracts.cursor import Cursor
from segue_orchestrator.core.checkpoint import Checkpoint, parse_checkpoint

AT = Checkpoint("run00001", Cursor("e1", 7))


@pytest.mark.parametrize(
    ("run", "cursor", "expected"),
    [
        ("run00001", "", Checkpoint("run00001")),
        ("run00001@e1-7", "", AT),
        ("run00001", "e1-7", AT),
        ("", "run00001@e1-7", AT),
        ("run00001", "run00001@e1-7", AT),
        ("run00001@e1-7", "e1-7", AT),
    ],
)
def test_a_checkpoint_is_a_run_and_a_cursor(run: str, cursor: str, expected: Checkpoint) -> None:
    """They stand together or apart; a run alone is its newest position."""
    assert parse_checkpoint(run, cursor) == expected


@pytest.mark.parametrize(
    ("run", "cursor", "reason"),
    [
        ("", "", "no run is named"),
        ("", "e1-7", "no run is named"),
        ("run00001", "run00002@e1-7", "different checkpoints"),
        ("run00001@e1-7", "e1-8", "different checkpoints"),
        ("run00001", "yesterday", "is no cursor"),
    ],
)
def test_a_checkpoint_that_names_nothing_or_two_things_is_refused(
    run: str, cursor: str, reason: str
) -> None:
    """The sentence says which form it has."""
    with pytest.raises(ValueError, match=reason):
        parse_checkpoint(run, cursor)
