"""The container: how does a test run the official nats-server image?

Everything here needs a container engine on this machine, and testcontainers, which is imported
only when it is used. Without an engine nothing of this runs.
"""

import importlib
import os
import socket
from pathlib import Path
from typing import Any, Final

from segue_testing.choice import EngineError
from segue_testing.server import config, free_port, wait_for_greeting

IMAGE: Final = "nats:2.15-alpine"
"""The official image that tests run."""

_EVERYWHERE: Final = "0.0.0.0"  # noqa: S104 - inside the container, where only its port leads
_PORT: Final = 4222
_CONFIG_PATH: Final = "/etc/nats/segue.conf"
_STORE: Final = "/data/jetstream"
_LOG_TAIL: Final = 2_000
_SOCKETS: Final = ("/var/run/docker.sock", "~/.docker/run/docker.sock")
_UNIX: Final = "unix://"


class DockerEngine:
    """The container engine of this machine, if there is one."""

    def version(self) -> str:
        """Run the image once and return the version of its server, such as `v2.15.1`.

        Raises:
            EngineError: No engine answers, or it cannot run the image.
        """
        if not _answers():
            raise EngineError("no container engine answers")
        try:
            clients = importlib.import_module("testcontainers.core.docker_client")
            trouble = importlib.import_module("docker.errors").DockerException
        except ImportError as error:
            raise EngineError(f"{error}; install 'segue-testing[docker]'") from error
        try:
            engine = clients.DockerClient().client
            told: bytes = engine.containers.run(IMAGE, ["nats-server", "--version"], remove=True)
        except (trouble, OSError) as error:
            raise EngineError(f"the engine cannot run {IMAGE}: {error}") from error
        return told.decode().split()[-1]


class DockerBroker:
    """A nats-server in a container of its own, reached through the loopback interface.

    The engine must be on this machine. The store lives in the container, so it outlives a kill and
    a stop, and is gone after `close`.
    """

    def __init__(
        self, directory: Path, *, port: int = 0, extra: str = "", synced: bool = False
    ) -> None:
        self.port: Final = port or free_port()
        self.url: Final = f"nats://127.0.0.1:{self.port}"
        self._config = directory / "nats.conf"
        self._config.write_text(
            config(host=_EVERYWHERE, port=_PORT, store=_STORE, extra=extra, synced=synced)
        )
        self._container: Any = None

    @property
    def pid(self) -> int:
        """The server's process id; 0 when it does not run."""
        if self._container is None:
            return 0
        running = self._container.get_wrapped_container()
        running.reload()
        pid: int = running.attrs["State"]["Pid"]
        return pid

    def start(self) -> None:
        """Start the server and wait until it accepts connections.

        Raises:
            TimeoutError: It does not.
        """
        if self._container is None:
            self._container = self._make()
            self._container.start()
        else:
            self._container.get_wrapped_container().start()
        wait_for_greeting(self.port, self._problem)

    def restart(self) -> None:
        """Start it again after a kill, on the same port and store."""
        self.start()

    def kill(self) -> None:
        """End the server with SIGKILL."""
        self._end("SIGKILL")

    def stop(self) -> None:
        """End the server."""
        self._end("SIGTERM")

    def close(self) -> None:
        """End the server for good, and remove its container."""
        if self._container is not None:
            container, self._container = self._container, None
            container.stop()

    def _make(self) -> Any:
        containers = importlib.import_module("testcontainers.core.container")
        container = containers.DockerContainer(IMAGE)
        container.with_copy_into_container(self._config, _CONFIG_PATH)
        container.with_command(["nats-server", "-c", _CONFIG_PATH])
        container.ports[f"{_PORT}/tcp"] = ("127.0.0.1", self.port)
        return container

    def _problem(self) -> str:
        running = self._container.get_wrapped_container()
        running.reload()
        if running.status != "exited":
            return ""
        return f"nats-server ended: {running.logs().decode()[-_LOG_TAIL:]}"

    def _end(self, how: str) -> None:
        if self._container is not None and self.pid:
            running = self._container.get_wrapped_container()
            running.kill(how)
            running.wait()


def _answers() -> bool:
    """Tell whether an engine listens where `DOCKER_HOST` says, else at one of the usual places."""
    host = os.environ.get("DOCKER_HOST", "")
    if host and not host.startswith(_UNIX):
        return True  # another machine or protocol: running the image tells
    paths = (host.removeprefix(_UNIX),) if host else _SOCKETS
    return any(_listens(Path(path).expanduser()) for path in paths)


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0
