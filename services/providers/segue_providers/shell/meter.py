"""The meter: how is one try's money and rate set aside before, and charged after?"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Final

from segue_contracts.v1.chat import ChatRequest
from segue_contracts.v1.metering import Cost, Usage
from segue_providers.core.catalogue import Card, Entry
from segue_providers.core.ledger import Amount
from segue_providers.shell.ledger import BudgetExceededError, Ledger
from segue_providers.shell.ledger import Reservation as Held
from segue_providers.shell.ports import ModelCallError
from segue_providers.shell.prices import Priced, Prices
from segue_providers.shell.rates import Permit, Rates, Wait, place_of

USUAL_OUTPUT: Final = 4_096
"""Tokens of output that are set aside for a call that sets itself no limit."""
GRACE_MS: Final = 60_000
"""How long after its deadline a try may still be settled before it counts as spent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """Who pays for a call, and what is known of its size."""

    namespace: str
    """Whose call it is."""
    deadline_ms: int
    """When it gives up, Unix milliseconds."""
    input_tokens: int
    """Tokens of input, estimated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """What was set aside for one try."""

    entry: Entry
    card: Card
    held: Held | None
    permit: Permit
    place: str


class Meter:
    """Sets money and rates aside for a try, and charges what it took.

    Args:
        ledger: The accounts.
        rates: The rate limits.
        prices: What models cost.
    """

    def __init__(self, ledger: Ledger, rates: Rates, prices: Prices) -> None:
        self._ledger = ledger
        self._rates = rates
        self._prices = prices

    async def reserve(
        self,
        entry: Entry,
        card: Card,
        key: str,
        *,
        request: ChatRequest,
        bill: Bill,
        spent: Decimal,
    ) -> Reservation:
        """Set aside what a try may take at most.

        Args:
            entry: The provider.
            card: The model.
            key: Where its key comes from.
            request: What is asked.
            bill: Who pays.
            spent: US dollars that earlier tries of the call cost.

        Raises:
            ModelCallError: A budget or a rate limit has no room for it.
        """
        output = _output(request, card)
        place = place_of(entry.name, key)
        permit = await self._rates.reserve(
            place, entry.settings.limits, tokens=bill.input_tokens + output
        )
        if isinstance(permit, Wait):
            raise ModelCallError(
                "rate_limited",
                f"the configured limit of {entry.name} is reached",
                retry_after_s=permit.seconds,
            )
        try:
            held = await self._hold(entry, card, request, bill=bill, output=output, spent=spent)
        except BaseException:
            self._rates.release(permit)
            raise
        return Reservation(entry=entry, card=card, held=held, permit=permit, place=place)

    async def settle(
        self, reservation: Reservation, usage: Usage, *, tier: str, model: str
    ) -> Priced:
        """Charge what a try took, and return what it cost.

        Args:
            reservation: What was set aside.
            usage: What it took.
            tier: The tier that served.
            model: The model that served, in the provider's word; empty when it did not say.
        """
        priced = self._priced(reservation, usage, tier=tier, model=model)
        tokens = usage.input_total + usage.output_total
        self._rates.settle(reservation.permit, tokens)
        if reservation.held is not None:
            await self._ledger.settle(reservation.held, Amount(Decimal(priced.cost.usd), tokens))
        return priced

    async def learn(self, reservation: Reservation, headers: Mapping[str, str]) -> None:
        """Believe what a provider says of its limits."""
        limits = reservation.entry.settings.limits
        if headers and (limits.rpm or limits.tpm):
            await self._rates.learn(reservation.place, limits, headers)

    async def _hold(
        self,
        entry: Entry,
        card: Card,
        request: ChatRequest,
        *,
        bill: Bill,
        output: int,
        spent: Decimal,
    ) -> Held | None:
        if entry.stand_in:
            return None
        usd = self._prices.most(
            card.target.provider,
            card.target.model,
            input_tokens=bill.input_tokens,
            max_output=output,
            service_tier=request.service_tier,
        ) or Decimal(0)
        _check_own_budget(request, spent + usd)
        try:
            return await self._ledger.reserve(
                bill.namespace,
                request.allowances,
                request=request.id,
                amount=Amount(usd, bill.input_tokens + output),
                until_ms=bill.deadline_ms + GRACE_MS,
            )
        except BudgetExceededError as error:
            raise ModelCallError("budget_exceeded", error.refused.message) from error

    def _priced(self, reservation: Reservation, usage: Usage, *, tier: str, model: str) -> Priced:
        target = reservation.card.target
        if reservation.entry.stand_in or not usage.input_total + usage.output_total:
            return Priced(cost=Cost())
        return self._prices.cost(
            target.provider, target.model, usage=usage, service_tier=tier, served=model
        )


def _output(request: ChatRequest, card: Card) -> int:
    asked = request.output.max_tokens
    if isinstance(asked, int):
        return asked
    return min(card.max_output or USUAL_OUTPUT, USUAL_OUTPUT)


def _check_own_budget(request: ChatRequest, usd: Decimal) -> None:
    """Refuse a try that could make the call cost more than its caller allows."""
    if not request.budget_usd:
        return
    try:
        allowed = Decimal(request.budget_usd)
    except InvalidOperation as error:
        message = f"budgetUsd: {request.budget_usd!r} is no decimal number"
        raise ModelCallError("bad_request", message) from error
    if usd > allowed:
        message = f"the call may cost {usd:f} US dollars, and its budget is {allowed:f}"
        raise ModelCallError("budget_exceeded", message)
