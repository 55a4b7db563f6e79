"""The server: what does a simulated nats-server do with a message?

It holds streams, consumers and subscriptions as JetStream does, in the time of a virtual loop.
Placement, limits in bytes, advisories, and schedules that repeat are not simulated.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from segue_contracts.topology import Topology
from segue_shared.bootstrap import apply, stream_configs
from segue_shared.journal import EPOCH_KEY
from segue_testing.sim.api import API, answer
from segue_testing.sim.client import Sent, SimClient
from segue_testing.sim.connection import sim_bus
from segue_testing.sim.consumer import SimConsumer
from segue_testing.sim.faults import FaultPlan, Faults
from segue_testing.sim.interest import Interest
from segue_testing.sim.loop import virtual_loop
from segue_testing.sim.objects import SimObject
from segue_testing.sim.reads import direct_get
from segue_testing.sim.stream import NANO, Held, RefusedPublishError, SimStream, timestamp

START_MS: Final = 1_800_000_000_000
"""Unix time at which every simulation begins."""

_DIRECT: Final = "$JS.API.DIRECT.GET."
_NEXT: Final = "$JS.API.CONSUMER.MSG.NEXT."
_ACK: Final = "$JS.ACK."
_OBJECTS: Final = "OBJ_"
_GUARD: Final = "Nats-Expected-Last-Subject-Sequence"
_IN_FLIGHT: Final = {"code": 400, "err_code": 10164, "description": "wrong last sequence"}


class SimServer:
    """One simulated server; make it below `run_virtual`.

    Args:
        plan: What goes wrong; nothing by default.
    """

    def __init__(self, plan: FaultPlan | None = None) -> None:
        self._loop = virtual_loop()
        self.faults = Faults(plan or FaultPlan(), self._loop.random)
        self.interest = Interest(self._loop.random)
        self.streams: dict[str, SimStream] = {}
        self.objects: dict[str, dict[str, SimObject]] = {}
        """What the object buckets hold, by bucket and name."""
        self.trace: list[tuple[float, str, str, str]] = []
        """What happened: when, by whom, what, on which subject."""
        self.witnesses: list[Callable[[str, Held], object]] = []
        """Told of every message that a stream stores, with the stream's name."""
        self._ids = 0

    @property
    def clock_s(self) -> float:
        """The virtual loop's time."""
        return self._loop.time()

    @property
    def now_ns(self) -> int:
        """The server's Unix time."""
        return START_MS * 1_000_000 + int(self._loop.time() * NANO)

    def timestamp(self) -> str:
        """Return the server's time as it tells it."""
        return timestamp(self.now_ns)

    def next_id(self) -> int:
        """Return a number that nothing else of this server has."""
        self._ids += 1
        return self._ids

    def later(self, wait_s: float, call: Callable[[], object]) -> asyncio.TimerHandle:
        """Call back after a while."""
        return self._loop.call_later(wait_s, call)

    def note(self, who: str, what: str, subject: str) -> None:
        """Write something down in the trace."""
        self.trace.append((self._loop.time(), who, what, subject))

    def story(self, last: int = 200) -> str:
        """Return the end of the trace as text, for whoever has to understand a failure."""
        return "\n".join(
            f"{at:12.6f} {who} {what} {subject}" for at, who, what, subject in self.trace[-last:]
        )

    async def load(self, topology: Topology) -> None:
        """Bring the server to a topology, as the bootstrap does; nothing goes wrong meanwhile."""
        for config in stream_configs(topology):
            metadata = {EPOCH_KEY: "simulated0"} if config["name"] == topology.epoch_stream else {}
            self.create_stream(config | {"metadata": metadata})
        bus = await sim_bus(self, "bootstrap", steady=True)
        await apply(bus, topology)
        await bus.close()

    def create_stream(self, config: dict[str, Any]) -> SimStream:
        """Make a stream, or give one another configuration."""
        name: str = config["name"]
        if name in self.streams:
            self.streams[name].config = config
        else:
            self.streams[name] = SimStream(self, config)
        if name.startswith(_OBJECTS):
            self.objects.setdefault(name.removeprefix(_OBJECTS), {})
        return self.streams[name]

    def has_interest(self, subject: str) -> bool:
        """Tell whether anybody is subscribed."""
        return bool(self.interest.of(subject))

    def send(
        self,
        subject: str,
        data: bytes,
        headers: Mapping[str, str] | None = None,
        *,
        reply: str = "",
        inbox: str = "",
        delay_s: float = 0,
    ) -> bool:
        """Bring a message to its subscribers, and tell whether there are any.

        Args:
            subject: Where it was published.
            data: Its content.
            headers: Its headers.
            reply: Where it is answered.
            inbox: Whose subscribers get it; the subject's own by default.
            delay_s: How late it comes.
        """
        message = Sent(subject, data, headers, reply)
        found = self.interest.of(inbox or subject)
        for subscription in found:
            subscription.client.receive(subscription.key, message, delay_s=delay_s)
        return bool(found)

    def route(self, client: SimClient, message: Sent) -> None:
        """Do what a client's message asks for."""
        self.note(client.name, "sends", message.subject)
        served = self.send(message.subject, message.data, message.headers, reply=message.reply)
        if message.subject.startswith("$JS."):
            served |= self._ask(client, message)
        elif stream := self._stream_of(message.subject):
            served = True
            self._store(stream, client, message)
        if not served and message.reply:
            self.send(message.reply, b"", {"Status": "503"})

    def _stream_of(self, subject: str) -> SimStream | None:
        """Return the stream that stores a subject; streams never share one."""
        return next((one for one in self.streams.values() if one.accepts(subject)), None)

    def _ask(self, client: SimClient, message: Sent) -> bool:
        """Serve JetStream's own subjects; False when nobody does."""
        subject = message.subject
        if subject.startswith(_ACK):
            return self._settle(client, message)
        if not client.steady and self.faults.hits("request_lost"):
            return True
        if subject.startswith(_DIRECT):
            return self._read(client, message)
        if subject.startswith(_NEXT):
            return self._pull(message)
        if subject.startswith(API):
            told = answer(self, subject.removeprefix(API), message.data)
            if told is not None and message.reply:
                self.send(message.reply, msgspec.json.encode(told))
            return True
        return False

    def _read(self, client: SimClient, message: Sent) -> bool:
        name, _, subject = message.subject.removeprefix(_DIRECT).partition(".")
        stream = self.streams.get(name)
        if stream is None:
            return False
        lag = 0 if client.steady else self.faults.lag()
        most = 0 if client.steady else self.faults.plan.batch_most
        for headers, data in direct_get(stream, subject, message.data, lag=lag, most=most):
            self.send(message.reply, data, headers)
        return True

    def _consumer(self, name: str, durable: str) -> SimConsumer | None:
        stream = self.streams.get(name)
        return stream.consumers.get(durable) if stream else None

    def _pull(self, message: Sent) -> bool:
        name, _, durable = message.subject.removeprefix(_NEXT).partition(".")
        consumer = self._consumer(name, durable)
        if consumer is not None:
            consumer.pull(message.reply, message.data)
        return consumer is not None

    def _settle(self, client: SimClient, message: Sent) -> bool:
        name, durable, _, sequence, *_ = message.subject.removeprefix(_ACK).split(".")
        consumer = self._consumer(name, durable)
        if consumer is None:
            return False
        if client.steady or not self.faults.hits("settling_lost"):
            heard = consumer.settle(int(sequence), message.data)
            if heard and message.reply:
                self.send(message.reply, b"")
        return True

    def _store(self, stream: SimStream, client: SimClient, message: Sent) -> None:
        """Store a message and acknowledge it, as far as nothing goes wrong."""
        faults, guarded = self.faults, _GUARD in (message.headers or {})
        if client.steady:
            self._reply(message, self._stored(stream, message))
        elif faults.hits("publish_lost"):
            self.note(stream.name, "loses", message.subject)
        elif guarded and faults.hits("in_flight_absent"):
            self._reply(message, {"error": _IN_FLIGHT, "stream": stream.name, "seq": 0})
        else:
            told = self._stored(stream, message)
            if guarded and faults.hits("in_flight_stored"):
                told = {"error": _IN_FLIGHT, "stream": stream.name, "seq": 0}
            if not faults.hits("ack_lost"):
                late = faults.up_to(faults.plan.delay_s) if faults.hits("ack_delayed") else 0
                self._reply(message, told, late_s=late)
            if faults.hits("purge"):
                stream.purge(keep=faults.plan.kept)

    def _stored(self, stream: SimStream, message: Sent) -> dict[str, Any]:
        try:
            held = stream.publish(message.subject, message.data, message.headers or {})
        except RefusedPublishError as error:
            self.note(stream.name, "refuses", message.subject)
            return {"error": error.error, "stream": stream.name, "seq": 0}
        self.note(stream.name, f"stores {held.sequence}", message.subject)
        return {"stream": stream.name, "seq": held.sequence}

    def _reply(self, message: Sent, told: dict[str, Any], *, late_s: float = 0) -> None:
        if not message.reply:
            return
        data = msgspec.json.encode(told)
        if late_s:
            self.later(late_s, lambda: self.send(message.reply, data))
        else:
            self.send(message.reply, data)
