"""The server: how is a nats-server of tests configured, and when does it answer?"""

import socket
import time
from collections.abc import Callable
from typing import Final

START_S: Final = 10.0
"""How long a server may take to answer."""

_BETWEEN_S: Final = 0.02
_GREETING: Final = b"INFO "
_DEFAULT_SYNC: Final = "2m"
"""The server's own default."""
_CONFIG: Final = """\
host: {host}
port: {port}
jetstream {{ store_dir: "{store}", sync_interval: {sync} }}
feature_flags {{ js_ack_fc_v2: false, js_api_reply_v2: false }}
{extra}
"""


def config(*, host: str, port: int, store: str, extra: str, synced: bool = False) -> str:
    """Return the text of a server's configuration.

    Args:
        host: The interface it listens on.
        port: Its port there.
        store: The folder of its streams.
        extra: Further configuration, such as users and their permissions.
        synced: Whether every write is synced to disk before it is acknowledged.
    """
    sync = "always" if synced else _DEFAULT_SYNC
    return _CONFIG.format(host=host, port=port, store=store, extra=extra, sync=sync)


def free_port() -> int:
    """Return a port of the loopback interface that was free a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def wait_for_greeting(port: int, problem: Callable[[], str]) -> None:
    """Return once a server greets its clients; an open port alone may be somebody else's.

    Args:
        port: A port of the loopback interface.
        problem: Tells why it never will; empty while it still may.

    Raises:
        TimeoutError: It does not, with the problem if there is one.
    """
    deadline = time.monotonic() + START_S
    while True:
        greets = _greets(port)
        # Asked after the greeting: it may be another server's, which had the port before ours.
        if told := problem():
            raise TimeoutError(told)
        if greets:
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"no nats-server greets at port {port} within {START_S:g} s")
        time.sleep(_BETWEEN_S)


def _greets(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.2)
        try:
            probe.connect(("127.0.0.1", port))
            return probe.recv(len(_GREETING)) == _GREETING
        except OSError:
            return False
