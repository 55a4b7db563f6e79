"""The emulator of model providers: what would Claude, OpenAI or Gemini have answered over HTTP?

Real sockets, all wires in one process: `python tests/support/emulator.py --port 0` prints its port.
A base URL is `http://127.0.0.1:<port>/<scenario>`; `emulator_scenario` names the scenarios. Beside
them `POST /_switch {"scenario": ..., "wire": ...}` says what the scenario `switch` stands for (of
all wires, when none is named), `GET /_log` returns all requests, `POST /_reset` forgets all.
"""

import argparse
import asyncio
import contextlib
import importlib
import json
import sys
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.emulator_http import ClientGoneError, Connection, Head, json_bytes
from support.emulator_log import Log
from support.emulator_play import Play
from support.emulator_scenario import Scenario, UnknownScenarioError, fault_of, scenario_of
from support.emulator_wire import Asked, Fault, Operation, Wire

MODULES: Final = ("anthropic", "gemini", "openai")
"""Each is a module `support.emulator_<name>` with its `WIRES`."""


def wires() -> tuple[Wire, ...]:
    """Return all wires, the pickiest first where several could claim a request."""
    modules = (importlib.import_module(f"support.emulator_{name}") for name in MODULES)
    return tuple(wire for module in modules for wire in module.WIRES)


class Emulator:
    """All providers in one server."""

    def __init__(self) -> None:
        self._wires = wires()
        self._log = Log()
        self._switched: dict[str, str] = {}

    async def serve(self, connection: Connection) -> None:
        """Answer one client until either side is done."""
        with contextlib.suppress(ClientGoneError, asyncio.IncompleteReadError):
            while (head := await connection.read()) is not None:
                if not await self._answer(connection, head):
                    break
        connection.close()

    async def _answer(self, connection: Connection, head: Head) -> bool:
        segment, path, query = _target(head.target)
        if segment.startswith("_"):
            await connection.write(self._control(segment, head))
            return True
        try:
            scenario = scenario_of(segment)
        except UnknownScenarioError as error:
            await connection.write(json_bytes(404, {"error": str(error)}))
            return True
        body = _decoded(head.body)
        asked = Asked(method=head.method, path=path, query=query, headers=head.headers, body=body)
        for wire in self._wires:
            if (operation := wire.operation(asked)) is not None:
                return await self._by(connection, wire, operation, scenario, asked)
        await connection.write(json_bytes(404, {"error": f"no wire takes {head.method} {path}"}))
        return True

    async def _by(
        self,
        connection: Connection,
        wire: Wire,
        operation: Operation,
        scenario: Scenario,
        asked: Asked,
    ) -> bool:
        entry = self._log.enter(wire.name, operation, scenario.text, asked)
        now = self._now(wire, scenario)
        play = Play(connection, wire, now, entry)
        try:
            if now.has("drop"):
                return False
            if now.has("hang"):
                await connection.pause(None)
            if fault := self._fault(wire, operation, now, asked):
                return await play.fail(fault)
            if operation == "stream":
                return await play.stream(asked)
            return await (play.whole(asked) if operation == "chat" else play.other(asked))
        except ClientGoneError:
            entry.gone()
            raise

    def _now(self, wire: Wire, scenario: Scenario) -> Scenario:
        """Return the scenario that counts at this moment."""
        if not scenario.has("switch"):
            return scenario
        return scenario_of(self._switched.get(wire.name) or self._switched.get("") or "ok")

    def _fault(
        self, wire: Wire, operation: Operation, scenario: Scenario, asked: Asked
    ) -> Fault | None:
        if not wire.key(asked):
            return Fault(status=401, message="no key was given")
        if fault := wire.refuse(asked, operation) or scenario.fault():
            return fault
        for name, *words in scenario.traits:
            if name == "key" and wire.key(asked).endswith(words[0]):
                return fault_of(tuple(words[1:]))
            if name == "flaky" and self._log.tries(wire.name, scenario.text) < int(words[-1]):
                return fault_of(tuple(words[:-1]))
        return None

    def _control(self, segment: str, head: Head) -> bytes:
        match head.method, segment:
            case "GET", "_log":
                return json_bytes(200, self._log.told())
            case "POST", "_reset":
                self._log.reset()
                self._switched.clear()
            case "POST", "_switch":
                wanted = _decoded(head.body)
                try:
                    self._switched[wanted.get("wire", "")] = scenario_of(wanted["scenario"]).text
                except UnknownScenarioError as error:
                    return json_bytes(400, {"error": str(error)})
            case _:
                return json_bytes(404, {"error": f"no {head.method} /{segment}"})
        return json_bytes(200, {})


def _target(target: str) -> tuple[str, str, str]:
    """Divide a target into scenario, path and query."""
    whole, _, query = target.partition("?")
    segment, _, path = whole.removeprefix("/").partition("/")
    return segment, f"/{path}", query


def _decoded(body: bytes) -> Any:
    try:
        return json.loads(body) if body else None
    except ValueError:
        return None


async def serve(port: int) -> None:
    """Serve on a port of 127.0.0.1 until cancelled; prints the port when ready."""
    emulator = Emulator()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Connection(emulator.serve), "127.0.0.1", port, backlog=1024
    )
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201 - the caller reads it
    async with server:
        await server.serve_forever()


def main() -> None:
    """Run until the process is ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(parser.parse_args().port))


if __name__ == "__main__":
    main()
