"""Signs of life on a real broker: does a caller wait as long as it makes sense, and no longer?"""

import asyncio
from dataclasses import dataclass
from typing import Final

import msgspec
import pytest
from nats.aio.msg import Msg

from segue_contracts.envelope import encode, raw
from segue_contracts.reply import Reply
from segue_shared.alive import HEADER, SIGN, period_of
from segue_shared.bus import Bus
from segue_shared.clock import SystemClock
from segue_shared.commands import CommandServer, Context
from segue_shared.errors import TimedOutError
from segue_shared.health import Health
from segue_shared.ids import SystemIds
from segue_shared.metrics import Metrics
from segue_shared.runtime import Runtime
from segue_shared.settings import ServiceSettings
from segue_testing.broker import Broker

SILENCE_S: Final = 0.5
ANSWER: Final = encode(Reply(result=raw({"n": 1})))


class Asked(msgspec.Struct):
    """A request."""


class Told(msgspec.Struct):
    """Its answer."""

    n: int = 1


@dataclass
class Verb:
    """A command of this test."""

    service: str = "thinker"
    verb: str = "think"
    request: type = Asked
    result: type = Told


async def test_an_answer_is_awaited_while_signs_come(broker: Broker, bus: Bus) -> None:
    """A call that takes much longer than the silence allowed is answered all the same."""
    settings = ServiceSettings(nats_url=broker.url)
    runtime = Runtime(
        settings=settings,
        bus=bus,
        clock=SystemClock(),
        ids=SystemIds(),
        metrics=Metrics("thinker"),
        health=Health(),
    )
    server = CommandServer(runtime)

    async def think(_request: Asked, _context: Context) -> Told:
        await asyncio.sleep(3 * SILENCE_S)  # the length of the work is the point
        return Told()

    server.add(Verb(), "segue.v1.*.cmd.thinker.think", think)
    await server.start()
    subject = "segue.v1.acme.cmd.thinker.think"

    assert await bus.call(subject, Asked(), Told, silence_s=SILENCE_S) == Told()

    plain = await bus.exchange(subject, encode(Asked()), timeout_s=10)
    assert [message.headers.get(HEADER) for message in plain if message.headers] == [None]
    await server.stop()


async def test_a_caller_gives_up_soon_after_the_last_sign(bus: Bus) -> None:
    """Who works on a call and dies is noticed long before the call's own time limit."""

    async def die_after_a_sign(message: Msg) -> None:
        await bus.publish(message.reply, b"", headers=SIGN)

    await bus.subscribe("segue.v1.acme.cmd.mortal.think", die_after_a_sign)
    began = asyncio.get_running_loop().time()

    with pytest.raises(TimedOutError, match="sign of life"):
        await bus.call(
            "segue.v1.acme.cmd.mortal.think", Asked(), Told, timeout_s=30, silence_s=SILENCE_S
        )

    assert asyncio.get_running_loop().time() - began < 10 * SILENCE_S


async def test_a_service_that_knows_no_signs_may_answer_at_once(bus: Bus) -> None:
    """Asking for signs costs nothing where the answer comes soon."""

    async def answer(message: Msg) -> None:
        await message.respond(ANSWER)

    await bus.subscribe("segue.v1.acme.cmd.plain.think", answer)

    told = await bus.call("segue.v1.acme.cmd.plain.think", Asked(), Told, silence_s=SILENCE_S)

    assert told == Told()


@pytest.mark.parametrize(
    ("text", "period_s"),
    [("2", 2), ("0.001", 0.05), ("1e9", 60), ("0", 0), ("-1", 0), ("nan", 0), ("soon", 0)],
)
def test_the_pace_of_signs_is_bounded(text: str, period_s: float) -> None:
    """A caller can neither flood itself nor ask for nonsense."""
    assert period_of({HEADER: text}) == period_s
    assert period_of({}) == 0
