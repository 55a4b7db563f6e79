"""Does a failed try lead where it should, and is every try told in the end?"""

import pytest
from msgspec import structs
from unit.providers.provider_support import a_response, asking

from segue_contracts.v1.chat import CallAttempt, ChatRequest, ErrorClass, StreamOptions
from segue_providers.core.attempts import all_failed, settled, unanswerable
from segue_providers.core.routing import Decision

LIMITED = CallAttempt(
    number=1, provider="claude", error="rate_limited", message="slow down", total_ms=30
)
MISSING = CallAttempt(number=1, provider="gemini", error="not_configured", message="no key")
ROUTED = Decision(
    policy="priority",
    targets=(),
    candidates=(),
    impossible=(MISSING,),
    warnings=("told before",),
)
WON = CallAttempt(number=2, provider="openai", model="model-1", total_ms=70)


def test_nobody_to_ask_is_a_lasting_refusal() -> None:
    """Asking again changes nothing until something is configured."""
    refused = unanswerable(
        Decision(policy="priority", targets=(), candidates=(), way_out="set A_KEY")
    )

    assert (refused.code, refused.message, refused.retryable) == (
        "provider_failed",
        "set A_KEY",
        False,
    )
    assert refused.details == {"reason": "no_provider"}


@pytest.mark.parametrize(("error", "again"), [("overloaded", True), ("auth", False)])
def test_a_refusal_tells_all_tries(error: ErrorClass, *, again: bool) -> None:
    """Retrying may help when one of the errors passes."""
    broken = CallAttempt(number=1, provider="claude", error=error, message="it broke")
    refused = all_failed([broken], error, "it broke")

    assert refused.message == f"no provider answered: claude failed with {error} (it broke)"
    assert (refused.code, refused.retryable) == ("provider_failed", again)
    assert refused.details["error"] == error


def finished(request: ChatRequest) -> tuple[list[str], list[CallAttempt]]:
    """Settle an answer after one failed try; return its warnings and attempts."""
    response = structs.replace(a_response(provider="openai"), warnings=["told after"])
    whole = settled(
        response, request, decision=ROUTED, tries=[LIMITED, WON], first_ms=40, total_ms=100
    )
    assert (whole.id, whole.model_requested) == ("request", "any")
    assert (whole.timing.first_token_ms, whole.timing.total_ms) == (40, 100)
    return whole.warnings, whole.attempts


def test_an_answer_tells_how_it_came_about() -> None:
    """Impossible, failed and winning tries are numbered in order; warnings are kept."""
    warnings, attempts = finished(structs.replace(asking("x"), model="any"))

    assert [(one.number, one.provider) for one in attempts] == [
        (1, "gemini"),
        (2, "claude"),
        (3, "openai"),
    ]
    assert (attempts[2].total_ms, attempts[2].model) == (70, "model-1")
    assert warnings == [
        "told before",
        "claude failed with rate_limited (slow down); answered by openai",
        "told after",
    ]


def test_a_stream_that_has_nowhere_to_go_is_told() -> None:
    """Deltas belong to a step; without one nothing is streamed, and that is no secret."""
    request = structs.replace(asking("x"), model="any", stream=StreamOptions(on=True))
    homed = structs.replace(request, run="r", step="s")

    assert any("nothing was streamed" in warning for warning in finished(request)[0])
    assert not any("nothing was streamed" in warning for warning in finished(homed)[0])
