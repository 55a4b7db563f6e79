"""Fixtures: what do the tests of the providers with real sockets share?"""

from collections.abc import AsyncIterator, Iterator

import httpx2
import pytest
import pytest_asyncio
from support.emulating import Emulated, emulating

from segue_providers.shell.http import http_client


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
