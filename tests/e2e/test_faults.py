"""Faults: does every accepted run end once, with the right outputs, whatever dies or freezes?"""

import asyncio
import os
import random
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from support.faults_load import Load, sizes
from support.faults_site import (
    SINGLE,
    Fault,
    Site,
    Striker,
    cluster,
    leader_of,
    single,
    site,
)

ROUNDS = int(os.environ.get("SEGUE_SOAK_FAULT_ROUNDS", "20"))
RUNS = int(os.environ.get("SEGUE_SOAK_FAULT_RUNS", "200"))
SEED = int(os.environ.get("SEGUE_SOAK_SEED", "1"))

pytestmark = [
    # A try to reach a frozen broker ends without the client library closing its socket.
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.timeout(240),
]


@pytest.fixture
def one_broker(tmp_path: Path) -> Iterator[Site]:
    """Two orchestrators and two workers on one broker."""
    with site(tmp_path, servers=[single(tmp_path)], janitor_every_s="2") as made:
        yield made


@pytest.fixture
def three_brokers(tmp_path: Path) -> Iterator[Site]:
    """The same on a cluster of three, with three copies of everything."""
    with site(tmp_path, servers=cluster(tmp_path), janitor_every_s="2") as made:
        yield made


@asynccontextmanager
async def loading(running: Site) -> AsyncIterator[Load]:
    """Give what starts runs on a site, for the length of a block."""
    bus = await running.connect()
    load = Load(bus, problems=running.problems)
    try:
        await load.prepare()
        yield load
    finally:
        await bus.close()


def tell(text: str) -> None:
    """Say where a long proof is."""
    print(text, flush=True)  # noqa: T201 - what repeats a failure


async def under_faults(
    running: Site, load: Load, *, runs: int, faults: Sequence[Fault], chance: random.Random
) -> None:
    """Start runs in waves, and let a fault begin at a random moment of each."""
    striker, starting = Striker(running, chance), []
    for size, fault in zip(sizes(runs, len(faults)), faults, strict=True):
        starting.append(asyncio.create_task(load.start_many(size)))
        await asyncio.sleep(chance.uniform(0.05, 2))  # the moment
        tell(f"{fault.what} {striker.strike(fault)}")
    await striker.settle()
    await asyncio.gather(*starting)


async def test_runs_end_right_although_each_part_is_killed_and_frozen(one_broker: Site) -> None:
    """Six faults, some at once, under runs of every shape: each run ends as if there were none."""
    chance = random.Random(SEED)  # noqa: S311 - a repeatable order, no secret
    tell(f"seed {SEED}")
    async with loading(one_broker) as load:
        faults = chance.sample(SINGLE, len(SINGLE))

        await under_faults(one_broker, load, runs=60, faults=faults, chance=chance)

        await load.all_end_right()
        await load.again()


@pytest.mark.soak
@pytest.mark.timeout(24 * 3600)
async def test_runs_end_right_under_faults_at_length(one_broker: Site) -> None:
    """Round after round on one journal, each with other faults at other moments."""
    chance = random.Random(SEED)  # noqa: S311 - a repeatable order, no secret
    async with loading(one_broker) as load:
        for number in range(ROUNDS):
            tell(f"seed {SEED}, round {number + 1} of {ROUNDS}: {RUNS} runs")
            faults = chance.choices(SINGLE, k=len(SINGLE))

            await under_faults(one_broker, load, runs=RUNS, faults=faults, chance=chance)

            await load.all_end_right()


async def lose_one(running: Site, load: Load, *, runs: int, leader: bool, away_s: float) -> None:
    """Start runs, kill a server of the cluster, and start it again after a while."""
    name = await leader_of(load.bus)
    server = next(one for one in running.servers if (one.name == name) == leader)
    starting = asyncio.create_task(load.start_many(runs))
    await load.some_event()
    tell(f"kill {server}, {'the leader' if leader else 'a follower'}")
    server.kill()
    await asyncio.sleep(away_s)  # how long the cluster goes without it
    server.start()
    await starting


@pytest.mark.soak
async def test_runs_end_right_although_the_cluster_loses_its_leader(three_brokers: Site) -> None:
    """The leader of the journal is killed, then a follower; what was accepted ends as it must."""
    async with loading(three_brokers) as load:
        await lose_one(three_brokers, load, runs=22, leader=True, away_s=1)
        await lose_one(three_brokers, load, runs=11, leader=False, away_s=0.5)

        await load.all_end_right()


@pytest.mark.soak
@pytest.mark.timeout(24 * 3600)
async def test_runs_end_right_although_the_cluster_loses_servers_at_length(
    three_brokers: Site,
) -> None:
    """Leaders and followers, with the faults of the other parts between them."""
    chance = random.Random(SEED)  # noqa: S311 - a repeatable order, no secret
    others = [fault for fault in SINGLE if fault.part != "nats"]
    async with loading(three_brokers) as load:
        for number in range(ROUNDS):
            leader, away_s = chance.random() < 1 / 2, chance.uniform(0, 5)
            tell(f"seed {SEED}, round {number + 1} of {ROUNDS}: {RUNS} runs")
            striker = Striker(three_brokers, chance)
            tell(f"beside: {striker.strike(chance.choice(others))}")

            await lose_one(three_brokers, load, runs=RUNS, leader=leader, away_s=away_s)

            await striker.settle()
            await load.all_end_right()
