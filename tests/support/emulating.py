"""The emulator from outside: how does a test start it, steer it and read its log?"""

import http.client
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from support.wait import until

_PROGRAM: Final = Path(__file__).with_name("emulator.py")
_PATIENCE_S: Final = 10.0


class EmulatorFailedError(Exception):
    """The emulator did not start, or refused what it was told."""


class Emulated:
    """A running emulator."""

    def __init__(self, port: int) -> None:
        self.port: Final = port

    def url(self, scenario: str, *, suffix: str = "") -> str:
        """Return the base URL of a scenario; `suffix` is what an SDK wants beyond, as `/v1`."""
        return f"http://127.0.0.1:{self.port}/{scenario}{suffix}"

    def switch(self, scenario: str, *, wire: str = "") -> None:
        """Say what the scenario `switch` stands for from now on; for all wires by default."""
        self._call("POST", "/_switch", {"scenario": scenario, "wire": wire})

    def log(self, *, scenario: str | None = None) -> list[dict[str, Any]]:
        """Return all requests in order, or those of one scenario; see `emulator_log.Entry`."""
        entries: list[dict[str, Any]] = self._call("GET", "/_log")
        return [one for one in entries if scenario is None or one["scenario"] == scenario]

    def reset(self) -> None:
        """Forget all requests, counts and switches."""
        self._call("POST", "/_reset", {})

    async def gone(self, scenario: str) -> dict[str, Any]:
        """Return the last request of a scenario once its client is known to have gone away."""

        async def ask() -> dict[str, Any] | None:
            entry = self.log(scenario=scenario)[-1]
            return entry if entry["gone_s"] is not None else None

        entry = await until(ask, patience_s=_PATIENCE_S)
        assert entry is not None

        return entry

    def _call(self, method: str, path: str, body: object = None) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_PATIENCE_S)
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None)
            reply = connection.getresponse()
            data = json.loads(reply.read())
        finally:
            connection.close()
        if reply.status != 200:
            raise EmulatorFailedError(f"{method} {path}: {reply.status} {data}")
        return data


@contextmanager
def emulating() -> Iterator[Emulated]:
    """Run an emulator as a process of its own, and end it afterwards."""
    process = subprocess.Popen(
        [sys.executable, str(_PROGRAM), "--port", "0"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline().strip()
        if not line.isdigit():
            raise EmulatorFailedError(f"the emulator printed {line!r} instead of its port")
        yield Emulated(int(line))
    finally:
        process.terminate()
        process.wait(timeout=_PATIENCE_S)
        if process.stdout is not None:
            process.stdout.close()
