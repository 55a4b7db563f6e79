"""Tests of keeping processes running: restarts, stops, logs, and what dies with whom."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import psutil
import pytest
from support.wait import until

from segue.core.restarts import RestartPolicy
from segue.stack import launch
from segue.stack.logfile import RotatingLog
from segue.stack.supervised import Program, StackError, Supervised
from segue_shared.clock import SystemClock

QUICK = RestartPolicy(first_s=0.01, longest_s=0.02, hopeless=3)

Make = Callable[..., Supervised]


def _python(source: str) -> tuple[str, ...]:
    return (sys.executable, "-u", "-c", source)


SERVE = (
    "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM}); print('serving');"
    "signal.sigwait({signal.SIGTERM}); print('drained')"
)
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf');"
    "time.sleep(600)"
)
CRASH = "import sys; print('cannot bind'); sys.exit(3)"


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    """Makes supervised programs, and ends them with the test."""
    made: list[Supervised] = []

    def supervised(source: str, **options: object) -> Supervised:
        log = RotatingLog(tmp_path / "logs" / "fake.log")
        program = Program(name="fake", argv=_python(source), ready=_says(log, "serving", "deaf"))
        told = options.pop("tell", None) or (lambda _: None)
        member = Supervised(
            program, log=log, clock=SystemClock(), tell=told, policy=QUICK, **options
        )
        made.append(member)
        return member

    yield supervised
    for member in made:
        await member.stop(5)


def _says(log: RotatingLog, *words: str) -> Callable[[int], Awaitable[bool]]:
    async def ready(_: int) -> bool:
        said = log.tail(1)
        return bool(said) and said[0] in words

    return ready


async def _other_pid(member: Supervised, pid: int) -> int:
    async def ask() -> int:
        return member.pid if member.pid != pid else 0

    return await until(ask)


async def test_a_program_that_dies_is_started_again(make: Make) -> None:
    """A killed service comes back with another process id, and that is told."""
    told: list[str] = []
    member = make(SERVE, tell=told.append)
    member.start()
    await member.wait_ready(10)
    first = member.pid

    os.kill(first, signal.SIGKILL)
    second = await _other_pid(member, first)

    assert second not in {0, first}
    assert member.restarts == 1
    assert told[0].startswith("fake ended by SIGKILL; starting it again in 0.01 s")


async def test_the_stack_hears_of_every_new_process(make: Make) -> None:
    """Whoever keeps the record can write the new process id."""
    pids: list[int] = []
    member = make(SERVE, spawned=lambda: pids.append(member.pid))
    member.start()
    await member.wait_ready(10)
    os.kill(member.pid, signal.SIGKILL)
    await _other_pid(member, pids[0])

    assert len(set(pids)) == 2


async def test_a_program_that_dies_whenever_it_starts_fails_the_start_with_its_last_words(
    make: Make,
) -> None:
    """The reason is in the message, so nobody has to look for a log."""
    member = make(CRASH)
    member.start()

    with pytest.raises(StackError, match=r"(?s)fake dies whenever it is started.*cannot bind"):
        await member.wait_ready(10)


async def test_a_program_that_never_gets_ready_fails_the_start(make: Make) -> None:
    """Waiting has an end."""
    member = make("import time; print('thinking'); time.sleep(600)")
    member.start()

    with pytest.raises(StackError, match=r"is not ready after 0\.3 s"):
        await member.wait_ready(0.3)


async def test_stopping_lets_a_program_finish(make: Make) -> None:
    """SIGTERM comes first, and what the program says then is still logged."""
    member = make(SERVE)
    member.start()
    await member.wait_ready(10)
    await member.stop(10)

    assert member.pid == 0
    assert member.log.tail(1) == ["drained"]
    assert member.restarts == 0


async def test_stopping_kills_a_program_that_does_not_listen(make: Make) -> None:
    """A hanging service does not hang the stop."""
    member = make(STUBBORN)
    member.start()
    await member.wait_ready(10)
    pid = member.pid
    await member.stop(0.1)

    assert not psutil.pid_exists(pid)


async def test_stopping_does_not_wait_for_the_next_restart(make: Make) -> None:
    """A program that waits for its restart stays down at once."""
    crashed = asyncio.Event()
    member = Supervised(
        Program(name="fake", argv=_python(CRASH), ready=_never),
        log=make(SERVE).log,
        clock=SystemClock(),
        tell=lambda _: crashed.set(),
        policy=RestartPolicy(first_s=600, longest_s=600),
    )
    member.start()
    await asyncio.wait_for(crashed.wait(), 10)

    await asyncio.wait_for(member.stop(5), 5)

    assert member.restarts == 0


async def _never(_: int) -> bool:
    return False


async def test_a_program_dies_with_its_supervisor_even_on_sigkill() -> None:
    """Nothing keeps running that nobody supervises."""
    supervisor, pid = await _supervised_by_another()

    supervisor.kill()
    await supervisor.wait()

    async def gone() -> bool:
        return not psutil.pid_exists(pid) or psutil.Process(pid).status() == "zombie"

    assert await until(gone)


async def _supervised_by_another() -> tuple[asyncio.subprocess.Process, int]:
    """Start a process that runs another through the launcher; return it and the other's id."""
    child = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
    parent = (
        "import subprocess, sys, os;"
        f"subprocess.run([sys.executable, {launch.__file__!r}, str(os.getpid()),"
        f" sys.executable, '-c', {child!r}])"
    )
    supervisor = await asyncio.create_subprocess_exec(
        sys.executable, "-c", parent, stdout=asyncio.subprocess.PIPE
    )
    assert supervisor.stdout is not None
    return supervisor, int(await supervisor.stdout.readline())


def test_the_launcher_starts_nothing_for_a_supervisor_that_is_gone(tmp_path: Path) -> None:
    """A child that was too late to ask for the death signal ends by itself."""
    touched = tmp_path / "touched"
    ended = subprocess.run(
        [sys.executable, launch.__file__, "1", "/usr/bin/touch", str(touched)], check=False
    )

    assert (ended.returncode, touched.exists()) == (0, False)


def test_the_launcher_says_what_it_could_not_run() -> None:
    """A wrong path is a sentence, not a traceback."""
    ended = subprocess.run(
        [sys.executable, launch.__file__, str(os.getpid()), "/nowhere/program"],
        check=False,
        capture_output=True,
        text=True,
    )

    assert (ended.returncode, ended.stderr) == (
        127,
        "/nowhere/program: No such file or directory\n",
    )


@pytest.mark.parametrize(("supervisor", "code"), [("os.getppid()", 7), ("1", -signal.SIGKILL)])
def test_without_a_death_signal_the_launcher_watches_its_supervisor(
    supervisor: str, code: int
) -> None:
    """Other systems get the same promise: the exit code comes back, and a lone child is killed."""
    wait = f"import time; time.sleep({0.5 if code > 0 else 600}); raise SystemExit(7)"
    watched = (
        "import os; from segue.stack import launch;"
        f"code = launch._run_watched({supervisor}, [{sys.executable!r}, '-c', {wait!r}]);"
        "print(code)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", watched], check=True, capture_output=True, text=True, timeout=30
    )

    assert ended.stdout == f"{code}\n"


def test_a_log_is_rotated_by_size_and_bounded(tmp_path: Path) -> None:
    """However much a service prints, a few files hold the newest of it."""
    log = RotatingLog(tmp_path / "x.log", max_bytes=100, kept=2)
    for number in range(40):
        log.write(f"line {number:03d}\n".encode())
    log.close()
    files = sorted(tmp_path.iterdir())

    assert [file.name for file in files] == ["x.log", "x.log.1", "x.log.2"]
    assert all(file.stat().st_size <= 100 for file in files)
    assert (tmp_path / "x.log").read_text().endswith("line 039\n")
    assert (tmp_path / "x.log.1").read_text() < (tmp_path / "x.log").read_text()


def test_a_log_goes_on_where_the_last_stack_ended(tmp_path: Path) -> None:
    """Starting again does not throw the old log away."""
    for text in (b"before\n", b"after\n"):
        log = RotatingLog(tmp_path / "x.log")
        log.write(text)
        log.close()

    assert log.tail(5) == ["before", "after"]
