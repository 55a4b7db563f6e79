"""Parts: how does a test kill, freeze and revive a process of Segue?"""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from segue_testing.binary import nats_server_binary
from segue_testing.server import START_S, free_port, wait_for_greeting

TESTS: Final = Path(__file__).resolve().parents[1]
POOL: Final = "work"
"""The pool of all steps under faults."""
ACK_WAIT_S: Final = 2.0
"""A silent worker's task goes to another after this, instead of the usual 30 s."""

_LOG_TAIL: Final = 2_000
_SERVER: Final = """\
server_name: {name}
host: 127.0.0.1
port: {port}
jetstream {{ store_dir: "{store}"{limits} }}
feature_flags {{ js_ack_fc_v2: false, js_api_reply_v2: false }}
{extra}
"""


class Part:
    """A process that faults may hit at any moment."""

    def __init__(
        self, name: str, argv: list[str], *, folder: Path, env: Mapping[str, str] | None = None
    ) -> None:
        self.name: Final = name
        self._argv = argv
        self._env = {**os.environ, **(env or {})}
        self.log: Final = folder / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def __repr__(self) -> str:
        return self.name

    def start(self) -> None:
        """Start it, for the first time or again."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._argv, env=self._env, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )

    def kill(self) -> None:
        """End it with SIGKILL, and return once it is gone."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(timeout=START_S)

    def freeze(self) -> None:
        """Stop it with SIGSTOP: it is there, and does nothing."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Have it go on where it was."""
        self._signal(signal.SIGCONT)

    def problem(self) -> str:
        """Return how it ended by itself; empty while it has not."""
        code = self._process.poll() if self._process is not None else None
        if code is None:
            return ""
        return f"{self.name} ended with {code}: {self.log.read_text()[-_LOG_TAIL:]}"

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)


class Server(Part):
    """A nats-server with a store of its own."""

    def __init__(
        self, name: str, *, folder: Path, store: Path | None = None, limits: str = "", extra: str
    ) -> None:
        """Describe a server.

        Args:
            name: What it is called in its cluster.
            folder: Where its files go.
            store: The folder of its streams, when it is to be another.
            limits: Further settings of its store, such as `max_file_store: 64MB`.
            extra: Further configuration.
        """
        self._config: Final = folder / f"{name}.conf"
        super().__init__(name, [nats_server_binary(), "-c", str(self._config)], folder=folder)
        self.port: Final = free_port()
        self.url: Final = f"nats://127.0.0.1:{self.port}"
        self._store: Final = store or folder / f"{name}.store"
        self._limits: Final = f", {limits}" if limits else ""
        self.configure(extra)

    def configure(self, extra: str) -> None:
        """Change the further configuration, which counts from the next start on."""
        text = _SERVER.format(
            name=self.name, port=self.port, store=self._store, limits=self._limits, extra=extra
        )
        self._config.write_text(text)

    def greet(self) -> None:
        """Return once it takes clients."""
        wait_for_greeting(self.port, self.problem)


def service(module: str, name: str, *, url: str, folder: Path, **settings: str) -> Part:
    """Return a service as a process of its own.

    Args:
        module: What `python -m` runs.
        name: The instance.
        url: The broker's address.
        folder: Where its log goes.
        settings: Further settings, by the names of their fields.
    """
    given = {"nats_url": url, "instance": name, "ack_wait_s": str(ACK_WAIT_S), **settings}
    env = {f"SEGUE_{key.upper()}": value for key, value in given.items()}
    return Part(
        name,
        [sys.executable, "-m", module],
        folder=folder,
        env=env | {"PYTHONPATH": os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])},
    )
