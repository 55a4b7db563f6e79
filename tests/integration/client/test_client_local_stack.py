"""The local stack as a user runs it: real processes, a real broker, the real command."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from support.wait import until

from segue.core.stack_record import StackRecord
from segue.stack.folder import live_record

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
        env = {name: value for name, value in os.environ.items() if name != "NATS_URL"}
        return await asyncio.create_subprocess_exec(
            *SEGUE,
            *arguments,
            cwd=self.folder,
            env=env,
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


@dataclass
class Up:
    """A stack that is up."""

    here: Here
    process: asyncio.subprocess.Process
    record: StackRecord

    async def gone(self) -> bool:
        """Tell whether no process of the stack is left."""
        return not any(map(_alive, self.record.pids.values()))


def _alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def here(tmp_path: Path) -> Here:
    """A fresh folder with a definition."""
    (tmp_path / "greet.yaml").write_text(WORKFLOW)
    return Here(tmp_path)


@pytest.fixture
async def up(here: Here) -> AsyncIterator[Up]:
    """A stack of this test alone."""
    process = await here.start("up")

    async def recorded() -> StackRecord | None:
        assert process.returncode is None, (await process.communicate())[1].decode()
        return here.record()

    record = await until(recorded, patience_s=60)
    yield Up(here, process, record)
    if process.returncode is None:
        process.terminate()
        await asyncio.wait_for(process.wait(), 40)


async def test_up_runs_everything_and_stops_cleanly(up: Up) -> None:
    """What runs where is told and recorded, and the first signal ends all of it."""
    alive = [name for name, pid in up.record.pids.items() if _alive(pid)]
    up.process.send_signal(signal.SIGINT)
    out, err = await asyncio.wait_for(up.process.communicate(), 40)

    assert alive == ["nats", "orchestrator", "agents", "providers", "events", "gateway"]
    assert up.process.returncode == 0, err.decode()
    assert str(up.record.pids["gateway"]) in out.decode()
    assert "durability: fast: what is stored survives the crash of any process" in out.decode()
    assert await up.gone()
    assert not (up.here.folder / ".segue" / "stack.json").exists()


async def test_a_second_up_is_told_and_harms_nothing(up: Up) -> None:
    """Exit code 5, and the first one goes on."""
    second = await up.here.run("up")

    assert (second.code, str(up.record.pid) in second.err) == (5, True)
    assert up.here.record() == up.record


async def test_a_service_that_is_killed_comes_back_and_is_recorded(up: Up) -> None:
    """The supervisor starts it again at the same address."""
    killed = up.record.pids["gateway"]
    os.kill(killed, signal.SIGKILL)

    async def back() -> StackRecord | None:
        record = up.here.record()
        return record if record and record.pids["gateway"] not in {0, killed} else None

    again = await until(back)

    assert again.gateway_url == up.record.gateway_url


async def test_nothing_outlives_a_killed_up(up: Up) -> None:
    """SIGKILL of the supervisor ends the broker and every service, and frees the folder."""
    up.process.kill()
    await up.process.wait()

    assert await until(up.gone)
    assert up.here.record() is None


async def test_down_stops_the_stack_of_the_folder(up: Up) -> None:
    """And returns when it is gone."""
    down = await up.here.run("down")

    assert (down.code, await up.gone()) == (0, True)


async def test_a_run_is_started_watched_and_found_again_on_the_stack(up: Up) -> None:
    """Commands of the same folder find the bus by themselves."""
    here = up.here
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
    assert [run["run"] for run in json.loads(listed.out)] == [result["run"]]
    assert json.loads(status.out)["output"] == result["output"]
    assert {check["state"] for check in json.loads(doctor.out)} == {"ok"}, doctor.out


async def test_the_same_key_starts_one_run(up: Up) -> None:
    """However often the command is repeated."""
    command = ("workflow", "execute", "greet.yaml", "--context", '{"who": "Ada"}', "-o", "json")
    first, second = [await up.here.run(*command, "--key", "mine") for _ in range(2)]

    assert json.loads(first.out)["run"] == json.loads(second.out)["run"]
    assert [json.loads(e.out).get("existing", False) for e in (first, second)] == [False, True]


async def test_without_any_bus_a_run_brings_its_own_stack(here: Here) -> None:
    """One command, one result, and nothing left running."""
    port_owner = await _default_port_is_taken()
    if port_owner:
        pytest.skip("something of this machine listens on the default port")
    process = await here.start(
        "workflow", "execute", "greet.yaml", "--context", '{"who": "Ada"}', "--report", "r.md"
    )

    async def recorded() -> StackRecord | None:
        return here.record() or (StackRecord(pid=0, nats_url="") if process.returncode else None)

    record = await until(recorded, patience_s=60)
    _, err = await asyncio.wait_for(process.communicate(), 90)

    assert process.returncode == 0, err.decode()
    assert "starting the whole stack" in err.decode()
    assert "offline" in (here.folder / "r.md").read_text()
    assert not any(map(_alive, record.pids.values()))


async def _default_port_is_taken() -> bool:
    from segue.stack.addresses import answers  # noqa: PLC0415 - one use

    return await answers("nats://127.0.0.1:4222")


async def test_a_stack_uses_the_broker_that_is_named(here: Here, broker: object) -> None:
    """NATS_URL means that none is started, and it is told that its durability is its own."""
    env = {**os.environ, "NATS_URL": broker.url}
    process = await asyncio.create_subprocess_exec(
        *SEGUE,
        "up",
        cwd=here.folder,
        env=env,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )

    async def recorded() -> StackRecord | None:
        assert process.returncode is None, (await process.communicate())[1].decode()
        return here.record()

    record = await until(recorded, patience_s=60)
    process.terminate()
    out, err = await asyncio.wait_for(process.communicate(), 40)

    assert process.returncode == 0, err.decode()
    assert record.nats_url == broker.url
    assert "nats" not in record.pids
    assert "Segue did not start it" in out.decode()
