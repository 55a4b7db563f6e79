"""The parity world: how is one script run against the real broker and the simulated one?"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
from nats.aio.msg import Msg
from support.wait import PATIENCE_S, until

from segue_contracts.v1.topology import topology
from segue_shared.bootstrap import apply
from segue_shared.bus import Bus
from segue_shared.clock import Clock, SystemClock
from segue_testing.broker import Broker
from segue_testing.sim import SimClock, SimServer, run_virtual, sim_bus

RUN: Final = "segue.v1.default.run.00.run1"

Script = Callable[[Bus, Clock], Awaitable[list[object]]]

_VOLATILE: Final = frozenset({"Nats-Time-Stamp"})
_ACK: Final = "$JS.ACK."


def on_the_real_broker(script: Script, broker: Broker) -> list[object]:
    """Return what a script observes on a real broker that was empty."""

    async def main() -> list[object]:
        bus = await Bus.connect(broker.url, name="parity", max_wait_s=10)
        await apply(bus, topology(2))
        try:
            return await script(bus, SystemClock())
        finally:
            await bus.close()

    return asyncio.run(main())


def on_the_simulated_broker(script: Script) -> list[object]:
    """Return what a script observes in a simulation."""

    async def main() -> list[object]:
        server = SimServer()
        await server.load(topology(2))
        return await script(await sim_bus(server, "parity"), SimClock())

    return run_virtual(main())


def is_last(message: Msg) -> bool:
    """Tell whether an answer ends a batch."""
    return "Status" in (message.headers or {})


async def ask(
    bus: Bus, subject: str, request: object = None, *, headers: dict[str, str] | None = None
) -> object:
    """Return the first answer to a request: its headers, and its content read as JSON if it is."""
    [answer] = await bus.exchange(subject, _body(request), headers=headers)
    return _headers(answer), _content(answer.data)


async def ask_all(bus: Bus, subject: str, request: object) -> list[object]:
    """Return a batch of answers; see `ask`."""
    answers = await bus.exchange(subject, _body(request), done=is_last)
    return [(_headers(answer), answer.data) for answer in answers]


async def api(bus: Bus, call: str, request: object = None, *keys: str) -> object:
    """Return the parts of an API answer that both brokers must agree on."""
    told = msgspec.json.decode(await bus.request(f"$JS.API.{call}", _body(request)))
    if "error" in told:
        return told["error"]
    return {key: _part(told, key) for key in keys}


def _part(told: dict[str, Any], path: str) -> object:
    part: Any = told
    for key in path.split("."):
        part = part.get(key) if isinstance(part, dict) else None
    return part


def _body(request: object) -> bytes:
    if isinstance(request, bytes):
        return request
    return b"" if request is None else msgspec.json.encode(request)


def _headers(message: Msg) -> dict[str, str]:
    headers = {str.__str__(key): value for key, value in (message.headers or {}).items()}
    return {key: value for key, value in headers.items() if key not in _VOLATILE}


def _content(data: bytes) -> object:
    try:
        return msgspec.json.decode(data)
    except msgspec.DecodeError:
        return data


class PullClient:
    """A client of a durable consumer that notes everything it is told."""

    def __init__(self, bus: Bus, consumer: str) -> None:
        self.bus = bus
        self.told: list[Msg] = []
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.RUNS.{consumer}"
        self._inbox = bus.client.new_inbox()
        self._heard = asyncio.Event()

    async def open(self) -> "PullClient":
        """Listen."""
        await self.bus.client.subscribe(self._inbox, cb=self._hear)
        return self

    async def pull(self, batch: int, *, expires_s: float = 0, **more: object) -> None:
        """Ask for messages, and return once the broker knows."""
        request = {"batch": batch, "expires": int(expires_s * 1e9), **more}
        await self.bus.client.publish(self._subject, msgspec.json.encode(request), self._inbox)
        await self.bus.client.flush()

    async def say(self, number: int, body: bytes) -> None:
        """Settle what was told as the `number`-th, in whatever way; return once that is done."""
        await self.bus.request(self.told[number].reply, body, timeout_s=1)

    async def hear(self, count: int) -> list[object]:
        """Return everything that was told, once it is as much as expected."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.told) < count:
                self._heard.clear()
                await self._heard.wait()
        pins: dict[str, str] = {}
        return [_told(message, pins) for message in self.told]

    @property
    def pin(self) -> str:
        """The newest pin that was told."""
        return [m.headers["Nats-Pin-Id"] for m in self.told if m.reply and m.headers][-1]

    async def _hear(self, message: Msg) -> None:
        self.told.append(message)
        self._heard.set()


def _told(message: Msg, pins: dict[str, str]) -> object:
    """Return what a message says, with pins named in the order in which they came."""
    headers = _headers(message)
    if "Nats-Pin-Id" in headers:
        pin = headers["Nats-Pin-Id"]
        headers["Nats-Pin-Id"] = pins.setdefault(pin, f"pin {len(pins)}")
    tokens = message.reply.removeprefix(_ACK).split(".") if message.reply else []
    # The time differs, and how many messages are left depends on when the real server counts.
    return message.subject if message.reply else "", tokens[:5], headers, message.data


async def until_waiting(bus: Bus, consumer: str, count: int) -> None:
    """Return once a consumer knows of so many pull requests; it takes them in after a while."""

    async def knows() -> bool:
        told = await api(bus, f"CONSUMER.INFO.RUNS.{consumer}", None, "num_waiting")
        return told == {"num_waiting": count}

    await until(knows)


async def is_settled(bus: Bus, consumer: str) -> bool:
    """Tell whether nothing that a consumer handed out is unsettled."""
    told = await api(bus, f"CONSUMER.INFO.RUNS.{consumer}", None, "num_ack_pending")
    return told == {"num_ack_pending": 0}
