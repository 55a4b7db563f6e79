"""Commands on a broker that has nothing yet: is it told, and can it be mended?"""

import asyncio
import json
import sys
from pathlib import Path

from segue_testing.broker import Broker

SEGUE = (sys.executable, "-c", "from segue.cli import main; main()")


async def _segue(*arguments: str, folder: Path) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *SEGUE,
        *arguments,
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode or 0, out.decode(), err.decode()


async def test_an_empty_broker_gets_what_is_missing_once(
    fresh_broker: Broker, tmp_path: Path
) -> None:
    """The doctor names the way out, `bus apply` takes it, and a second time changes nothing."""
    bus = ("--nats-url", fresh_broker.url)
    code, told, _ = await _segue("doctor", *bus, "-o", "json", folder=tmp_path)
    checks = {check["name"]: check for check in json.loads(told)}
    first = await _segue("bus", "apply", *bus, folder=tmp_path)
    second = await _segue("bus", "apply", *bus, folder=tmp_path)
    _, healed, _ = await _segue("doctor", *bus, "-o", "json", folder=tmp_path)
    states = {check["name"]: check["state"] for check in json.loads(healed)}

    assert (code, checks["streams"]["state"]) == (1, "fail")
    assert "segue bus apply" in checks["streams"]["text"]
    assert (first[0], "stream RUNS created" in first[1]) == (0, True)
    assert (second[:2], "has everything already" in second[2]) == ((0, ""), True)
    assert (states["streams"], states["durability"]) == ("ok", "warn")
    assert states["orchestrator"] == "fail"


async def test_the_journal_is_divided_anew_on_demand(fresh_broker: Broker, tmp_path: Path) -> None:
    """The command tells what it made and removed, and later ones keep the number."""
    apply = ("bus", "apply", "--nats-url", fresh_broker.url)
    await _segue(*apply, folder=tmp_path)
    code, told, _ = await _segue(*apply, "--shard-consumers", "2", folder=tmp_path)
    again = await _segue(*apply, folder=tmp_path)

    assert code == 0
    assert told.splitlines()[:4] == [
        "consumer RUNS.orchestrator_2_00 created",
        "consumer RUNS.orchestrator_2_01 created",
        "layout orchestrator updated",
        "consumer RUNS.orchestrator_4_00 deleted",
    ]
    assert (again[:2], "has everything already" in again[2]) == ((0, ""), True)
