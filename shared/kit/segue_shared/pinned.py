"""The pinned consumer: how does one of several processes own a share of the journal?

The broker pins a consumer with the `pinned_client` priority policy to one client (ADR-42). A new
pin means that somebody else held the consumer before: what they had received and not settled would
be settled in silence by our first acknowledgement, since it covers everything before it. So a new
owner drops what it knows, acknowledges nothing, and has the consumer reset first.

For the same reason nothing may follow a delivery that was lost on its way, as when the connection
breaks: the broker counts deliveries, and a gap has the consumer reset, too.

A reset begins the count anew. An acknowledgement from before it, of an owner that slept or one that
was still on its way, raises the floor in the old count; the broker is deaf then to acknowledgements
of the new count until that has got as far. So an owner looks now and then whether the floor is
ahead of what was delivered, and has the consumer reset again.

Batches are decided on one after the other, while what earlier ones imply is still being stored. A
batch is acknowledged only once it and all before it are stored, and one that fails takes all after
it along.
"""

from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from typing import Final

import msgspec
import structlog
from nats.aio.msg import Msg

from segue_shared.bus import Bus
from segue_shared.clock import Clock
from segue_shared.delivery import Delivery, ack, delivery_of
from segue_shared.errors import SegueError, TransientError
from segue_shared.pipeline import Pipeline, failure
from segue_shared.puller import Puller

_log = structlog.get_logger()

_PIN_HEADER: Final = "Nats-Pin-Id"
_BATCH: Final = 256
_RETRY_S: Final = (0.05, 0.2, 1.0, 5.0)
_LOOK_PATIENCE_S: Final = 1.0

OnBatch = Callable[[list[Delivery]], Awaitable[Awaitable[None]]]
"""Decides on deliveries in order, and returns what ends once all that they imply is stored.

The first is awaited for one batch at a time; the second, for which several batches may be on their
way, lets the batch be acknowledged. It is cancelled when a batch before it fails, and when the
consumer has another owner.
"""


class _Problem(msgspec.Struct, frozen=True):
    description: str = ""


class _Answer(msgspec.Struct, frozen=True):
    error: _Problem | None = None


class _Place(msgspec.Struct, frozen=True):
    consumer_seq: int = 0


class _Info(msgspec.Struct, frozen=True):
    delivered: _Place = _Place()
    ack_floor: _Place = _Place()

    @property
    def is_deaf(self) -> bool:
        """Whether the floor is that of a count from before a reset."""
        return self.ack_floor.consumer_seq > self.delivered.consumer_seq


class PinnedConsumer:
    """One owner's loop over a pinned consumer with `ack_policy: all`.

    Args:
        bus: The connection.
        stream: The stream's name.
        consumer: The consumer's name.
        group: Its priority group.
        clock: Waits between tries.
        on_batch: Handles what comes.
        on_takeover: Drops what is known, since everything unsettled comes again.
        pipeline: How many batches may be stored at once.
        look_s: How often to look whether the broker hears what is settled, seconds.
    """

    def __init__(  # noqa: PLR0913 - a consumer is named by three words
        self,
        bus: Bus,
        *,
        stream: str,
        consumer: str,
        group: str,
        clock: Clock,
        on_batch: OnBatch,
        on_takeover: Callable[[], None],
        pipeline: int = 8,
        look_s: float = 5.0,
    ) -> None:
        self._bus = bus
        self._name = f"{stream}.{consumer}"
        self._group = group
        self._puller = Puller(bus, stream=stream, consumer=consumer, group=group)
        self._clock = clock
        self._on_batch = on_batch
        self._on_takeover = on_takeover
        self._pipeline = Pipeline(pipeline, on_end=self._puller.wake)
        self._number = 0
        self._failures = 0
        self._failed_resets = 0
        self._look_s = look_s
        self._looked = clock.monotonic()
        self._settled = False
        """Whether anything was acknowledged since the last look."""

    @property
    def silent(self) -> int:
        """Requests in a row that no consumer answered as it should."""
        return max(self._puller.silent, self._failed_resets)

    async def run(self) -> None:
        """Work until cancelled."""
        try:
            await self._puller.open()
            while True:
                await self._turn()
        finally:
            await self._pipeline.give_up()
            await self._puller.close()
            await self._leave()

    async def _leave(self) -> None:
        """Give the pin up, so that the next owner need not wait for its timeout."""
        if not self._puller.pin:
            return
        request = msgspec.json.encode({"group": self._group})
        try:
            await self._bus.request(f"$JS.API.CONSUMER.UNPIN.{self._name}", request, timeout_s=1)
        except SegueError as error:
            _log.info("pin_kept", consumer=self._name, reason=str(error))

    async def _turn(self) -> None:
        await self._acknowledge()
        await self._look()
        if self._pipeline.failed:
            await self._start_over()
        elif self._pipeline.full:
            await self._pipeline.first_ended()
        elif messages := await self._puller.next(_BATCH):
            await self._take(messages)

    async def _acknowledge(self) -> None:
        """Settle what is stored along with everything before it, unless the pin was lost."""
        last = self._pipeline.take_stored()
        if last is not None and self._puller.pin:
            self._failures = 0
            await ack(self._bus.client, last)
            self._settled = True

    async def _look(self) -> None:
        """Have the consumer reset again if it is deaf to what is settled."""
        now = self._clock.monotonic()
        if not (self._settled and self._puller.pin and now - self._looked >= self._look_s):
            return
        self._looked, self._settled = now, False
        if await self._is_deaf():
            _log.warning("floor_ahead", consumer=self._name)
            await self._take_over(self._puller.pin)

    async def _is_deaf(self) -> bool:
        subject = f"$JS.API.CONSUMER.INFO.{self._name}"
        try:
            answer = await self._bus.request(subject, b"", timeout_s=_LOOK_PATIENCE_S)
        except SegueError as error:
            _log.info("floor_unseen", consumer=self._name, reason=str(error))
            return False
        return msgspec.json.decode(answer, type=_Info).is_deaf

    async def _take(self, messages: list[Msg]) -> None:
        pin = _pin_of(messages)
        deliveries = [delivery_of(message) for message in messages]
        if pin != self._puller.pin:
            _log.info("pinned", consumer=self._name)
            await self._take_over(pin)
        elif not self._is_whole(deliveries):
            _log.warning("deliveries_lost", consumer=self._name)
            await self._take_over(pin)
        elif not self._pipeline.failed:  # or else they are delivered again, after what failed
            await self._begin(deliveries)

    def _is_whole(self, deliveries: list[Delivery]) -> bool:
        """Tell whether nothing was lost on its way, which what follows it would settle.

        The broker counts deliveries. It begins anew when somebody else, who has lost the pin,
        has the consumer reset; what is unsettled then comes again from the first on.
        """
        for delivery in deliveries:
            if delivery.number not in {self._number, self._number + 1, 1}:
                return False
            self._number = delivery.number
        return True

    async def _begin(self, deliveries: list[Delivery]) -> None:
        """Decide on a batch, and let what it implies be stored beside the next ones."""
        with ExitStack() as handling:
            handling.enter_context(self._bus.observer.batch(deliveries))
            try:
                storing = await self._on_batch(deliveries)
            except Exception as error:  # noqa: BLE001 - told when the batch is given up
                storing = failure(error)
            self._pipeline.add(storing, deliveries[-1], handling.pop_all())

    async def _take_over(self, pin: str) -> None:
        """Start over under a pin, with everything unsettled delivered again in order."""
        await self._pipeline.give_up()
        await self._reset(pin)

    async def _start_over(self) -> None:
        """Have a failed batch delivered again after a while, and all after it.

        For `ack: all` cannot give one back.
        """
        error = await self._pipeline.trouble()
        await self._acknowledge()
        if isinstance(error, TransientError):
            reason = str(error)
        else:
            _log.error("batch_failed", consumer=self._name, exc_info=error)
            reason = "unexpected"
        await self._wait("batch_again", reason)
        if self._puller.pin:  # or else somebody else has the consumer; whoever gets it resets it
            await self._reset(self._puller.pin)

    async def _reset(self, pin: str) -> None:
        """Drop everything, have it delivered again, and only then work under the pin."""
        self._on_takeover()
        await self._puller.open()
        self._puller.pin = ""
        # Without a reset no pin may be used: what follows it would settle what came before.
        while problem := await self._reset_problem():
            self._failed_resets += 1
            await self._wait("reset_failed", problem)
        self._failed_resets = 0
        self._number = 0
        self._puller.pin = pin

    async def _reset_problem(self) -> str:
        """Ask for a reset, and return why there was none."""
        try:
            answer = await self._bus.request(f"$JS.API.CONSUMER.RESET.{self._name}", b"")
        except SegueError as error:
            return str(error)
        problem = msgspec.json.decode(answer, type=_Answer).error
        return "" if problem is None else problem.description or "refused"

    async def _wait(self, what: str, reason: str) -> None:
        delay = _RETRY_S[min(self._failures, len(_RETRY_S) - 1)]
        self._failures += 1
        _log.warning(what, consumer=self._name, reason=reason, delay_s=delay)
        await self._clock.sleep(delay)


def _pin_of(messages: list[Msg]) -> str:
    """Return the newest pin that a batch carries."""
    return (messages[-1].headers or {}).get(_PIN_HEADER, "")
