"""`segue doctor`: what is missing for a run to work here?"""

import asyncio
import platform
import sys
from collections.abc import Awaitable
from typing import Final, Literal

import msgspec

from segue.cli.options import Output
from segue.cli.shell import Shell
from segue.cli.target import Address, Target, resolve
from segue.core.exits import Exit
from segue.core.stack_record import StackRecord
from segue.sdk import Client
from segue.stack.broker import OLDEST, find_binary, version_of
from segue.stack.folder import live_record
from segue.stack.supervised import StackError
from segue_contracts.v1.topology import RUNS, topology
from segue_shared import bootstrap
from segue_shared.bus import Bus
from segue_shared.errors import SegueError

State = Literal["ok", "warn", "fail"]

_HTTP_OK: Final = 200
_HTTP_TIMEOUT_S: Final = 3.0
_MARKS: Final[dict[State, str]] = {
    "ok": "[green]ok[/]  ",
    "warn": "[yellow]warn[/]",
    "fail": "[red]fail[/]",
}


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at."""

    name: str
    """What."""
    state: State
    """`warn` does not stop a run, `fail` does."""
    text: str
    """What was found, and the way out."""


async def doctor(shell: Shell, target: Target, output: Output) -> Exit:
    """Look at everything a run needs and say what is wrong."""
    address = resolve(shell, target)
    record = live_record(target.folder)
    checks = [_python(), await _binary(), await _reachable(shell, address)]
    reachable = checks[-1].state == "ok"
    if reachable:
        checks += await _on_bus(shell, address, target, record)
    checks += await _http(record)
    for check in checks if output is Output.TEXT else ():
        shell.out.print(f"{_MARKS[check.state]} {check.name}:", end=" ", highlight=False)
        shell.out.print(check.text, markup=False, highlight=False, soft_wrap=True)
    if output is Output.JSON:
        shell.put(msgspec.json.encode(checks).decode())
    if not reachable:
        return Exit.UNREACHABLE
    return Exit.RUN_FAILED if any(check.state == "fail" for check in checks) else Exit.DONE


def _python() -> Check:
    text = f"{platform.python_version()} at {sys.executable}"
    return Check(name="python", state="ok", text=text)


async def _binary() -> Check:
    try:
        binary = find_binary()
        version = await version_of(binary)
    except StackError as error:
        return Check(name="nats-server", state="warn", text=str(error))
    told = f"{'.'.join(map(str, version))} at {binary}"
    if version[:2] < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        return Check(name="nats-server", state="warn", text=f"{told}; needs {oldest} or newer")
    return Check(name="nats-server", state="ok", text=told)


async def _reachable(shell: Shell, address: Address) -> Check:
    if await shell.answers(address.url):
        return Check(name="bus", state="ok", text=f"{address.url} ({address.source}) answers")
    text = f"nothing answers at {address.url} ({address.source}); start one with 'segue up'"
    return Check(name="bus", state="fail", text=text)


async def _on_bus(
    shell: Shell, address: Address, target: Target, record: StackRecord | None
) -> list[Check]:
    try:
        async with shell.connect_bus(address.url) as bus:
            checks = [await _streams(bus)]
            if checks[0].state == "ok":
                checks.append(await _durability(bus, address, record))
        async with shell.connect(address.url, target.namespace) as client:
            checks += await _services(client)
    except SegueError as error:
        return [Check(name="bus", state="fail", text=str(error))]
    return checks


async def _streams(bus: Bus) -> Check:
    missing = await bootstrap.missing(bus, topology())
    if missing:
        text = f"missing {', '.join(missing)}; make them with 'segue bus apply'"
        return Check(name="streams", state="fail", text=text)
    return Check(name="streams", state="ok", text="all streams and buckets are there")


async def _durability(bus: Bus, address: Address, record: StackRecord | None) -> Check:
    if record is not None and record.nats_url == address.url:
        return Check(name="durability", state="ok", text=record.durability)
    answer = await bus.request(f"$JS.API.STREAM.INFO.{RUNS}", b"")
    replicas = msgspec.json.decode(answer).get("config", {}).get("num_replicas", 1)
    if replicas > 1:
        return Check(name="durability", state="ok", text=f"{replicas} replicas of every stream")
    text = "one copy of every stream; whether a power cut loses data is the broker's sync_interval"
    return Check(name="durability", state="warn", text=text)


async def _services(client: Client) -> list[Check]:
    asked: dict[str, Awaitable[object]] = {
        "orchestrator": client.list_runs(limit=1),
        "agents": client.list_agents(),
        "providers": client.providers(),
    }
    return list(await asyncio.gather(*(_service(name, ask) for name, ask in asked.items())))


async def _service(name: str, ask: Awaitable[object]) -> Check:
    try:
        await ask
    except SegueError as error:
        return Check(name=name, state="fail", text=str(error))
    return Check(name=name, state="ok", text="answers")


async def _http(record: StackRecord | None) -> list[Check]:
    if record is None:
        return []
    urls = {"events": record.events_url, "gateway": record.gateway_url}
    return list(await asyncio.gather(*(_ready(name, url) for name, url in urls.items() if url)))


async def _ready(name: str, url: str) -> Check:
    import httpx  # noqa: PLC0415 - no other command needs it

    try:
        async with httpx.AsyncClient(timeout=_HTTP_TIMEOUT_S, trust_env=False) as http:
            answer = await http.get(f"{url}/readyz")
    except httpx.HTTPError as error:
        return Check(name=name, state="fail", text=f"{url} does not answer: {error}")
    if answer.status_code != _HTTP_OK:
        return Check(name=name, state="fail", text=f"{url} is not ready: {answer.text[:200]}")
    return Check(name=name, state="ok", text=f"{url} is ready")
