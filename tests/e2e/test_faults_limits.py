"""Limits: what becomes of runs when the disk is full, readers are slow, or messages too large?"""

import asyncio
import json
import urllib.request
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from support.faults_load import Load
from support.faults_shapes import BULKY, ENDLESS, LOUD, SHAPES, TIGHT
from support.faults_site import Site, single, site
from support.wait import until

from segue_contracts.v1 import registry, subjects
from segue_contracts.v1.commands import ResumeRun
from segue_contracts.v1.runs import RunParked
from segue_contracts.v1.steps import StepFailed
from segue_shared.bus import Bus
from segue_testing.server import free_port

pytestmark = pytest.mark.timeout(240)

FULL_S = 2.0
"""How long a full disk is seen to keep a start from being answered."""
BALLAST = 512 * 1024
TIGHT_PAYLOAD = "max_payload: 48KB"
"""Less than what an event may carry inline."""
ROOMY_PAYLOAD = "max_payload: 1MB"


@pytest.fixture(scope="module")
def monitor() -> int:
    """The port at which the narrow broker tells of itself."""
    return free_port()


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory, monitor: int) -> Iterator[Site]:
    """Two orchestrators and two workers on a broker with little disk and little patience."""
    folder = tmp_path_factory.mktemp("narrow")
    extra = f'http: "127.0.0.1:{monitor}"\nmax_pending: 2MB\nwrite_deadline: "1s"'
    server = single(folder, limits="max_file_store: 96MB", extra=extra)
    with site(folder, servers=[server], janitor_every_s="1") as made:
        yield made


@pytest.fixture
async def bus(narrow: Site) -> AsyncIterator[Bus]:
    """A connection to the narrow broker."""
    connection = await narrow.connect()
    yield connection
    await connection.close()


@pytest.fixture
def load(narrow: Site, bus: Bus) -> Load:
    """What starts runs there."""
    return Load(bus, problems=narrow.problems)


class Ballast:
    """Somebody else's stream on the same disk, which takes whatever is left of it."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def fill(self) -> None:
        """Take the disk."""
        await self._api("CREATE", {"name": "BALLAST", "subjects": ["ballast"], "storage": "file"})
        answer: dict[str, object] = {}
        while "error" not in answer:
            answer = json.loads(await self._bus.request("ballast", bytes(BALLAST)))
        assert "resource" in str(answer["error"])

    async def drop(self) -> None:
        """Give the disk back."""
        await self._api("DELETE", {})

    async def _api(self, verb: str, request: dict[str, object]) -> None:
        data = json.dumps(request).encode()
        answer = json.loads(await self._bus.request(f"$JS.API.STREAM.{verb}.BALLAST", data))
        assert "error" not in answer, answer


async def test_a_full_disk_delays_runs_and_loses_none(bus: Bus, load: Load) -> None:
    """What cannot be stored is repeated until it can be; no start is answered before that."""
    ballast = Ballast(bus)
    await load.prepare()
    await load.start_many(len(SHAPES))
    await ballast.fill()

    starting = asyncio.create_task(load.start_many(len(SHAPES)))
    done, _ = await asyncio.wait([starting], timeout=FULL_S)
    await ballast.drop()
    await starting

    assert not done
    await load.all_end_right()


async def test_a_watcher_that_does_not_read_is_cut_off_and_delays_nobody(
    narrow: Site, load: Load, monitor: int
) -> None:
    """The broker drops the slow consumer of facts; the runs that it watched end right."""
    before = await asyncio.to_thread(slow_consumers, monitor)
    _, writer = await asyncio.open_connection("127.0.0.1", narrow.servers[0].port, limit=2**10)
    writer.write(f"CONNECT {{}}\r\nSUB {subjects.facts()} 1\r\n".encode())

    async def cut_off() -> bool:
        await load.start(BULKY)
        return await asyncio.to_thread(slow_consumers, monitor) > before

    await until(cut_off)

    await load.all_end_right()
    writer.close()


def slow_consumers(monitor: int) -> int:
    """Return how many clients the broker has cut off."""
    with urllib.request.urlopen(f"http://127.0.0.1:{monitor}/varz") as answer:
        told: int = json.load(answer)["slow_consumers"]
    return told


async def test_an_outcome_over_max_payload_fails_its_attempt(load: Load) -> None:
    """The run is told why; nothing hangs and nothing is tried for ever."""
    started = await load.start(LOUD)

    failed = await load.first(started.run, "step.a.1.outcome.failed", StepFailed)

    assert (failed.error.code, failed.error.retryable) == ("too_large", False)
    await load.check_run(started)


async def test_a_template_that_renders_too_much_ends_typed(load: Load) -> None:
    """The definition is at fault: the run is parked with the step and the reason."""
    started = await load.start(ENDLESS)

    parked = await load.first(started.run, "parked.1", RunParked)

    assert (parked.step, parked.code) == ("a", "expression_failed"), parked


@pytest.fixture
def tight(tmp_path: Path) -> Iterator[Site]:
    """A site whose broker takes smaller messages than events may be."""
    with site(tmp_path, servers=[single(tmp_path, extra=TIGHT_PAYLOAD)]) as made:
        yield made


async def test_what_the_broker_never_takes_parks_the_run_until_it_does(
    tight: Site,
) -> None:
    """Other runs go on beside it; with a larger limit it is resumed and ends right."""
    connection = await tight.connect()
    load = Load(connection, problems=tight.problems)
    parked = await load.start(TIGHT)
    assert (await load.first(parked.run, "parked.1", RunParked)).code == "cannot_store"
    await load.check_run(await load.start(SHAPES["chain"]))

    [server] = tight.servers
    server.kill()
    server.configure(ROOMY_PAYLOAD)
    server.start()
    await load.call(registry.RESUME_RUN, ResumeRun(run=parked.run, reason="max_payload raised"))

    await load.check_run(parked)
    await connection.close()
