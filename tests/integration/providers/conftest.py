"""Fixtures: what do the tests of the providers with real sockets share?"""

import io
import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx2
import pytest
import pytest_asyncio
import structlog
from support.emulating import Emulated, emulating
from support.routed import SECRET, Route, Routed, provider

from segue_providers.core.configuration import Wire
from segue_providers.shell.http import http_client
from segue_shared import logs


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulated]:
    """An emulator of all wires, as a process of this module's own."""
    with emulating() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def http() -> AsyncIterator[httpx2.AsyncClient]:
    """The HTTP client that adapters share; its tests run in their module's event loop."""
    async with http_client() as client:
        yield client


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """Everything that is logged, at the most talkative level."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    logs.configure("debug", service="providers", instance="p-1", stream=stream)
    yield stream
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def route(
    emulator: Emulated, http: httpx2.AsyncClient, tmp_path: Path, logged: io.StringIO
) -> Iterator[Route]:
    """Makes the service with one provider in a scenario; in the end nothing holds its key."""
    made: list[Routed] = []

    def make(
        wire: Wire, scenario: str, *, second: dict[str, object] | None = None, **fields: object
    ) -> Routed:
        providers = {"first": provider(wire, emulator, scenario, **fields)}
        if second is not None:
            providers["second"] = second
        made.append(Routed(providers, http=http, directory=tmp_path))
        return made[-1]

    yield make
    for one in made:
        assert SECRET.encode() not in one.everything()
    assert SECRET not in logged.getvalue()
