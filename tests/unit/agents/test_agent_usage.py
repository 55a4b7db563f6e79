"""Is every try at a model paid for, also those that nobody got an answer from?"""

from segue_agents.core.usage import usage_of, usage_of_failure
from segue_contracts.v1.chat import (
    CallAttempt,
    ChatMessage,
    ChatResponse,
    Cost,
    Stop,
    Usage,
)
from segue_contracts.v1.values import Failure, UsageTotals

TRIES = [
    CallAttempt(number=1, provider="claude", error="overloaded"),
    CallAttempt(
        number=2,
        provider="claude",
        error="truncated",
        usage=Usage(input_total=10, output_total=5),
        cost=Cost(usd="0.01"),
    ),
    CallAttempt(
        number=3,
        provider="gemini",
        usage=Usage(input_total=12, output_total=7),
        cost=Cost(usd="0.02"),
    ),
]


def test_an_answer_costs_what_all_its_tries_cost() -> None:
    """One that said nothing was no call of a model."""
    response = ChatResponse(
        provider="gemini",
        message=ChatMessage(role="assistant", parts=[]),
        stop=Stop(reason="end"),
        attempts=TRIES,
    )

    assert usage_of(response) == UsageTotals(
        input_tokens=22, output_tokens=12, cost_usd="0.03", model_calls=2
    )


def test_a_failure_tells_what_it_cost() -> None:
    """What it does not tell, or tells in another form, counts as nothing."""
    told = {"inputTokens": "10", "outputTokens": "5", "modelCalls": "1", "costUsd": "0.01"}
    spent = Failure(code="provider_failed", message="nobody answered", details=told)
    silent = Failure(code="provider_failed", message="m", details={"modelCalls": "many"})

    assert usage_of_failure(spent) == UsageTotals(
        input_tokens=10, output_tokens=5, cost_usd="0.01", model_calls=1
    )
    assert usage_of_failure(silent) == UsageTotals()
