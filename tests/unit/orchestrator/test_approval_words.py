"""Approvals and signals: whose word counts, and which signals may be sent?"""

from typing import Any

import pytest
from support.history import History, waiting

from segue_contracts.payload import Value
from segue_contracts.v1 import runs
from segue_contracts.v1.commands import DecideApproval, SignalRun
from segue_orchestrator.core.approvals import event_of, word_of
from segue_orchestrator.core.control import ControlError
from segue_orchestrator.core.signals import check_same, check_signal, signal_id

TEXT = """
name: w
steps:
  - {key: review, approval: {message: ok?}}
  - {key: work, pool: p}
  - {key: hold, wait: {signal: go}}
  - {key: nap, wait: {duration: 1s}}
"""
FORM = {"type": "object", "required": ["risk"]}


def asking(**asked: Any) -> History:
    """Return a run whose step asks."""
    return History(TEXT).given(waiting("review", kind="approval", **asked))


def request(**fields: Any) -> DecideApproval:
    """Return a person's word."""
    return DecideApproval(
        **{"run": "r", "step": "review", "decision": "approved", "by": "ann"} | fields
    )


def voted(by: str, decision: runs.Decision = "approved") -> Any:
    """Return a person's word as the journal has it."""
    body = runs.ApprovalGiven(step="review", attempt=1, decision=decision, by=by)
    return event_of("review", 1, by), body


def test_a_word_says_how_many_are_missing_after_it() -> None:
    """A rejection leaves none; a person's second word does not count."""
    run = asking(quorum=3).given(voted("bob"))

    first = word_of(run.state, run.plan, request())
    again = word_of(run.state, run.plan, request(by="bob"))
    rejected = word_of(run.state, run.plan, request(decision="rejected"))

    assert (first.missing, first.existing) == (1, False)
    assert (again.missing, again.existing) == (2, True)
    assert rejected.missing == 0


def test_each_person_has_one_word_on_an_attempt() -> None:
    """The event is the same for the same person, and another for any other."""
    run = asking()
    word = word_of(run.state, run.plan, request())

    assert word.saying.event == event_of("review", 1, "ann")
    assert len({event_of("review", n, by) for n in (1, 2) for by in ("ann", "bob")}) == 4


@pytest.mark.parametrize(
    ("asked", "fields", "pointer"),
    [
        ({}, {"by": ""}, "/by"),
        ({"approvers": ["bob"]}, {}, "/by"),
        ({"form": FORM}, {}, "/form"),
        ({}, {"form": {"risk": 1}}, "/form"),
        ({}, {"step": "work"}, "/step"),
        ({}, {"step": "nothing"}, "/step"),
        ({}, {"step": ""}, "/step"),
    ],
)
def test_a_word_that_cannot_count_names_its_place(
    asked: dict[str, Any], fields: dict[str, Any], pointer: str
) -> None:
    """Each refusal has one pointer into the request."""
    run = asking(**asked)

    with pytest.raises(ControlError) as caught:
        word_of(run.state, run.plan, request(**fields))

    assert [problem.pointer for problem in caught.value.refused.problems] == [pointer]


def test_whoever_rejects_need_not_fill_in_the_form() -> None:
    """But whoever fills it in does it as asked."""
    run = asking(form=FORM)

    assert word_of(run.state, run.plan, request(decision="rejected"))
    assert word_of(run.state, run.plan, request(form={"risk": "low"}))
    with pytest.raises(ControlError, match="as its schema asks"):
        word_of(run.state, run.plan, request(decision="rejected", form={"other": 1}))


def test_a_step_that_does_not_ask_now_says_where_it_stands() -> None:
    """A workflow without approvals says that."""
    early = History(TEXT)
    never = History("{name: w, steps: [{key: a, pool: p}]}")

    with pytest.raises(ControlError, match="it is pending"):
        word_of(early.state, early.plan, request())
    with pytest.raises(ControlError, match="it has no approvals"):
        word_of(never.state, never.plan, request(step="a"))


def test_a_signal_must_have_a_name_that_a_step_waits_for() -> None:
    """The refusal names those that there are."""
    run = History(TEXT)
    deaf = History("{name: w, steps: [{key: a, pool: p}]}")

    check_signal(run.state, run.plan, SignalRun(run="r", name="go"))
    with pytest.raises(ControlError, match="its signals are go"):
        check_signal(run.state, run.plan, SignalRun(run="r", name="stop"))
    with pytest.raises(ControlError, match="it waits for no signals"):
        check_signal(deaf.state, deaf.plan, SignalRun(run="r", name="go"))


def test_a_signal_sent_again_is_the_same_or_a_conflict() -> None:
    """Name and payload must be those that the key stands for."""
    first = runs.SignalReceived(name="go", payload=Value(inline=1))

    check_same(SignalRun(run="r", name="go", key="k"), Value(inline=1), first)
    with pytest.raises(ControlError, match="another signal"):
        check_same(SignalRun(run="r", name="go", key="k"), Value(inline=2), first)
    assert signal_id("k") == signal_id("k") != signal_id("l")
