"""A cluster of real servers: do they keep replicas for each other?"""

import json
from pathlib import Path

from support.wait import until

from segue_contracts.v1.topology import RUNS, topology
from segue_shared.bootstrap import apply
from segue_shared.bus import Bus
from segue_shared.errors import SegueError
from segue_testing.cluster import running_cluster


async def test_each_server_of_a_cluster_keeps_a_replica_of_the_journal(tmp_path: Path) -> None:
    """With three replicas the journal has a leader and two servers that follow it."""
    with running_cluster(tmp_path) as cluster:
        bus = await Bus.connect(cluster.url, name="test", max_wait_s=20)

        async def applied() -> bool:
            try:
                await apply(bus, topology(), replicas=3)
            except SegueError:
                return False
            return True

        await until(applied, patience_s=60)
        found = json.loads(await bus.request(f"$JS.API.STREAM.INFO.{RUNS}", b""))["cluster"]
        followers = {replica["name"] for replica in found["replicas"]}
        assert {found["leader"], *followers} == {"nats-0", "nats-1", "nats-2"}
        await bus.close()


async def test_a_cluster_is_gone_after_its_block(tmp_path: Path) -> None:
    """No server runs once the block has ended."""
    with running_cluster(tmp_path, size=2) as cluster:
        assert all(cluster.pids)
    assert not any(cluster.pids)
