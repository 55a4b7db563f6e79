"""Streams through the whole router: do a caller's pace and change of mind reach the provider?

Each provider's real library, against real sockets.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from msgspec import structs
from support.emulating import Emulated
from support.routed import (
    INBOX,
    MODELS,
    PREAMBLES,
    SPOKEN,
    Outcome,
    Route,
    Routed,
    asking,
    check_ending,
    unique,
)
from support.wait import until

from segue_contracts.v1.chat import ChatRequest, StreamOptions
from segue_contracts.v1.control import CancelCall, GrantCredit
from segue_contracts.v1.deltas import Delta, Heartbeat, PartDelta
from segue_providers.core.configuration import Wire

pytestmark = pytest.mark.asyncio(loop_scope="module")
WIRES = pytest.mark.parametrize("wire", [*MODELS])
SOON_S = 0.5


def credited(credit: int) -> ChatRequest:
    """Return a request for a stream of which so many deltas may be sent at first."""
    stream = StreamOptions(on=True, to=INBOX, credit=credit)
    return structs.replace(asking(stream=True), stream=stream)


def paced(routed: Routed) -> list[Delta]:
    """Return the deltas that took credit; a sign of life takes none."""
    return [one for one in routed.deltas() if not isinstance(one, Heartbeat)]


async def asked(emulator: Emulated, scenario: str) -> None:
    """Wait until the provider was asked."""
    await until(lambda: asyncio.to_thread(emulator.log, scenario=scenario))


async def shown(routed: Routed) -> None:
    """Wait until the caller was shown a word."""

    async def is_shown() -> bool:
        return any(isinstance(one, PartDelta) for one in routed.deltas())

    await until(is_shown)


async def cancelled_soon(
    routed: Routed, work: asyncio.Task[Outcome], emulator: Emulated, scenario: str
) -> Outcome:
    """Have the caller take its call back, and check that the provider's socket closes soon."""
    began = asyncio.get_running_loop().time()
    await routed.hint(CancelCall(request="call-1", reason="the caller went home"))
    outcome = await work
    await emulator.gone(scenario)
    assert asyncio.get_running_loop().time() - began < SOON_S
    return outcome


@WIRES
@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
async def test_a_call_cancelled_before_any_answer_ends_upstream_soon(
    emulator: Emulated, route: Route, *, wire: Wire, stream: bool
) -> None:
    """The provider was asked once, and nobody is asked again."""
    scenario = unique("hang")
    routed = route(wire, scenario)
    work = asyncio.create_task(routed.call(asking(stream=stream)))
    await asked(emulator, scenario)
    outcome = await cancelled_soon(routed, work, emulator, scenario)

    assert outcome.error == "cancelled"
    assert len(emulator.log(scenario=scenario)) == 1
    check_ending(outcome, stream=stream)
    assert outcome.shown == ""


@WIRES
async def test_a_call_cancelled_after_the_preamble_ends_upstream_soon(
    emulator: Emulated, route: Route, *, wire: Wire
) -> None:
    """Nothing was shown yet, so watchers learn of the end alone."""
    scenario = unique(f"stall.{PREAMBLES[wire]}")
    routed = route(wire, scenario)
    work = asyncio.create_task(routed.call(asking(stream=True)))
    await asked(emulator, scenario)
    outcome = await cancelled_soon(routed, work, emulator, scenario)

    assert outcome.error == "cancelled"
    assert len(emulator.log(scenario=scenario)) == 1
    check_ending(outcome, stream=True)


@WIRES
@pytest.mark.parametrize("fault", ["stall", "slow"])
async def test_a_call_cancelled_in_the_middle_ends_upstream_soon(
    emulator: Emulated, route: Route, *, wire: Wire, fault: str
) -> None:
    """What was shown is told to be no whole answer, and it is charged."""
    scenario = unique(f"stall.{SPOKEN[wire]}" if fault == "stall" else "slow.40+burst.500")
    routed = route(wire, scenario)
    work = asyncio.create_task(routed.call(asking(stream=True)))
    await shown(routed)
    outcome = await cancelled_soon(routed, work, emulator, scenario)

    assert outcome.error == "cancelled"
    assert len(emulator.log(scenario=scenario)) == 1
    check_ending(outcome, stream=True)
    [tried] = outcome.tries
    assert tried.call.error == "cancelled"
    assert tried.call.cost.usd != "0"


@WIRES
async def test_a_caller_that_is_slow_slows_the_provider(
    emulator: Emulated, route: Route, *, wire: Wire
) -> None:
    """Without credit nothing more is sent, and the provider is not read."""
    scenario = unique("burst.30000")
    routed = route(wire, scenario)
    work = asyncio.create_task(routed.call(credited(4)))

    async def held_back() -> int:
        entries = await asyncio.to_thread(emulator.log, scenario=scenario)
        return int(entries[0]["frames"]) if entries and entries[0]["waiting"] else 0

    assert await until(held_back) < 30_000
    assert len(paced(routed)) == 4
    await routed.hint(CancelCall(request="call-1"))
    await work


@WIRES
async def test_a_caller_that_grants_bit_by_bit_gets_everything(
    emulator: Emulated, route: Route, *, wire: Wire
) -> None:
    """A thousand pieces at four deltas at a time, in order, with none lost."""
    scenario = unique("burst.1000")
    routed = route(wire, scenario)
    async with granting(routed, 4):
        outcome = await routed.call(credited(4))

    assert outcome.shown == "".join(f"{number} " for number in range(1_000))
    check_ending(outcome, stream=True)


@asynccontextmanager
async def granting(routed: Routed, credit: int) -> AsyncIterator[None]:
    """Grant more whenever all that was granted is used up."""

    async def grant() -> None:
        granted = credit
        while True:
            while len(paced(routed)) < granted:  # noqa: ASYNC110 - the bus in memory has no event
                await asyncio.sleep(0)
            granted += credit
            await routed.hint(GrantCredit(request="call-1", credit=credit))

    work = asyncio.create_task(grant())
    try:
        yield
    finally:
        work.cancel()
