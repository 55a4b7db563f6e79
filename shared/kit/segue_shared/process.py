"""The process: in which order does a service come up and go down?

Up: HTTP first, so that `/livez` answers from the start; then the bus, for as long as it takes; then
what the broker must have; then the service itself; then it is ready. Down: not ready, the service
gives back its work, streams end, the bus is drained.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Final, Generic

import msgspec
import structlog

from segue_shared.background import BackgroundTasks
from segue_shared.bus import Bus
from segue_shared.clock import Clock, SystemClock, rfc3339
from segue_shared.errors import SegueError
from segue_shared.health import Health
from segue_shared.http import HttpServer
from segue_shared.ids import Ids, SystemIds
from segue_shared.metrics import Metrics
from segue_shared.observer import Observer
from segue_shared.requirements import missing
from segue_shared.runtime import Plan, Runtime, S, State, V
from segue_shared.settings import ServiceSettings

Connect = Callable[[str, ServiceSettings, Observer], Awaitable[Bus]]
"""Connects a service of this name, however long it takes, with who counts what it does."""

_log = structlog.get_logger()

_LOOK_AGAIN_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0)
_OVERRUN_S: Final = 2.0
"""What a service gets beyond `drain_s` to give back what it could not finish."""
_MIN_HTTP_S: Final = 1.0


async def connect(name: str, settings: ServiceSettings, observer: Observer) -> Bus:
    """Connect a service to the broker of its settings, however long it takes."""
    return await Bus.connect(
        settings.nats_url,
        name=f"{name} {settings.instance}",
        nkey_seed_file=settings.nkey_seed_file,
        inbox_prefix=settings.inbox_prefix,
        observer=observer,
    )


class Process(Generic[S, V]):
    """One service from its start to its end."""

    def __init__(
        self,
        plan: Plan[S, V],
        *,
        connect: Connect = connect,
        clock: Clock | None = None,
        ids: Ids | None = None,
    ) -> None:
        self._plan = plan
        self._settings = plan.settings
        self._connect = connect
        self._clock = clock or SystemClock()
        self._ids = ids or SystemIds()
        self._tasks = BackgroundTasks()
        self._metrics = Metrics(plan.name, template=plan.vocabulary.template)
        self._health = Health()
        self._phase: str | None = "starting"
        self._bus: Bus | None = None
        self._service: V | None = None
        self.http: Final = HttpServer(
            host=plan.settings.http_host,
            port=plan.settings.http_port,
            health=self._health,
            metrics=self._metrics,
        )
        """Where health and metrics are served."""
        self._health.add("phase", lambda: self._phase)
        self._health.add("tasks", lambda: self._tasks.problem, live=True)

    async def serve(self, stop: asyncio.Event) -> int:
        """Run until `stop` is set or the service fails; return the exit code."""
        try:
            await self.http.start()
        except OSError as error:
            where = f"{self._settings.http_host}:{self._settings.http_port}"
            _log.error("http_not_listening", address=where, reason=str(error))
            return 1
        start = asyncio.create_task(self._start(), name="start")
        try:
            started = await self._until_over(start, stop)
        finally:
            start.cancel()
            await asyncio.wait([start])
        stopped = await self._stop()
        return 0 if started and stopped and self._tasks.problem is None else 1

    async def _until_over(self, start: "asyncio.Task[None]", stop: asyncio.Event) -> bool:
        """Wait for a reason to stop; return whether it is not a failed start."""
        ends = [asyncio.create_task(event.wait()) for event in (stop, self._tasks.failed)]
        try:
            await asyncio.wait((start, *ends), return_when=asyncio.FIRST_COMPLETED)
            if start.done() and (error := start.exception()) is not None:
                _log_failed_start(error)
                return False
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for end in ends:
                end.cancel()
        return True

    async def _start(self) -> None:
        plan, settings = self._plan, self._settings
        if plan.asgi is not None:
            self.http.expect_app()
        self._phase = "connecting to the broker"
        bus = self._bus = await self._connect(plan.name, settings, self._metrics)
        self._health.add("bus", lambda: None if bus.connected else "the broker is not reachable")
        await self._wait_for_requirements(bus)
        self._phase = "the service is starting"
        self._service = plan.build(settings, self._runtime(bus))
        await self._service.start()
        if plan.asgi is not None:
            self.http.mount(plan.asgi(self._service))
        self._phase = None
        _write_ready_file(plan.name, settings, self.http.url)
        _log.info("ready", url=self.http.url)
        await self._announce("ready")

    def _runtime(self, bus: Bus) -> Runtime:
        return Runtime(
            settings=self._settings,
            bus=bus,
            clock=self._clock,
            ids=self._ids,
            metrics=self._metrics,
            health=self._health,
            tasks=self._tasks,
        )

    async def _wait_for_requirements(self, bus: Bus) -> None:
        tries = 0
        while absent := await missing(bus, self._plan.requires):
            waits_for = (
                f"the broker lacks {', '.join(absent)}; 'segue bus apply' makes what it needs"
            )
            if self._phase != waits_for:
                _log.warning("waiting", reason=waits_for)
            self._phase = waits_for
            await self._clock.sleep(_LOOK_AGAIN_S[min(tries, len(_LOOK_AGAIN_S) - 1)])
            tries += 1

    async def _stop(self) -> bool:
        """Go down in order, whatever was up; return whether the service stopped well."""
        was_ready, self._phase = self._phase is None, "stopping"
        self._tasks.expect_ends()
        _log.info("stopping")
        began = self._clock.monotonic()
        if was_ready:
            await self._announce("draining")
        stopped = await self._stop_service()
        await self._tasks.close()
        left = self._settings.drain_s - (self._clock.monotonic() - began)
        await self.http.stop(max(left, _MIN_HTTP_S))
        if self._bus is not None:
            await self._bus.drain()
        _remove_ready_file(self._settings)
        _log.info("stopped")
        return stopped

    async def _stop_service(self) -> bool:
        if self._service is None:
            return True
        try:
            async with asyncio.timeout(self._settings.drain_s + _OVERRUN_S):
                await self._service.stop()
        except TimeoutError:
            _log.warning("drain_overrun", drain_s=self._settings.drain_s)
        except Exception:  # noqa: BLE001 - logged, and the rest must still go down
            _log.exception("stop_failed")
            return False
        return True

    async def _announce(self, state: State) -> None:
        """Tell the bus, if it can be told; nobody waits for it."""
        make, bus = self._plan.vocabulary.state_event, self._bus
        if make is None or bus is None:
            return
        subject, body = make(
            service=self._plan.name,
            instance=self._settings.instance,
            state=state,
            namespace=self._settings.namespace,
            time=rfc3339(self._clock.now_ms()),
        )
        try:
            await bus.publish(subject, body)
        except SegueError as error:
            _log.warning("state_not_told", state=state, reason=str(error))


def _log_failed_start(error: BaseException) -> None:
    _log.error("start_failed", exc_info=error)


def _write_ready_file(name: str, settings: ServiceSettings, url: str) -> None:
    """Write the ready file as a whole or not at all."""
    path = settings.ready_file
    if path is None:
        return
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.write_bytes(msgspec.json.encode({"service": name, "pid": os.getpid(), "url": url}))
    draft.replace(path)


def _remove_ready_file(settings: ServiceSettings) -> None:
    if settings.ready_file is not None:
        settings.ready_file.unlink(missing_ok=True)
