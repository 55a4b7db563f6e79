"""The pipeline: does a batch count only once it and all before it are stored?"""

import asyncio
from contextlib import ExitStack

from segue_shared.delivery import Delivery
from segue_shared.errors import TransientError
from segue_shared.pipeline import Pipeline, failure


class Stage:
    """A pipeline, and batches that end when they are told to."""

    def __init__(self, room: int = 8) -> None:
        self.ended = asyncio.Event()
        self.pipeline = Pipeline(room, on_end=self.ended.set)
        self.handled: list[int] = []
        self.storing: list[asyncio.Future[None]] = []

    def begin(self) -> asyncio.Future[None]:
        """Add a batch whose last delivery has the next sequence, counted from 0."""
        number = len(self.storing)
        storing: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.storing.append(storing)
        handling = ExitStack()
        handling.callback(self.handled.append, number)
        self.pipeline.add(storing, Delivery("s", b"", number, 0, 1, "", {}), handling)
        return storing

    async def end(self, number: int, error: Exception | None = None) -> None:
        """Have a batch end, and wait until that is known."""
        self.ended.clear()
        if error is None:
            self.storing[number].set_result(None)
        else:
            self.storing[number].set_exception(error)
        await self.ended.wait()

    def taken(self) -> int | None:
        """Return the sequence up to which is stored."""
        last = self.pipeline.take_stored()
        return None if last is None else last.sequence


async def test_a_batch_waits_for_the_ones_before_it() -> None:
    """What is stored first but came later counts with the one that came before."""
    stage = Stage()
    stage.begin()
    stage.begin()

    await stage.end(1)
    early = stage.taken()
    await stage.end(0)

    assert early is None
    assert stage.taken() == 1
    assert stage.taken() is None


async def test_the_pipeline_is_full_until_the_oldest_batch_is_taken_off() -> None:
    """Batches that ended behind an unfinished one still need their room."""
    stage = Stage(room=2)
    stage.begin()
    stage.begin()
    await stage.end(1)
    behind = stage.pipeline.full
    await stage.end(0)
    stage.taken()

    assert behind
    assert not stage.pipeline.full


async def test_nothing_after_a_failed_batch_counts() -> None:
    """It is given up, also when it was stored already; what came before counts."""
    stage = Stage()
    for _ in range(4):
        stage.begin()
    await stage.end(2)
    await stage.end(1, TransientError("away"))
    await stage.end(0)
    failed, before = stage.pipeline.failed, stage.taken()
    error = await stage.pipeline.trouble()

    assert failed
    assert before == 0
    assert str(error) == "away"
    assert stage.taken() is None
    assert stage.storing[3].cancelled()
    assert not stage.pipeline.failed
    assert not stage.pipeline.full


async def test_the_first_failure_in_their_order_counts() -> None:
    """A batch that fails while others are waited for lets fewer count."""
    stage = Stage()
    for _ in range(3):
        stage.begin()
    await stage.end(2, TransientError("third"))
    settling = asyncio.create_task(stage.pipeline.trouble())
    await stage.end(0)
    await stage.end(1, TransientError("second"))

    assert str(await settling) == "second"
    assert stage.taken() == 0


async def test_what_comes_before_a_failed_batch_is_waited_for() -> None:
    """It goes on to its end, and counts."""
    stage = Stage()
    stage.begin()
    stage.begin()
    await stage.end(1, TransientError("away"))
    settling = asyncio.create_task(stage.pipeline.trouble())
    await asyncio.sleep(0)  # so that it has begun to wait
    waits = not settling.done()
    await stage.end(0)
    await settling

    assert waits
    assert stage.taken() == 0


async def test_a_batch_that_was_cancelled_has_failed() -> None:
    """Whoever cancelled it: it is not stored."""
    stage = Stage()
    stage.begin().cancel()
    await stage.ended.wait()

    assert stage.pipeline.failed
    assert isinstance(await stage.pipeline.trouble(), asyncio.CancelledError)
    assert stage.taken() is None


async def test_giving_up_ends_everything() -> None:
    """Nothing counts, nothing goes on, and every batch stops being handled."""
    stage = Stage()
    for _ in range(3):
        stage.begin()
    await stage.end(0)

    await stage.pipeline.give_up()

    assert stage.taken() is None
    assert stage.storing[1].cancelled()
    assert stage.storing[2].cancelled()
    assert sorted(stage.handled) == [0, 1, 2]


async def test_giving_up_nothing_is_no_trouble() -> None:
    """An owner that has nothing in flight may be taken over too."""
    stage = Stage()

    await stage.pipeline.give_up()

    assert not stage.pipeline.failed


async def test_a_batch_that_fails_before_it_is_stored_has_failed() -> None:
    """Deciding may fail too."""
    pipeline = Pipeline(1, on_end=lambda: None)
    pipeline.add(failure(KeyError("no")), Delivery("s", b"", 0, 0, 1, "", {}), ExitStack())
    await pipeline.first_ended()

    assert isinstance(await pipeline.trouble(), KeyError)
