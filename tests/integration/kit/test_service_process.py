"""The service as a process: does it obey signals, and tell what is wrong with its settings?"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from segue_testing.broker import Broker, free_port

PROGRAM = '''
"""A service of the tests: which waits where it is told to."""

import asyncio
import os
import sys

import structlog

from segue_shared.service import Requires, Runtime, run
from segue_shared.settings import ServiceSettings


class Settings(ServiceSettings):
    """Its settings."""

    stuck: bool = False
    breaks: bool = False


class Probe:
    """A service that does nothing."""

    def __init__(self, settings: Settings, runtime: Runtime) -> None:
        self.settings = settings
        self.runtime = runtime

    async def start(self) -> None:
        structlog.get_logger().info("secrets", api_key="hunter2", seen=b"hunter2")
        if self.settings.breaks:
            self.runtime.spawn(asyncio.sleep(0), name="loop")

    async def stop(self) -> None:
        if self.settings.stuck:
            await asyncio.Event().wait()


raise SystemExit(run("probe", Settings, Probe, requires=Requires(streams=("RUNS",))))
'''
DEADLINE_S = 20.0


class Program:
    """The service as a process, with its environment."""

    def __init__(self, directory: Path, **variables: str) -> None:
        self.ready_file = directory / "ready.json"
        self.log = directory / "log"
        program = directory / "probe.py"
        program.write_text(PROGRAM)
        clean = {name: value for name, value in os.environ.items() if "SEGUE_" not in name}
        environment = clean | {"SEGUE_READY_FILE": str(self.ready_file)} | variables
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(program)], env=environment, stderr=log
            )

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something holds."""
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < deadline, self.log.read_text()
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.01)

    def end(self) -> int:
        """Wait for the end and return the exit code."""
        return self.process.wait(DEADLINE_S)

    def lines(self) -> list[dict[str, object]]:
        """Return its log."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def events(self) -> list[object]:
        """Return the events of its log."""
        return [line["event"] for line in self.lines()]


Start = Callable[..., Program]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start the service; whatever still runs at the end is killed."""
    started: list[Program] = []

    def start_one(**variables: str) -> Program:
        started.append(Program(tmp_path, **variables))
        return started[-1]

    yield start_one
    for program in started:
        program.process.kill()
        program.process.wait()


def test_a_signal_stops_the_service_in_order(start: Start, broker: Broker) -> None:
    """SIGTERM is the normal end, with code 0."""
    program = start(SEGUE_NATS_URL=broker.url)
    program.until(program.ready_file.exists)
    url = json.loads(program.ready_file.read_text())["url"]
    assert httpx.get(f"{url}/readyz").status_code == 200

    program.process.send_signal(signal.SIGTERM)

    assert program.end() == 0
    events = program.events()
    assert events.index("ready") < events.index("signal") < events.index("stopping")
    assert events[-1] == "stopped"
    assert not program.ready_file.exists()


def test_the_log_of_a_service_holds_json_and_no_secrets(start: Start, broker: Broker) -> None:
    """From its first line to its last, the library's included."""
    program = start(SEGUE_NATS_URL=broker.url)
    program.until(program.ready_file.exists)
    program.process.send_signal(signal.SIGINT)

    assert program.end() == 0
    assert {line["service"] for line in program.lines()} == {"probe"}
    assert "hunter2" not in program.log.read_text()


def test_a_second_signal_ends_the_service_at_once(start: Start, broker: Broker) -> None:
    """Even when it hangs."""
    program = start(SEGUE_NATS_URL=broker.url, SEGUE_STUCK="true", SEGUE_DRAIN_S="600")
    program.until(program.ready_file.exists)
    program.process.send_signal(signal.SIGTERM)
    program.until(lambda: "stopping" in program.events())

    program.process.send_signal(signal.SIGTERM)

    assert program.end() == 128 + signal.SIGTERM


def test_a_loop_that_ends_takes_the_process_along(start: Start, broker: Broker) -> None:
    """Code 1 tells the supervisor to restart it."""
    program = start(SEGUE_NATS_URL=broker.url, SEGUE_BREAKS="true")

    assert program.end() == 1
    assert "task_ended" in program.events()


def test_invalid_settings_are_told_one_a_line(start: Start) -> None:
    """With the variable's name, code 2, and nothing started."""
    program = start(SEGUE_HTTP_PORT="eighty", SEGUE_STUCK="perhaps")

    assert program.end() == 2
    first, second = program.log.read_text().splitlines()
    assert first.startswith("probe: SEGUE_HTTP_PORT: ")
    assert second.startswith("probe: SEGUE_STUCK: ")


def test_a_service_waits_for_its_broker(start: Start, tmp_path: Path) -> None:
    """It is alive meanwhile, and stops when told."""
    port = free_port()
    program = start(SEGUE_NATS_URL=f"nats://127.0.0.1:{free_port()}", SEGUE_HTTP_PORT=str(port))
    program.until(lambda: _status(f"http://127.0.0.1:{port}/livez") == 200)
    ready = httpx.get(f"http://127.0.0.1:{port}/readyz")

    program.process.send_signal(signal.SIGTERM)

    assert ready.json()["problems"]["phase"] == "connecting to the broker"
    assert program.end() == 0


def test_a_service_waits_for_its_streams(start: Start, fresh_broker: Broker) -> None:
    """Ready tells which one is missing and what makes it."""
    port = free_port()
    program = start(SEGUE_NATS_URL=fresh_broker.url, SEGUE_HTTP_PORT=str(port))
    program.until(lambda: program.log.exists() and "stream RUNS" in program.log.read_text())

    problem = httpx.get(f"http://127.0.0.1:{port}/readyz").json()["problems"]["phase"]

    assert problem == "the broker lacks stream RUNS; 'segue bus apply' makes what it needs"


def _status(url: str) -> int:
    try:
        return httpx.get(url).status_code
    except httpx.TransportError:
        return 0
