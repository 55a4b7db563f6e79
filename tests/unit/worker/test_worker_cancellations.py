"""Cancellations: which work does a hint end?"""

import msgspec
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from unit.worker.worker_world import RUN

from segue_contracts.envelope import Message
from segue_contracts.v1 import subjects
from segue_contracts.v1.control import CancelHint
from segue_contracts.v1.events import frame
from segue_contracts.v1.runs import RunResumed
from segue_contracts.v1.subjects import StepId
from segue_worker.cancellations import Cancellations
from segue_worker.place import Place

PLACE = Place(namespace="default", run=RUN, step=StepId("scan"), attempt=2)
SUBJECT = subjects.control("default", RUN, "cancel")


def _message(data: bytes) -> Msg:
    return Msg(Client(), subject=SUBJECT, data=data)


def _hint(body: Message) -> Msg:
    return _message(frame(body, subject=SUBJECT, source="segue/orchestrator", about=RUN, time="t"))


@pytest.mark.parametrize(
    "hint",
    [
        CancelHint(run=RUN),
        CancelHint(run=RUN, step="scan"),
        CancelHint(run=RUN, step="scan", attempt=2),
    ],
)
async def test_a_hint_reaches_the_work_it_means(hint: CancelHint) -> None:
    """A run, a step or one attempt of it."""
    cancellations = Cancellations()

    with cancellations.watching(PLACE) as event:
        await cancellations.on_hint(_hint(hint))

        assert event.is_set()


@pytest.mark.parametrize(
    "hint",
    [
        CancelHint(run="another0run"),
        CancelHint(run=RUN, step="lint"),
        CancelHint(run=RUN, step="scan", attempt=1),
        CancelHint(run=RUN, attempt=1),
    ],
)
async def test_a_hint_leaves_other_work_alone(hint: CancelHint) -> None:
    """Another run, step or attempt goes on."""
    cancellations = Cancellations()

    with cancellations.watching(PLACE) as event:
        await cancellations.on_hint(_hint(hint))

        assert not event.is_set()


@pytest.mark.parametrize(
    ("hint", "expected"),
    [
        (CancelHint(run=RUN), False),
        (CancelHint(run=RUN, step="scan"), False),
        (CancelHint(run=RUN, step="scan~undo"), True),
    ],
)
async def test_work_that_undoes_a_step_goes_on_while_its_run_stops(
    hint: CancelHint, *, expected: bool
) -> None:
    """It is part of stopping; only a hint that names the task itself ends it."""
    cancellations = Cancellations()
    undoing = msgspec.structs.replace(PLACE, step=StepId("scan", undo=True))

    with cancellations.watching(undoing) as event:
        await cancellations.on_hint(_hint(hint))

        assert event.is_set() is expected


async def test_a_hint_that_cannot_be_read_changes_nothing() -> None:
    """The journal decides in the end; noise and other events are passed over."""
    cancellations = Cancellations()

    with cancellations.watching(PLACE) as event:
        await cancellations.on_hint(_message(b"noise"))
        await cancellations.on_hint(_hint(RunResumed()))

        assert not event.is_set()


async def test_old_hints_are_forgotten() -> None:
    """Memory is bounded: after a thousand other hints the first is gone."""
    cancellations = Cancellations()
    cancellations.cancel(CancelHint(run=RUN))
    for number in range(1_000):
        cancellations.cancel(CancelHint(run=f"other{number}"))

    with cancellations.watching(PLACE) as event:
        assert not event.is_set()


async def test_work_that_is_over_hears_no_hints() -> None:
    """A late hint finds nothing to end."""
    cancellations = Cancellations()
    with cancellations.watching(PLACE) as event:
        pass

    cancellations.cancel(CancelHint(run=RUN))

    assert not event.is_set()
