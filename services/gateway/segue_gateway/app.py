"""The composition root: how is the gateway put together?"""

from typing import Final

import httpx
import structlog

from segue_contracts.v1 import subjects
from segue_contracts.v1.topology import PAYLOADS
from segue_gateway.settings import Settings
from segue_gateway.shell.api import Operations, make_api
from segue_gateway.shell.local import LocalOnly
from segue_gateway.shell.models import Models
from segue_gateway.shell.openai_api import OpenAiOperations, add_openai
from segue_gateway.shell.orchestrator import Orchestrator
from segue_gateway.shell.streams import Streams
from segue_shared.http import ASGIApp
from segue_shared.payloads import Payloads
from segue_shared.runtime import Requires, Runtime

NAME: Final = "gateway"

REQUIRES: Final = Requires(object_buckets=(PAYLOADS,))

_log = structlog.get_logger()


class Gateway:
    """The API and the streams it passes on."""

    def __init__(
        self, settings: Settings, runtime: Runtime, transport: httpx.AsyncBaseTransport | None
    ) -> None:
        self._settings = settings
        self._streams = Streams(
            settings.events_url,
            write_timeout_s=settings.stream_write_timeout_s,
            transport=transport,
        )
        operations = Operations(
            orchestrator=Orchestrator(
                runtime.bus, namespace=settings.namespace, timeout_s=settings.command_timeout_s
            ),
            streams=self._streams,
            ids=runtime.ids,
            namespace=settings.namespace,
        )
        api = make_api(operations)
        add_openai(api, _openai(settings, runtime))
        self.asgi: Final[ASGIApp] = LocalOnly(api) if settings.local else api
        """The HTTP side."""

    async def start(self) -> None:
        """Say what is open to whom."""
        if not self._settings.local:
            _log.warning("gateway_unauthenticated", http_host=self._settings.http_host)
        if not self._settings.events_url:
            _log.warning("streams_unconfigured", variable="SEGUE_EVENTS_URL")

    async def stop(self) -> None:
        """End the streams; requests in flight end by themselves."""
        await self._streams.close()


def _openai(settings: Settings, runtime: Runtime) -> OpenAiOperations:
    bus = runtime.bus
    models = Models(
        bus,
        payloads=Payloads(bus, PAYLOADS),
        inbox=lambda: subjects.call_deltas(settings.namespace, runtime.ids.unique()),
        clock=runtime.clock,
        ids=runtime.ids,
        namespace=settings.namespace,
        timeout_s=settings.model_timeout_s,
        silence_s=settings.model_silence_s,
    )
    return OpenAiOperations(
        models,
        clock=runtime.clock,
        ids=runtime.ids,
        write_timeout_s=settings.stream_write_timeout_s,
    )


def build(
    settings: Settings, runtime: Runtime, transport: httpx.AsyncBaseTransport | None = None
) -> Gateway:
    """Wire the service.

    Args:
        settings: What the operator chose.
        runtime: Bus, clock, ids, metrics and health.
        transport: How the events service is reached; over the network by default.
    """
    return Gateway(settings, runtime, transport)
