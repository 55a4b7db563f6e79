"""Lines: how is one try admitted, paid for, and learnt from?"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal

import structlog
from msgspec import UnsetType, structs

from segue_contracts.v1.chat import CallAttempt, ChatRequest, ErrorClass
from segue_providers.core.catalogue import Catalogue, Target
from segue_providers.core.conventions import facts_of, span_name
from segue_providers.core.fleet import Admission, Barred, Fleet
from segue_providers.core.health import Result
from segue_providers.shell.attempt import Attempt
from segue_providers.shell.meter import Bill, Meter, Reservation
from segue_providers.shell.ports import ModelCallError
from segue_providers.shell.setup import Setup
from segue_shared import tracing
from segue_shared.clock import Clock

_log = structlog.get_logger()


class BarredError(ModelCallError):
    """A target may not be asked now, so that nobody was."""

    @classmethod
    def of(cls, error: BaseException) -> BaseException:
        """Return what stands in the way of a try as such; anything else as it is."""
        if not isinstance(error, ModelCallError):
            return error
        return cls(error.error, str(error), retry_after_s=error.retry_after_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A try that was admitted and paid for."""

    attempt: Attempt
    admission: Admission
    reservation: Reservation


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """A try that is over."""

    record: CallAttempt
    """How it went."""
    warning: str
    """What the caller should know of its cost; empty for nothing."""


class Lines:
    """Opens lines to providers for one call, and closes each with its account.

    Args:
        setup: What is configured.
        fleet: How everything fares.
        meter: Sets money aside, and charges.
        bill: Who pays.
        clock: For what is told.
        draw: Draws a random number from 0 to 1.
        tracer: Who records spans; OpenTelemetry's own when none is named.
    """

    def __init__(  # noqa: PLR0913 - the router hands in every part by name
        self,
        setup: Setup,
        fleet: Fleet,
        meter: Meter,
        *,
        bill: Bill,
        clock: Clock,
        draw: Callable[[], float],
        tracer: tracing.Tracer | None = None,
    ) -> None:
        self._setup = setup
        self._fleet = fleet
        self._meter = meter
        self._bill = bill
        self._clock = clock
        self._draw = draw
        self._tracer = tracer

    @property
    def catalogue(self) -> Catalogue:
        """The providers and their models."""
        return self._setup.catalogue

    def keys(self, provider: str) -> Mapping[str, str]:
        """Return a hash of each key of a provider by where it comes from."""
        return self._setup.keys(provider)

    def draw(self) -> float:
        """Draw a random number from 0 to 1."""
        return self._draw()

    def late_ms(self, target: Target) -> float:
        """Return after how long a first token is late, by what was seen; 0 when nothing was."""
        vital = self._fleet.vital(target)
        return 0 if vital is None else vital.slow_first_token_ms()

    async def open(
        self,
        target: Target,
        request: ChatRequest,
        *,
        without: Collection[str],
        spent: Decimal,
        deadline: float,
    ) -> Line:
        """Begin a try.

        Args:
            target: Who is asked.
            request: What is asked.
            without: Keys that failed this call before.
            spent: US dollars that the call's earlier tries cost.
            deadline: When the call gives up, on the event loop's clock.

        Raises:
            BarredError: It may not be asked now.
            ModelCallError: A budget or a rate limit has no room for it.
        """
        now_ms = self._clock.now_ms()
        admission = self._fleet.admit(
            target, now_ms=now_ms, without=without, having=self.keys(target.provider)
        )
        if isinstance(admission, Barred):
            raise _barred(admission, now_ms)
        asked = structs.replace(request, model=target.model)
        entry = self.catalogue.entries[target.provider]
        try:
            reservation = await self._meter.reserve(
                entry,
                self.catalogue.card(target),
                admission.key,
                request=asked,
                bill=self._bill,
                spent=spent,
            )
        except BaseException as error:
            self._record(admission, Result(error="cancelled"))
            raise BarredError.of(error) from error
        attempt = Attempt(
            target,
            asked,
            client=self._setup.client(target.provider, admission.key),
            timeouts=entry.settings.timeouts,
            deadline=deadline,
        )
        return Line(attempt=attempt, admission=admission, reservation=reservation)

    async def close(self, line: Line, error: ModelCallError | None, *, number: int) -> Closed:
        """End a try, and return its record, which says what it cost."""
        attempt, began = line.attempt, line.attempt.assembly.began
        await attempt.close()
        self._record(line.admission, _result(attempt, error))
        tier = attempt.assembly.service_tier
        priced = await self._meter.settle(
            line.reservation, attempt.usage(), tier=tier, model=began.model
        )
        await self._meter.learn(line.reservation, began.rate_limit)
        record = attempt.told(error, number=number, cost=priced.cost)
        self._trace(line, record)
        return Closed(record=record, warning=priced.warning)

    def _trace(self, line: Line, record: CallAttempt) -> None:
        """Record a span of the try, where spans are recorded."""
        stopped, ended_ms = line.attempt.assembly.stopped, self._clock.now_ms()
        entry = self.catalogue.entries[record.provider]
        failed = "" if isinstance(record.error, UnsetType) else record.error
        tracing.record(
            span_name(record),
            began_ms=ended_ms - record.total_ms,
            ended_ms=ended_ms,
            attributes=facts_of(
                record,
                wire=entry.settings.wire,
                requested=line.attempt.target.model,
                stop=None if stopped is None else stopped.stop,
            ),
            error=failed,
            tracer=self._tracer,
        )

    def _record(self, admission: Admission, result: Result) -> None:
        now_ms = self._clock.now_ms()
        self._fleet.record(admission, result, now_ms=now_ms, jitter=self._draw())


def _barred(barred: Barred, now_ms: int) -> BarredError:
    wait_s = max(barred.until_ms - now_ms, 0) / 1000 if barred.until_ms else None
    return BarredError(barred.error, barred.reason, retry_after_s=wait_s)


def _result(attempt: Attempt, error: ModelCallError | None) -> Result:
    kind: ErrorClass | None = None if error is None else error.error
    return Result(
        error=kind,
        total_ms=attempt.total_ms,
        first_token_ms=attempt.first_ms,
        retry_after_s=None if error is None else error.retry_after_s,
    )
