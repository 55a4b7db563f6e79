"""The pinned consumer: how does one of several processes own a share of the journal?

The broker pins a consumer with the `pinned_client` priority policy to one client (ADR-42). A new
pin means that somebody else held the consumer before: what they had received and not settled would
be settled in silence by our first acknowledgement, since it covers everything before it. So a new
owner drops what it knows, acknowledges nothing, and has the consumer reset first.
"""

from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
import structlog
from nats.aio.msg import Msg

from segue_shared.bus import Bus
from segue_shared.clock import Clock
from segue_shared.delivery import Delivery, ack, delivery_of
from segue_shared.errors import SegueError, TransientError
from segue_shared.puller import Puller

_log = structlog.get_logger()

_PIN_HEADER: Final = "Nats-Pin-Id"
_BATCH: Final = 256
_RETRY_S: Final = (0.05, 0.2, 1.0, 5.0)

OnBatch = Callable[[list[Delivery]], Awaitable[None]]
"""Handles deliveries in order; once it returns, all of them are acknowledged."""


class _Problem(msgspec.Struct, frozen=True):
    description: str = ""


class _Answer(msgspec.Struct, frozen=True):
    error: _Problem | None = None


class PinnedConsumer:
    """One owner's loop over a pinned consumer with `ack_policy: all`."""

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
    ) -> None:
        self._bus = bus
        self._name = f"{stream}.{consumer}"
        self._group = group
        self._puller = Puller(bus, stream=stream, consumer=consumer, group=group)
        self._clock = clock
        self._on_batch = on_batch
        self._on_takeover = on_takeover
        self._failures = 0
        self._failed_resets = 0

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
        messages = await self._puller.next(_BATCH)
        if not messages:
            return
        pin = _pin_of(messages)
        if pin != self._puller.pin:
            await self._take_over(pin)
            return
        deliveries = [delivery_of(message) for message in messages]
        try:
            with self._bus.observer.batch(deliveries):
                await self._on_batch(deliveries)
        except TransientError as error:
            await self._again(str(error))
        except Exception:  # noqa: BLE001 - logged, and the batch comes again
            _log.exception("batch_failed", consumer=self._name)
            await self._again("unexpected")
        else:
            self._failures = 0
            await ack(self._bus.client, deliveries[-1])

    async def _take_over(self, pin: str) -> None:
        """Start over under a new pin, with everything unsettled delivered again in order."""
        _log.info("pinned", consumer=self._name)
        await self._reset(pin)

    async def _again(self, reason: str) -> None:
        """Have the batch delivered again after a while, since `ack: all` cannot give one back."""
        await self._wait("batch_again", reason)
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
