"""HTTP: through which connections are providers called?"""

from typing import Final

import httpx2

KEEP_ALIVE_S: Final = 60.0
"""How long an idle connection is kept for the next call."""
IDLE_CONNECTIONS: Final = 20
"""How many idle connections are kept at most; each request looks at all of them in turn."""
CONNECT_S: Final = 5.0
"""For a connection, where a provider's configuration says nothing else."""


def http_client(*, max_connections: int = 1_000) -> httpx2.AsyncClient:
    """Return the one client that all adapters of a process share; whoever made it closes it.

    Proxies and certificates are taken from the usual environment (`HTTPS_PROXY`, `NO_PROXY`,
    `SSL_CERT_FILE`), credentials from nowhere. Only connecting is timed: how long an answer may
    take is the router's to decide, and redirects are followed by nobody, since they would carry a
    key to another host.

    Args:
        max_connections: Connections at once; the sum of what providers may have in flight.
    """
    return httpx2.AsyncClient(
        limits=httpx2.Limits(
            max_connections=max_connections,
            max_keepalive_connections=IDLE_CONNECTIONS,
            keepalive_expiry=KEEP_ALIVE_S,
        ),
        timeout=call_timeout(CONNECT_S),
        follow_redirects=False,
    )


def call_timeout(connect_s: float) -> httpx2.Timeout:
    """Return the timeout of one call: of connecting, and of nothing else."""
    return httpx2.Timeout(None, connect=connect_s, pool=connect_s)
