"""The cluster: how does a test get nats-servers that keep replicas for each other?"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from segue_testing.binary import BinaryBroker
from segue_testing.server import free_port


@dataclass(frozen=True, slots=True)
class Cluster:
    """Servers of one cluster; they may still be choosing a leader."""

    servers: tuple[BinaryBroker, ...]

    @property
    def url(self) -> str:
        """Their addresses, separated by commas."""
        return ",".join(server.url for server in self.servers)

    @property
    def pids(self) -> list[int]:
        """Their process ids."""
        return [server.pid for server in self.servers]


def cluster_configs(size: int) -> list[str]:
    """Return the further configuration of each server that makes a cluster of them."""
    ports = [free_port() for _ in range(size)]
    routes = ", ".join(f'"nats://127.0.0.1:{port}"' for port in ports)
    return [
        f'cluster {{ name: segue, listen: "127.0.0.1:{port}", routes: [{routes}] }}'
        for port in ports
    ]


@contextmanager
def running_cluster(directory: Path, *, size: int = 3, synced: bool = False) -> Iterator[Cluster]:
    """Run a cluster of processes for the length of a block.

    Args:
        directory: Where its files go, in a folder for each server.
        size: How many servers.
        synced: Whether every write is synced to disk before it is acknowledged.

    Raises:
        TimeoutError: A server does not start.
    """
    with ExitStack() as stack:
        servers = []
        for number, extra in enumerate(cluster_configs(size)):
            folder = directory / f"nats-{number}"
            folder.mkdir()
            named = f"server_name: {folder.name}\n{extra}"
            server = BinaryBroker(folder, extra=named, synced=synced)
            stack.callback(server.close)
            server.start()
            servers.append(server)
        yield Cluster(tuple(servers))
