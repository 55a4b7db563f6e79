"""Tests of the stack's surroundings: its folder, its ports, its services and its broker."""

import socket
from pathlib import Path

import pytest

from segue.core.stack_record import StackRecord
from segue.stack import folder as folders
from segue.stack.addresses import answers, free_port
from segue.stack.broker import broker_program, version_of
from segue.stack.logfile import RotatingLog
from segue.stack.services import NAMES, read_ready, service_programs, url_of
from segue.stack.supervised import StackError, Supervised
from segue_shared.clock import SystemClock

RECORD = StackRecord(pid=7, nats_url="nats://127.0.0.1:4999")


def test_a_record_is_alive_only_while_its_owner_holds_the_folder(tmp_path: Path) -> None:
    """Other commands find the stack while it runs, and nothing before and after."""
    before = folders.live_record(tmp_path)
    with folders.owned(tmp_path):
        starting = folders.live_record(tmp_path)
        folders.write(tmp_path, RECORD)
        during = folders.live_record(tmp_path)

    assert (before, starting, during) == (None, None, RECORD)
    assert folders.live_record(tmp_path) is None
    assert not (tmp_path / "stack.json").exists()


def test_a_record_left_by_a_killed_stack_is_not_alive(tmp_path: Path) -> None:
    """The kernel releases the lock of a dead owner, so its record counts no more."""
    with folders.owned(tmp_path):
        pass
    folders.write(tmp_path, RECORD)

    assert folders.live_record(tmp_path) is None
    assert not folders.is_owned(tmp_path)


def test_a_folder_has_one_owner(tmp_path: Path) -> None:
    """A second stack is told who runs already."""
    with folders.owned(tmp_path):
        folders.write(tmp_path, RECORD)

        with (
            pytest.raises(
                folders.AlreadyRunningError, match=r"process 7, nats://127\.0\.0\.1:4999"
            ),
            folders.owned(tmp_path),
        ):
            pass
        assert folders.is_owned(tmp_path)


def test_a_folder_that_is_just_being_owned_names_no_process(tmp_path: Path) -> None:
    """Before the record exists, the refusal is still a sentence."""
    with (
        folders.owned(tmp_path),
        pytest.raises(folders.AlreadyRunningError, match="already running in"),
        folders.owned(tmp_path),
    ):
        pass


async def test_a_preferred_port_is_taken_only_when_it_is_free() -> None:
    """Somebody else's server keeps its port."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        taken = listener.getsockname()[1]

        assert free_port(taken) not in {0, taken}
        assert await answers(f"nats://127.0.0.1:1,127.0.0.1:{taken}")
    assert free_port(taken) == taken
    assert not await answers(f"nats://127.0.0.1:{taken}")


def test_every_service_is_told_its_bus_its_port_and_its_ready_file(tmp_path: Path) -> None:
    """Ports differ, stay with the service, and the gateway knows where the events are."""
    programs = {
        program.name: program
        for program in service_programs(tmp_path, nats_url="nats://b:1", namespace="team")
    }
    events, gateway = programs["events"], programs["gateway"]

    assert tuple(programs) == NAMES
    assert gateway.env["SEGUE_EVENTS_URL"] == url_of(events)
    assert gateway.argv[1:] == ("-m", "segue_gateway")
    assert {program.env["SEGUE_NATS_URL"] for program in programs.values()} == {"nats://b:1"}
    assert {program.env["SEGUE_NAMESPACE"] for program in programs.values()} == {"team"}
    assert len({url_of(program) for program in programs.values()}) == len(NAMES)


async def test_a_service_is_ready_when_its_file_names_its_own_process(tmp_path: Path) -> None:
    """A file of the process before it does not count."""
    stale = tmp_path / "ready" / "agents.json"
    stale.parent.mkdir()
    stale.write_text('{"service": "agents", "pid": 41, "url": "http://127.0.0.1:1"}')
    [agents] = [
        program
        for program in service_programs(tmp_path, nats_url="nats://b:1", namespace="default")
        if program.name == "agents"
    ]
    absent = await agents.ready(41)
    stale.write_text('{"service": "agents", "pid": 42, "url": "http://127.0.0.1:1"}')

    assert [absent, await agents.ready(41), await agents.ready(42)] == [False, False, True]
    stale.write_text('{"serv')
    assert read_ready(stale) is None


def _script(path: Path, source: str) -> Path:
    path.write_text(f"#!/bin/sh\n{source}\n")
    path.chmod(0o755)
    return path


async def test_the_version_of_a_broker_is_read(tmp_path: Path) -> None:
    """As nats-server says it."""
    binary = _script(tmp_path / "nats-server", "echo 'nats-server: v2.15.1'")

    assert await version_of(binary) == (2, 15, 1)


@pytest.mark.parametrize("source", ["echo hello", "echo v2.15.1; exit 3"])
async def test_a_program_that_is_no_broker_is_told(tmp_path: Path, source: str) -> None:
    """The message names it and what it said."""
    with pytest.raises(StackError, match="which is no nats-server"):
        await version_of(_script(tmp_path / "nats-server", source))


async def test_a_broker_that_cannot_be_run_is_told(tmp_path: Path) -> None:
    """A missing file is a sentence."""
    with pytest.raises(StackError, match="cannot be run: No such file or directory"):
        await version_of(tmp_path / "absent")


async def test_a_broker_listens_where_its_file_says(tmp_path: Path) -> None:
    """The configuration that is written is one that nats-server accepts, and it is ready then."""
    port = free_port()
    program = await broker_program(tmp_path, port=port, durability="fsync")
    log = RotatingLog(tmp_path / "nats.log")
    broker = Supervised(program, log=log, clock=SystemClock(), tell=print)
    broker.start()
    try:
        await broker.wait_ready(20)
        answering = await answers(f"nats://127.0.0.1:{port}")
    finally:
        await broker.stop(10)

    assert answering
    assert not await answers(f"nats://127.0.0.1:{port}")
