"""The virtual loop: does time pass by itself, and does an endless run end?"""

import asyncio

import pytest

from segue_testing.sim import StuckError, run_virtual
from segue_testing.sim.loop import virtual_loop


def test_waiting_takes_no_time() -> None:
    """A day of virtual time passes at once, exactly."""

    async def main() -> float:
        await asyncio.sleep(3600 * 23)
        return virtual_loop().time()

    assert run_virtual(main()) == 3600 * 23


def test_timers_go_off_in_order() -> None:
    """Whoever waits for less comes first, whatever was asked for first."""
    order: list[int] = []

    async def wait(seconds: int) -> None:
        await asyncio.sleep(seconds)
        order.append(seconds)

    async def main() -> None:
        await asyncio.gather(*(wait(seconds) for seconds in (3, 1, 2)))

    run_virtual(main())

    assert order == [1, 2, 3]


def test_a_deadlock_is_named() -> None:
    """When nothing can happen any more, the error says who waits."""

    async def main() -> None:
        await asyncio.create_task(asyncio.Event().wait(), name="forlorn")

    with pytest.raises(StuckError, match=r"no timer is set; tasks: Task-\d+, forlorn"):
        run_virtual(main())


def test_a_loop_that_never_waits_is_ended() -> None:
    """Going in circles without any time passing is noticed."""

    async def main() -> None:
        while True:  # noqa: ASYNC110 - the mistake itself
            await asyncio.sleep(0)

    with pytest.raises(StuckError, match="time stands still at 0 s"):
        run_virtual(main())


def test_a_run_that_takes_too_long_is_ended() -> None:
    """Waiting for ever, one timer after the other, is noticed."""

    async def main() -> None:
        while True:  # noqa: ASYNC110 - the mistake itself
            await asyncio.sleep(1)

    with pytest.raises(StuckError, match="no end after 60 virtual seconds"):
        run_virtual(main(), limit_s=60)


def test_an_error_that_nobody_awaits_ends_the_run() -> None:
    """What a callback raises is not just logged."""

    def fail() -> None:
        raise ZeroDivisionError

    async def main() -> None:
        asyncio.get_running_loop().call_soon(fail)
        await asyncio.sleep(1)

    with pytest.raises(ZeroDivisionError):
        run_virtual(main())


def test_a_call_in_a_thread_is_made_at_once() -> None:
    """Threads would bring chance; their results and errors come all the same."""

    async def main() -> int:
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(lambda: 1 // 0)
        return await asyncio.to_thread(lambda: 7)

    assert run_virtual(main()) == 7


def test_a_seed_decides_everything_left_to_chance() -> None:
    """The same seed brings the same numbers, another one others."""

    async def main() -> float:
        return virtual_loop().random.random()

    assert run_virtual(main(), seed=1) == run_virtual(main(), seed=1)
    assert run_virtual(main(), seed=1) != run_virtual(main(), seed=2)


def test_a_real_loop_is_told_apart() -> None:
    """Parts of the simulator say how they must be run."""

    async def main() -> None:
        virtual_loop()

    with pytest.raises(RuntimeError, match="run_virtual"):
        asyncio.run(main())
