"""The virtual loop: how does time pass only when nothing else is left to do?

There are no threads, no sockets and no waiting: whenever nothing is ready, the clock jumps to the
next timer. So hours pass in milliseconds, and a seed decides everything that is left to chance.
"""

import asyncio
import math
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any, Final, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_TURNS_AT_ONCE: Final = 100_000
_DAY_S: Final = 24 * 3600.0
_TOLD: Final = 12


class StuckError(RuntimeError):
    """A simulated program will never come to its end."""


class VirtualLoop(asyncio.BaseEventLoop):
    """An event loop on which waiting takes no time.

    Args:
        seed: Where its `random` begins.
        limit_s: Virtual seconds after which a run is taken for endless.
    """

    def __init__(self, seed: int = 0, limit_s: float = _DAY_S) -> None:
        super().__init__()
        self.random = Random(seed)  # noqa: S311 - repeatable on purpose, no secret
        self._now = 0.0
        self._limit_s = limit_s
        self._turns = 0
        self._failure: BaseException | None = None
        self._endings: list[Callable[[], object]] = []
        self._selector = self  # where the machinery waits for sockets, time passes

    def at_end(self, call: Callable[[], object]) -> None:
        """Call back once the simulation is over, before its tasks are cancelled."""
        self._endings.append(call)

    async def whole(self, main: Coroutine[Any, Any, T]) -> T:
        """Run a simulation and what was to be called at its end."""
        try:
            return await main
        finally:
            for call in self._endings:
                call()

    def time(self) -> float:
        """Return the virtual seconds since the loop was made."""
        return self._now

    def select(self, timeout: float | None) -> list[object]:
        """Let time pass until the next timer; nothing else ever happens.

        Raises:
            StuckError: Nothing will ever happen again, or time no longer passes, or too much of it.
        """
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        if timeout is None:
            raise StuckError(f"nothing is ready and no timer is set; {self._waiting()}")
        self._turns = self._turns + 1 if timeout <= 0 else 0
        if self._turns > _TURNS_AT_ONCE:
            self._turns = 0
            raise StuckError(f"time stands still at {self._now:g} s; {self._waiting()}")
        self._now += max(timeout, 0.0)
        if self._now > self._limit_s:
            limit, self._limit_s = self._limit_s, math.inf  # the end itself may take its time
            raise StuckError(f"no end after {limit:g} virtual seconds; {self._waiting()}")
        return []

    def _waiting(self) -> str:
        names = sorted(task.get_name() for task in asyncio.all_tasks(self))
        more = f" and {len(names) - _TOLD} more" if len(names) > _TOLD else ""
        return f"tasks: {', '.join(names[:_TOLD])}{more}"

    def run_in_executor(
        self, executor: Any, func: Callable[[*Ts], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """Call at once: a thread would bring chance that no seed decides."""
        del executor
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - handed to whoever awaits it
            future.set_exception(error)
        return future

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """End the run with an error that nobody else hears of."""
        self._failure = self._failure or context.get("exception")
        super().call_exception_handler(context)

    def _process_events(self, event_list: list[object]) -> None:
        """Do nothing: there are no sockets."""

    def _write_to_self(self) -> None:
        """Do nothing: the loop never sleeps."""


def virtual_loop() -> VirtualLoop:
    """Return the running loop.

    Raises:
        RuntimeError: It is none of ours; call this below `run_virtual`.
    """
    loop = asyncio.get_running_loop()
    if not isinstance(loop, VirtualLoop):
        raise RuntimeError("no virtual loop runs; start the simulation by run_virtual")  # noqa: TRY004 - the place is wrong, not a type
    return loop


def run_virtual(main: Coroutine[Any, Any, T], *, seed: int = 0, limit_s: float = _DAY_S) -> T:
    """Run a simulation from a seed, and return what it returns.

    Args:
        main: What to run.
        seed: Decides everything that is left to chance.
        limit_s: Virtual seconds after which it is taken for endless.

    Raises:
        StuckError: It would never end.
    """
    loop = VirtualLoop(seed, limit_s)
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(loop.whole(main))
