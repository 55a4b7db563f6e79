"""Tests: are foreign programs kept within their bounds?"""

import asyncio
import sys
import time
from pathlib import Path

import pytest
from support.wait import until

from segue_agents.shell.process import ProcessError, ProcessTimedOutError, run_process

PROGRAM = (sys.executable, "-I", "-c")

# A program whose child outlives it unless the whole group is killed.
FAMILY = """
import pathlib, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-I", "-c", "import time; time.sleep(600)"])
pathlib.Path("child").write_text(str(child.pid))
pathlib.Path("ready").write_text("yes")
time.sleep(600)
"""


def state(child: str) -> str:
    """Return the state of a process as the system names it, Z when it is gone."""
    try:
        status = Path(f"/proc/{child}/stat").read_text(encoding="utf-8")
    except FileNotFoundError:
        return "Z"
    return status.rpartition(")")[2].split()[0]


async def child_is_dead(folder: Path) -> bool:
    """Tell whether the child that wrote down its id has ended; it may wait to be reaped."""
    return state(text(folder / "child")) == "Z"


async def has_child(folder: Path) -> bool:
    """Tell whether the program has started its child."""
    return bool(text(folder / "ready"))


def text(path: Path) -> str:
    """Return what a file holds, nothing while it is not there."""
    return path.read_text(encoding="utf-8") if path.exists() else ""


async def test_output_and_exit_code_come_back(tmp_path: Path) -> None:
    """Both outputs, the code and what was fed."""
    code = "import sys; print(sys.stdin.read()); print('no', file=sys.stderr); sys.exit(3)"
    finished = await run_process([*PROGRAM, code], cwd=tmp_path, timeout_s=10, stdin=b"fed")
    assert (finished.code, finished.stdout, finished.stderr) == (3, b"fed\n", b"no\n")


async def test_no_secret_of_the_service_reaches_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment is built, not inherited."""
    monkeypatch.setenv("OPENAI_API_KEY", "hidden")
    code = "import os; print(sorted(os.environ), os.environ['HOME'])"
    finished = await run_process([*PROGRAM, code], cwd=tmp_path, timeout_s=10)
    assert b"OPENAI_API_KEY" not in finished.stdout
    assert finished.stdout.endswith(b"/nonexistent\n")


async def test_a_timeout_kills_the_whole_group(tmp_path: Path) -> None:
    """Children of the program die with it."""
    with pytest.raises(ProcessTimedOutError, match="did not end within 1 s"):
        await run_process([*PROGRAM, FAMILY], cwd=tmp_path, timeout_s=1)
    await until(lambda: child_is_dead(tmp_path))


async def test_a_cancelled_caller_kills_the_whole_group(tmp_path: Path) -> None:
    """Nothing runs on for nobody."""
    task = asyncio.create_task(run_process([*PROGRAM, FAMILY], cwd=tmp_path, timeout_s=60))
    await until(lambda: has_child(tmp_path))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: child_is_dead(tmp_path))


async def test_a_child_that_holds_the_output_open_is_killed_in_time(tmp_path: Path) -> None:
    """A program that has ended cannot leave its group behind."""
    code = (
        "import pathlib, subprocess, sys;"
        "child = subprocess.Popen([sys.executable, '-I', '-c', 'import time; time.sleep(600)']);"
        "pathlib.Path('child').write_text(str(child.pid))"
    )
    with pytest.raises(ProcessTimedOutError):
        await run_process([*PROGRAM, code], cwd=tmp_path, timeout_s=1)
    await until(lambda: child_is_dead(tmp_path))


async def test_output_is_bounded(tmp_path: Path) -> None:
    """A program that writes without end is stopped, and what it wrote first is kept."""
    code = "import sys\nwhile True: sys.stdout.write('x' * 9999)"
    finished = await run_process([*PROGRAM, code], cwd=tmp_path, timeout_s=10, max_output=5000)
    assert finished.truncated
    assert finished.stdout == b"x" * 5000


async def test_a_program_that_does_not_read_its_input_is_no_error(tmp_path: Path) -> None:
    """It may know enough."""
    finished = await run_process(
        [*PROGRAM, "pass"], cwd=tmp_path, timeout_s=10, stdin=b"x" * 1_000_000
    )
    assert finished.code == 0


async def test_a_missing_program_is_named(tmp_path: Path) -> None:
    """The error says what cannot be started."""
    with pytest.raises(ProcessError, match="no-such-program cannot be started"):
        await run_process(["no-such-program"], cwd=tmp_path, timeout_s=1)


async def test_the_event_loop_runs_on_meanwhile(tmp_path: Path) -> None:
    """A busy program does not stop the service."""
    task = asyncio.create_task(
        run_process([*PROGRAM, "sum(range(10**7))"], cwd=tmp_path, timeout_s=60)
    )
    longest, before = 0.0, time.monotonic()
    while not task.done():
        await asyncio.sleep(0)
        longest, before = max(longest, time.monotonic() - before), time.monotonic()
    assert (await task).code == 0
    assert longest < 1
