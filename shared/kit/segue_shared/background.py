"""Background tasks: what runs beside the requests of a service, and what if it ends?"""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final

import structlog

_log = structlog.get_logger()


class BackgroundTasks:
    """The loops of one process; an end that nobody asked for is a failure of the process."""

    def __init__(self) -> None:
        self.failed: Final = asyncio.Event()
        """Set once a task has ended unexpectedly."""
        self.problem: str | None = None
        """One sentence about the first task that did."""
        self._tasks: set[asyncio.Task[Any]] = set()
        self._endless: set[asyncio.Task[Any]] = set()
        self._closing = False

    @property
    def running(self) -> int:
        """How many tasks run now."""
        return len(self._tasks)

    def spawn(
        self, work: Coroutine[Any, Any, Any], *, name: str, endless: bool = True
    ) -> asyncio.Task[Any]:
        """Run a coroutine beside everything else; cancelling the task is an expected end.

        Args:
            work: What to run.
            name: What it is called in logs and health.
            endless: Whether it is a failure when it returns.
        """
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        if endless:
            self._endless.add(task)
        task.add_done_callback(self._ended)
        return task

    def expect_ends(self) -> None:
        """Take a return for an expected end from now on: the process is stopping."""
        self._closing = True

    async def close(self) -> None:
        """Cancel what still runs, and wait until it has ended."""
        self._closing = True
        left = tuple(self._tasks)
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        endless = task in self._endless
        self._endless.discard(task)
        if task.cancelled():
            return
        name, error = task.get_name(), task.exception()
        if error is not None:
            _log.error("task_failed", task=name, exc_info=error)
            self._fail(f"background task {name} failed: {type(error).__name__}")
        elif endless and not self._closing:
            _log.error("task_ended", task=name)
            self._fail(f"background task {name} ended, which it never should")

    def _fail(self, problem: str) -> None:
        self.problem = self.problem or problem
        self.failed.set()
