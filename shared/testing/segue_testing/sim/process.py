"""The process: how does a service live, die and live again in a simulation?"""

import asyncio
from collections.abc import Callable, Coroutine, Generator
from contextlib import suppress
from contextvars import Context, ContextVar
from functools import partial
from typing import Any

from segue_shared.bus import Bus
from segue_testing.sim.client import SimClient
from segue_testing.sim.connection import sim_bus
from segue_testing.sim.loop import VirtualLoop, virtual_loop
from segue_testing.sim.server import SimServer
from segue_testing.sim.timing import SimClock, SimIds

Main = Callable[["SimProcess"], Coroutine[Any, Any, object]]


class _Life:
    """The time from a start of a process to its end, with all tasks that began in it."""

    def __init__(self) -> None:
        self.tasks: dict[asyncio.Task[Any], None] = {}
        self.clients: list[SimClient] = []
        self.over = False

    def adopt(self, task: asyncio.Task[Any]) -> None:
        """Have a task end with this life."""
        self.tasks[task] = None
        task.add_done_callback(self._forget)
        if self.over:
            task.cancel()

    def end(self) -> None:
        """End: nothing is sent or received any more, and every task ends where it waits."""
        self.over = True
        for client in self.clients:
            client.die()
        for task in tuple(self.tasks):
            task.cancel()

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self.tasks.pop(task, None)
        if self.over and not task.cancelled():
            task.exception()  # whatever a dying task says, nobody hears it


_life: ContextVar[_Life | None] = ContextVar("life", default=None)


def _task_of_its_process(
    loop: asyncio.AbstractEventLoop,
    coro: Coroutine[Any, Any, Any] | Generator[Any, None, Any],
    **options: Any,
) -> asyncio.Task[Any]:
    """Make a task that ends with the process whose code made it."""
    task = asyncio.Task(coro, loop=loop, **options)
    if (life := _life.get()) is not None:
        life.adopt(task)
    return task


def _tell(life: _Life, task: asyncio.Task[None]) -> None:
    """End the run with the error of a program that nobody killed."""
    if not life.over and not task.cancelled() and (error := task.exception()) is not None:
        context = {"message": f"process {task.get_name()} failed", "exception": error}
        task.get_loop().call_exception_handler(context)


class SimProcess:
    """One process with a connection, a clock and tasks of its own.

    Args:
        server: The broker that it is connected to.
        name: What it is called.
        main: What it runs.
        skew_ms: How far its clock is off; as the fault plan says by default.
    """

    def __init__(
        self, server: SimServer, name: str, main: Main, *, skew_ms: int | None = None
    ) -> None:
        self.name = name
        self.server = server
        self.clock = SimClock(server.faults.skew_ms() if skew_ms is None else skew_ms)
        self.ids = SimIds(server.faults.random)
        self.lives = 0
        """How often it was started."""
        self._main = main
        self._bus: Bus | None = None
        self._current: _Life | None = None
        self._task: asyncio.Task[None] | None = None
        self._over = False
        self._away = False
        virtual_loop().at_end(self._end)

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._current is not None

    @property
    def bus(self) -> Bus:
        """Its connection.

        Raises:
            RuntimeError: It is not connected yet.
        """
        if self._bus is None:
            raise RuntimeError(f"{self.name} is not connected")
        return self._bus

    def start(self) -> None:
        """Begin to run, unless it runs, shall stay away, or the simulation is over."""
        if self._current is None and not (self._over or self._away):
            self.lives += 1
            # A context of its own: nothing of whoever starts it is inherited.
            Context().run(self._begin, virtual_loop())

    def kill(self) -> None:
        """End at once, as SIGKILL does; what was sent still arrives."""
        life, self._current = self._current, None
        if life is not None:
            self.server.note(self.name, "dies", "")
            life.end()

    def stay_away(self, seconds: float) -> None:
        """End at once and come back only after a while, whatever starts it until then."""
        self._away = True
        self.kill()
        self.server.later(seconds, self._return)

    async def stop(self) -> None:
        """End in order: the program is cancelled and may clean up, and the connection closes."""
        if self._current is None or self._task is None:
            return
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        if self._bus is not None:
            await self._bus.close()
        self.kill()

    def _begin(self, loop: VirtualLoop) -> None:
        self._current = life = _Life()
        _life.set(life)
        loop.set_task_factory(_task_of_its_process)
        self.server.note(self.name, "starts", "")
        self._task = loop.create_task(self._live(life), name=self.name)
        self._task.add_done_callback(partial(_tell, life))

    async def _live(self, life: _Life) -> None:
        bus = await sim_bus(
            self.server,
            f"{self.name}-{self.lives}",
            on_crash=self._crash,
            on_client=life.clients.append,
        )
        self._bus = bus
        await self._main(self)

    def _return(self) -> None:
        self._away = False
        self.start()

    def _end(self) -> None:
        self._over = True
        self.kill()

    def _crash(self) -> None:
        """Die of a fault, and come back after a while."""
        if self.alive:
            self.kill()
            faults = self.server.faults
            self.server.later(faults.up_to(faults.plan.restart_s), self.start)
