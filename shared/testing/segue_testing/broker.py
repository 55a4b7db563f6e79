"""The broker: how does a test get a real nats-server of its own?"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Final, Protocol

from segue_testing.binary import BinaryBroker, binary_version
from segue_testing.choice import VARIABLE, BrokerChoice, choose
from segue_testing.container import DockerBroker, DockerEngine
from segue_testing.server import free_port

_PORTS_TRIED: Final = 5
_PORT_TAKEN: Final = "address already in use"

__all__ = ["Broker", "broker_choice", "free_port", "running_broker"]


class Broker(Protocol):
    """A nats-server with a store of its own, reached through the loopback interface."""

    @property
    def port(self) -> int:
        """Where it listens."""
        ...

    @property
    def url(self) -> str:
        """Its address, the same after a restart."""
        ...

    @property
    def pid(self) -> int:
        """The server's process id; 0 when it does not run."""
        ...

    def start(self) -> None:
        """Start the server and wait until it accepts connections.

        Raises:
            TimeoutError: It does not.
        """
        ...

    def restart(self) -> None:
        """Start it again after a kill, on the same port and store."""
        ...

    def kill(self) -> None:
        """End the server with SIGKILL."""
        ...

    def stop(self) -> None:
        """End the server; its store stays."""
        ...

    def close(self) -> None:
        """End the server for good."""
        ...


@cache
def broker_choice() -> BrokerChoice:
    """Return which nats-server the tests of this process use, as the environment asks.

    Raises:
        BrokerChoiceError: What was asked for cannot be had.
    """
    mode = os.environ.get(VARIABLE) or "auto"
    return choose(mode, engine=DockerEngine(), binary_version=binary_version)


@contextmanager
def running_broker(directory: Path, *, extra: str = "", synced: bool = False) -> Iterator[Broker]:
    """Run a broker for the length of a block.

    Args:
        directory: Where its files go.
        extra: Further configuration, such as users and their permissions.
        synced: Whether every write is synced to disk before it is acknowledged.
    """
    broker = _started(directory, extra, synced=synced)
    try:
        yield broker
    finally:
        broker.close()


def _started(directory: Path, extra: str, *, synced: bool) -> Broker:
    """Return a broker that runs, on another port when somebody was quicker at its first."""
    kind = DockerBroker if broker_choice().kind == "docker" else BinaryBroker
    for tries in range(1, _PORTS_TRIED + 1):
        broker: Broker = kind(directory, extra=extra, synced=synced)
        try:
            broker.start()
        except TimeoutError as error:
            broker.close()
            if _PORT_TAKEN not in str(error) or tries == _PORTS_TRIED:
                raise
        else:
            break
    return broker
