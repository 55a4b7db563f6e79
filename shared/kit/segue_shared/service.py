"""The service runner: how does a module's fifteen-line `__main__` become a well-behaved process?"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, Final, NoReturn

import structlog
import uvloop

from segue_shared import logs, recording
from segue_shared.garbage import collect_from_now_on
from segue_shared.http import ASGIApp
from segue_shared.process import Process
from segue_shared.runtime import (
    Plan,
    Requires,
    Runtime,
    S,
    Service,
    State,
    StateEvent,
    V,
    Vocabulary,
)
from segue_shared.settings import InvalidSettingsError, ServiceSettings, load

__all__ = [
    "Requires",
    "Runtime",
    "Service",
    "State",
    "StateEvent",
    "Vocabulary",
    "run",
]

INVALID_SETTINGS: Final = 2
"""Exit code when the environment does not make valid settings."""

_log = structlog.get_logger()


def run(
    name: str,
    settings: S | type[S],
    build: Callable[[S, Runtime], V],
    *,
    requires: Requires | None = None,
    asgi: Callable[[V], ASGIApp] | None = None,
    vocabulary: Vocabulary | None = None,
) -> int:
    """Run a service until it is told to stop, and return the process's exit code.

    Args:
        name: The service's name.
        settings: Its settings class, which is read from the environment; or settings made already.
        build: Its composition root.
        requires: What the broker must have before it starts.
        asgi: Returns the application for its pages.
        vocabulary: What the contracts tell the kit: metric labels and the state event.

    Returns:
        0 after SIGTERM or SIGINT; 1 when the service failed; 2 when its settings are invalid, with
        one line per problem on standard error.
    """
    collect_from_now_on()
    try:
        values = load(settings) if isinstance(settings, type) else settings
    except InvalidSettingsError as error:
        sys.stderr.writelines(f"{name}: {problem}\n" for problem in error.problems)
        return INVALID_SETTINGS
    _tell_what_happens(name, values)
    plan = Plan(
        name=name,
        settings=values,
        build=build,
        requires=requires or Requires(),
        asgi=asgi,
        vocabulary=vocabulary or Vocabulary(),
    )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(Process(plan)))


def _tell_what_happens(name: str, settings: ServiceSettings) -> None:
    """Set up logs, and spans where a collector is named."""
    logs.configure(settings.log_level, service=name, instance=settings.instance)
    if settings.otlp_endpoint:
        recording.record(name, instance=settings.instance)


async def _serve(process: Process[S, V]) -> int:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_log_loop_error)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _on_signal, number, stop)
    return await process.serve(stop)


def _on_signal(number: signal.Signals, stop: asyncio.Event) -> None:
    """Stop in order at the first signal, at once at the second."""
    if stop.is_set():
        _exit_at_once(number)
    stop.set()
    _log.info("signal", signal=number.name)


def _exit_at_once(number: signal.Signals) -> NoReturn:
    _log.warning("exit_at_once", signal=number.name)
    os._exit(128 + number)


def _log_loop_error(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    _log.error("loop_error", reason=context["message"], exc_info=context.get("exception"))
