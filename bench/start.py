"""Starting: how soon does a stack do its first run, and how much memory does it take when idle?"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import psutil

from bench.frame import Figure, figure
from bench.processes import running
from bench.stand import chain, definition, ends, start
from segue_contracts.v1.commands import StartRun
from segue_contracts.v1.topology import LOCAL_SHARD_CONSUMERS, topology
from segue_shared.bootstrap import apply
from segue_shared.bus import Bus
from segue_testing.broker import running_broker

_SEGUE: Final = str(Path(sys.executable).parent / "segue")
_NAP: Final = definition([{"key": "nap", "wait": {"duration": "1ms"}}])
_SETTLED_S: Final = 5
"""How long after its first run a stack is taken to be idle."""


async def whole_stack(quick: bool) -> Sequence[Figure]:  # noqa: FBT001 - every benchmark has it
    """`segue up`: from its start to the end of the first run, and its memory when idle."""
    times, sizes = [], []
    for _ in range(1 if quick else 3):
        async with _stack() as (url, pid, begin):
            times.append(await _first_run(url, _NAP) - begin)
            await asyncio.sleep(_SETTLED_S)
            sizes.append(_pss_mib(_family(pid)))
    return [
        figure("stack.first_run_s", times, unit="s", goal=3, better="lower"),
        figure("stack.idle_pss_mib", sizes, unit="MiB", goal=400, better="lower"),
    ]


async def bare_engine(quick: bool) -> Sequence[Figure]:  # noqa: FBT001 - every benchmark has it
    """Broker, orchestrator and one worker: the same."""
    times, sizes = [], []
    for _ in range(1 if quick else 3):
        with ExitStack() as stack:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            begin = time.perf_counter()
            broker = stack.enter_context(running_broker(directory))
            bus = await Bus.connect(broker.url, name="bench", max_wait_s=10)
            await apply(bus, topology(fresh=LOCAL_SHARD_CONSUMERS))
            await bus.close()
            environment = {"SEGUE_NATS_URL": broker.url, "SEGUE_LOG_LEVEL": "error"}
            pids = [broker.pid, stack.enter_context(running("segue_orchestrator", **environment))]
            pids.append(stack.enter_context(running("bench.noop_worker", broker.url)))
            times.append(await _first_run(broker.url, chain(1)) - begin)
            await asyncio.sleep(_SETTLED_S)
            sizes.append(_pss_mib([psutil.Process(pid) for pid in pids]))
    return [
        figure("engine.first_run_s", times, unit="s", goal=1.5, better="lower"),
        figure("engine.idle_pss_mib", sizes, unit="MiB", goal=150, better="lower"),
    ]


@asynccontextmanager
async def _stack() -> AsyncIterator[tuple[str, int, float]]:
    """Run `segue up`; yields the broker's address, its process id and when it began."""
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory) / "segue"
        begin = time.perf_counter()
        process = await asyncio.create_subprocess_exec(
            _SEGUE,
            "up",
            "--dir",
            str(folder),
            env={name: value for name, value in os.environ.items() if name != "NATS_URL"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield await _url(folder, process), process.pid, begin
        finally:
            process.terminate()
            await process.wait()


async def _url(folder: Path, process: asyncio.subprocess.Process) -> str:
    """Return the broker's address once the stack says that it is up."""
    record = folder / "stack.json"
    while not record.exists():
        if process.returncode is not None:
            raise RuntimeError("the stack did not start; is another one running?")
        await asyncio.sleep(0.01)
    address: str = json.loads(record.read_text())["nats_url"]
    return address


async def _first_run(url: str, text: str) -> float:
    """Return when the first run has ended."""
    bus = await Bus.connect(url, name="bench", max_wait_s=10)
    async with ends(bus, lambda _run: None) as ended:
        await start(bus, StartRun(text=text))
        await ended(1)
    await bus.close()
    return time.perf_counter()


def _family(pid: int) -> list[psutil.Process]:
    parent = psutil.Process(pid)
    return [parent, *parent.children(recursive=True)]


def _pss_mib(processes: Sequence[psutil.Process]) -> float:
    """Return the memory of processes, what they share divided among them."""
    return sum(process.memory_full_info().pss for process in processes) / 1024**2
