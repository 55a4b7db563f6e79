"""A stack of processes: how does a test run Segue as its users do?"""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from support.wait import until

from segue_contracts.envelope import decode_event
from segue_contracts.v1 import registry, subjects
from segue_contracts.v1.runs import RunEnded
from segue_contracts.v1.topology import RUNS
from segue_shared.bus import Bus
from segue_shared.errors import TransientError
from segue_shared.journal import Journal, StoredMessage

ROOT: Final = Path(__file__).resolve().parents[2]
SEGUE: Final = str(Path(sys.executable).parent / "segue")
PATIENCE_S: Final = 60.0
ACK_WAIT_S: Final = "3"
"""A killed worker's task goes to another after this, instead of the usual 30 s."""


class Stack:
    """`segue up` in a folder of its own."""

    def __init__(self, folder: Path, **variables: str) -> None:
        self.folder = folder
        self._log = (folder / "up.log").open("wb")
        environment = {**os.environ, "SEGUE_ACK_WAIT_S": ACK_WAIT_S, **variables}
        environment.pop("NATS_URL", None)
        self._process = subprocess.Popen(
            [SEGUE, "up", "--dir", str(folder / "segue")],
            env=environment,
            stdout=self._log,
            stderr=self._log,
        )

    @property
    def record(self) -> dict[str, Any]:
        """What `stack.json` tells; empty before the stack is up."""
        path = self.folder / "segue/stack.json"
        record: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        return record

    @property
    def url(self) -> str:
        """The broker's address."""
        address: str = self.record["nats_url"]
        return address

    async def is_up(self) -> bool:
        """Tell whether the stack is up.

        Raises:
            RuntimeError: It ended instead.
        """
        if self._process.poll() is not None:
            raise RuntimeError((self.folder / "up.log").read_text())
        return bool(self.record)

    async def kill(self, part: str) -> None:
        """End a service, or the broker as `nats`, with SIGKILL, once it is up."""

        async def killed() -> bool:
            try:
                os.kill(self.record["pids"][part], signal.SIGKILL)
            except (ProcessLookupError, KeyError):
                return False  # it died before, and the supervisor has not started it again
            return True

        await until(killed, patience_s=PATIENCE_S)

    def stop(self) -> int:
        """Stop as Ctrl-C does; return the exit code."""
        self._process.send_signal(signal.SIGINT)
        code = self._process.wait(timeout=30)
        self._log.close()
        return code


@contextmanager
def running_stack(folder: Path, **variables: str) -> Iterator[Stack]:
    """Run a stack for the length of a block, with further environment variables."""
    stack = Stack(folder, **variables)
    try:
        asyncio.run(until(stack.is_up, patience_s=PATIENCE_S))
        yield stack
    finally:
        stack.stop()


def a_repository(folder: Path) -> Path:
    """Make a small repository with findings whose places are known."""
    folder.mkdir(parents=True)
    (folder / "app.py").write_text(
        "import os\nimport helper\n\n\ndef run(command):\n    return os.system(command)\n"
    )
    (folder / "helper.py").write_text("import app\n\nUNUSED = 1\n\n\ndef f():\n    eval('1')\n")
    (folder / "requirements.txt").write_text("requests\n")
    identity = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.org"}
    identity |= {"GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@example.org"}
    for command in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-qm", "start"]):
        subprocess.run(["git", *command], cwd=folder, env={**os.environ, **identity}, check=True)
    return folder


class Watcher:
    """Reads the journal of one run; while the broker is away there is nothing to be read."""

    def __init__(self, bus: Bus, run: str) -> None:
        self._journal = Journal(bus, RUNS)
        self._pattern = subjects.run_all("default", run)

    async def events(self) -> list[tuple[str, ...]]:
        """Return the tokens of every event so far, in order."""
        return [subjects.parse_run(m.subject).event for m in await self._last(self._pattern)]

    async def end(self) -> RunEnded | None:
        """Return the run's end; None before it."""
        messages = await self._last(self._pattern.removesuffix(">") + "ended")
        body = registry.decode(decode_event(messages[0].data)) if messages else None
        return body if isinstance(body, RunEnded) else None

    async def _last(self, pattern: str) -> list[StoredMessage]:
        try:
            return await self._journal.last([pattern])
        except TransientError:
            return []
