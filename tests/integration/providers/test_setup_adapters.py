"""Does every wire lead to an adapter, with its vendor's own library?"""

import sys
from subprocess import run

import httpx2
import pytest
from pydantic import SecretStr

from segue_providers.core.configuration import Provider, Wire
from segue_providers.shell.setup import ADAPTERS, connector


@pytest.mark.parametrize("wire", sorted(ADAPTERS))
async def test_a_wire_leads_to_its_adapter(wire: Wire) -> None:
    """The adapter takes configuration, key and HTTP client, and is what the port says."""
    async with httpx2.AsyncClient() as http:
        provider = Provider(wire=wire, base_url="http://127.0.0.1:9/v1")
        client = connector(lambda: http)(provider, SecretStr("sk-secret"))

        for method in ("answer", "embed", "count", "probe"):
            assert callable(getattr(client, method))


def test_no_vendors_library_is_loaded_without_a_key() -> None:
    """A process that has only the stand-in is small and starts fast."""
    code = """
import sys
from segue_providers.core.fleet import Fleet
from segue_providers.shell.configured import Configured
from segue_providers.shell.setup import connector
from segue_providers.shell.table import Table
from segue_shared.clock import SystemClock

def http():
    raise AssertionError("nobody needs a connection")

clock = SystemClock()
setup = Configured(
    file="", environ={}, offline=True, fleet=Fleet(), clock=clock,
    connect=connector(http), look=Table(clock.now_ms).look,
).load()
assert list(setup.clients) == ["offline"], setup.clients
print([name for name in ("anthropic", "openai", "google.genai") if name in sys.modules])
"""
    done = run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.stdout.strip() == "[]", done.stderr
