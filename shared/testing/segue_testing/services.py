"""Services in process: how does a test run a service without a process of its own?"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from segue_shared.process import Process
from segue_shared.runtime import Plan, Requires, Runtime, Service, Vocabulary
from segue_shared.settings import ServiceSettings

S = TypeVar("S", bound=ServiceSettings)
V = TypeVar("V", bound=Service)


@asynccontextmanager
async def serving(
    name: str,
    settings: S,
    build: Callable[[S, Runtime], V],
    *,
    requires: Requires | None = None,
    vocabulary: Vocabulary | None = None,
) -> AsyncIterator[Process[S, V]]:
    """Run a service for the length of a block; it stops as after SIGTERM.

    Args:
        name: The service's name.
        settings: Its settings, with the broker's address.
        build: Its composition root.
        requires: What the broker must have.
        vocabulary: What the contracts tell the kit.
    """
    plan = Plan(
        name=name,
        settings=settings,
        build=build,
        requires=requires or Requires(),
        vocabulary=vocabulary or Vocabulary(),
    )
    process = Process(plan)
    stop = asyncio.Event()
    running = asyncio.create_task(process.serve(stop))
    try:
        yield process
    finally:
        stop.set()
        await running
