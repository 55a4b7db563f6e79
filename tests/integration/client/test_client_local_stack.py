"""The local stack as a user runs it: real processes, a real broker, the real command."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from support.wait import until

from segue.core.stack_record import StackRecord
from segue.stack.addresses import answers
from segue.stack.folder import live_record
from segue_testing.broker import Broker

SEGUE = (sys.executable, "-c", "from segue.cli import main; main()")
WORKFLOW = """\
name: greet
inputs:
  who: {type: string, required: true}
steps:
  - key: greet
    llm: {prompt: "Say hello to {who}."}
    with: {who: "{{ inputs.who }}"}
outputs:
  report: "{{ steps.greet.output }}"
"""


@dataclass
class Ended:
    """What a command did."""

    code: int
    out: str
    err: str


@dataclass
class Here:
    """A folder in which commands run, with nothing configured."""

    folder: Path

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        """Start a command."""
        return await asyncio.create_subprocess_exec(
            *SEGUE,
            *arguments,
            cwd=self.folder,
            env=_unconfigured(),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def run(self, *arguments: str) -> Ended:
        """Run a command to its end."""
        process = await self.start(*arguments)
        out, err = await asyncio.wait_for(process.communicate(), 90)
        return Ended(process.returncode or 0, out.decode(), err.decode())

    def record(self) -> StackRecord | None:
        """Return what runs in the folder."""
        return live_record(self.folder / ".segue")


class Up:
    """A stack that is up, run by `segue up` in a process of its own."""

    def __init__(self, folder: Path, **env: str) -> None:
        self.here = _folder(folder)
        self._said = (folder / "said").open("wb")
        self.process = subprocess.Popen(
            [*SEGUE, "up"],
            cwd=folder,
            env=_unconfigured() | env,
            stdout=self._said,
            stderr=subprocess.STDOUT,
        )

    async def ready(self) -> StackRecord:
        """Wait until it is up."""

        async def ask() -> StackRecord | None:
            assert self.process.poll() is None, self.said()
            return self.here.record()

        return await until(ask, patience_s=60)

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Signal it unless it has ended, and return its exit code."""
        self.process.send_signal(how)
        code = self.process.wait(timeout=40)
        self._said.close()
        return code

    def said(self) -> str:
        """Return what it wrote."""
        return (self.here.folder / "said").read_text()


def _alive(record: StackRecord) -> list[str]:
    return [name for name, pid in record.pids.items() if _is_alive(pid)]


def _is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _unconfigured() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "NATS_URL"}


def _folder(path: Path) -> Here:
    (path / "greet.yaml").write_text(WORKFLOW)
    return Here(path)


@pytest.fixture
def here(tmp_path: Path) -> Here:
    """A fresh folder with a definition."""
    return _folder(tmp_path)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Up]:
    """A stack that the test may end."""
    stack = Up(tmp_path)
    yield stack
    stack.end()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """A stack of several tests, which leave it running."""
    stack = Up(tmp_path_factory.mktemp("shared"))
    yield stack
    stack.end()


# First in the module: later tests share a stack that takes the default port.
async def test_without_any_bus_a_run_brings_its_own_stack(here: Here) -> None:
    """One command, one result, and nothing left running."""
    if await answers("nats://127.0.0.1:4222"):
        pytest.skip("something of this machine listens on the default port")
    ran = await here.run(
        "workflow", "execute", "greet.yaml", "--context", '{"who": "Ada"}', "--report", "r.md"
    )

    assert ran.code == 0, ran.err
    assert "starting the whole stack" in ran.err
    assert "offline" in (here.folder / "r.md").read_text()
    assert here.record() is None
    assert not await answers("nats://127.0.0.1:4222")


async def test_up_runs_everything_and_stops_cleanly(own: Up) -> None:
    """What runs where is told and recorded, and the first signal ends all of it."""
    record = await own.ready()
    alive = _alive(record)
    code = await asyncio.to_thread(own.end, signal.SIGINT)

    assert alive == ["nats", "orchestrator", "agents", "providers", "events", "gateway"]
    assert code == 0, own.said()
    assert str(record.pids["gateway"]) in own.said()
    assert "durability: fast: what is stored survives the crash of any process" in own.said()
    assert _alive(record) == []
    assert own.here.record() is None


async def test_nothing_outlives_a_killed_up(own: Up) -> None:
    """SIGKILL of the supervisor ends the broker and every service, and frees the folder."""
    record = await own.ready()
    await asyncio.to_thread(own.end, signal.SIGKILL)

    async def gone() -> bool:
        return not _alive(record)

    assert await until(gone)
    assert own.here.record() is None


async def test_down_stops_the_stack_of_the_folder(own: Up) -> None:
    """And returns when it is gone."""
    record = await own.ready()
    down = await own.here.run("down")

    assert (down.code, _alive(record)) == (0, [])


async def test_a_second_up_is_told_and_harms_nothing(shared: Up) -> None:
    """Exit code 5, and the first one goes on."""
    record = await shared.ready()
    second = await shared.here.run("up")

    assert (second.code, str(record.pid) in second.err) == (5, True)
    assert shared.here.record() == record


async def test_a_service_that_is_killed_comes_back_and_is_recorded(shared: Up) -> None:
    """The supervisor starts it again at the same address."""
    record = await shared.ready()
    killed = record.pids["gateway"]
    os.kill(killed, signal.SIGKILL)

    async def back() -> StackRecord | None:
        now = shared.here.record()
        return now if now and now.pids["gateway"] not in {0, killed} else None

    again = await until(back)

    assert again.gateway_url == record.gateway_url


async def test_a_run_is_started_watched_and_found_again_on_the_stack(shared: Up) -> None:
    """Commands of the same folder find the bus by themselves."""
    await shared.ready()
    here = shared.here
    ran = await here.run(
        "workflow", "execute", "greet.yaml", "--context", '{"who": "Ada"}', "-o", "json", "--watch"
    )
    assert ran.code == 0, ran.err
    result = json.loads(ran.out)
    tail = await here.run("events", "tail", result["run"], "-o", "json")
    events = [json.loads(text) for text in tail.out.splitlines()]
    listed = await here.run("workflow", "list", "-o", "json")
    status = await here.run("workflow", "status", result["run"], "-o", "json")
    doctor = await here.run("doctor", "-o", "json")

    assert (result["status"], tail.code) == ("completed", 0)
    assert events[0]["type"] == "segue.run.started.v1"
    assert events[-1]["type"] == "segue.run.ended.v1"
    assert result["run"] in [run["run"] for run in json.loads(listed.out)]
    assert json.loads(status.out)["output"] == result["output"]
    assert {check["state"] for check in json.loads(doctor.out)} == {"ok"}, doctor.out


async def test_the_same_key_starts_one_run(shared: Up) -> None:
    """However often the command is repeated."""
    await shared.ready()
    command = ("workflow", "execute", "greet.yaml", "--context", '{"who": "Ada"}', "-o", "json")
    first, second = [await shared.here.run(*command, "--key", "mine") for _ in range(2)]

    assert json.loads(first.out)["run"] == json.loads(second.out)["run"]
    assert [json.loads(e.out).get("existing", False) for e in (first, second)] == [False, True]


async def test_ctrl_c_detaches_and_the_run_goes_on(shared: Up) -> None:
    """Exit code 130 and the way back; the run is there to be cancelled and followed."""
    await shared.ready()
    here = shared.here
    (here.folder / "idle.yaml").write_text("name: idle\nsteps:\n  - {key: wait, pool: nobody}\n")
    watching = await here.start("workflow", "execute", "idle.yaml", "--watch")
    assert watching.stdout is not None
    while b"scheduled for nobody" not in await asyncio.wait_for(watching.stdout.readline(), 30):
        pass
    watching.send_signal(signal.SIGINT)
    _, err = await asyncio.wait_for(watching.communicate(), 30)
    run = err.decode().split("segue events tail ")[1].split()[0]
    running = await here.run("workflow", "status", run, "-o", "json")
    cancelled = await here.run("workflow", "cancel", run, "--reason", "seen enough")
    tail = await here.run("events", "tail", run)

    assert watching.returncode == 130
    assert f"detached from run {run}; it goes on" in err.decode()
    assert json.loads(running.out)["status"] == "running"
    assert cancelled.code == 0, cancelled.err
    assert (tail.code, "run cancelled: cancelled: seen enough" in tail.out) == (1, True)


async def test_a_stack_uses_the_broker_that_is_named(tmp_path: Path, broker: Broker) -> None:
    """NATS_URL means that none is started, and it is told that its durability is its own."""
    stack = Up(tmp_path, NATS_URL=broker.url)
    record = await stack.ready()
    code = await asyncio.to_thread(stack.end)

    assert code == 0, stack.said()
    assert record.nats_url == broker.url
    assert "nats" not in record.pids
    assert "Segue did not start it" in stack.said()
