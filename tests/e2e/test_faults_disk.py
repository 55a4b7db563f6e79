"""A real full disk: does anything accepted get lost when writes of the broker fail?"""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.faults_load import Load, Started
from support.faults_parts import Server
from support.faults_shapes import BULKY, SHAPES
from support.faults_site import Site, single, site
from support.wait import until

ROUNDS = int(os.environ.get("SEGUE_SOAK_DISK_ROUNDS", "3"))
DISK = "160m"
LEFT = 2 * 1024 * 1024
"""Bytes that somebody else's file leaves of the disk."""
NO_SPACE = "no space left on device"

pytestmark = [
    pytest.mark.soak,
    pytest.mark.timeout(3600),
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own, where this user may mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(place)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("mounting a file system needs root")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.fixture
def running(tmp_path: Path, disk: Path) -> Iterator[Site]:
    """A site whose broker keeps its streams there."""
    # Without a limit of its own, a broker that starts takes most of what is free then for one.
    servers = [single(tmp_path, store=disk / "streams", limits="max_file_store: 1GB")]
    with site(tmp_path, servers=servers, janitor_every_s="2") as made:
        yield made


def fill(disk: Path) -> Path:
    """Put a file on the disk that leaves next to nothing of it."""
    ballast = disk / "ballast"
    told = os.statvfs(disk)
    ballast.write_bytes(bytes(told.f_bavail * told.f_frsize - LEFT))
    return ballast


async def writes_fail(server: Server, load: Load) -> list[asyncio.Task[Started]]:
    """Start runs until the broker cannot write what they store, and return those starts."""
    starting: list[asyncio.Task[Started]] = []
    before = server.log.read_text().count(NO_SPACE)

    async def has_failed() -> bool:
        starting.append(asyncio.create_task(load.start(BULKY)))
        await asyncio.wait(starting, timeout=0.2)
        return server.log.read_text().count(NO_SPACE) > before

    await until(has_failed)
    return starting


async def test_a_disk_that_is_really_full_loses_nothing_that_was_accepted(
    running: Site, disk: Path
) -> None:
    """Once there is room and the broker was started again, every run goes on where it was."""
    bus = await running.connect()
    load = Load(bus, problems=list)
    await load.prepare()
    [server] = running.servers
    for _ in range(ROUNDS):
        await load.start_many(len(SHAPES))
        ballast = fill(disk)
        starting = await writes_fail(server, load)
        ballast.unlink()
        server.kill()
        server.start()
        await asyncio.gather(*starting)

        await load.all_end_right()
    await bus.close()
