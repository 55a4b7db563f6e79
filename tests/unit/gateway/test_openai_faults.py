"""Faults: has everything that goes wrong the status and the form that it has at OpenAI?"""

import json
from typing import get_args

import pytest

from segue_contracts.reply import Problem, RefusalCode, Refused
from segue_contracts.v1.chat import ErrorClass
from segue_contracts.v1.deltas import DeltaError
from segue_gateway.core.openai.faults import Fault, of_broken, of_problem, of_refused
from segue_gateway.core.problems import problem


def failed(error: str, **fields: object) -> Refused:
    """Return the refusal of a call that a provider failed."""
    details = {"error": error, **{name: str(value) for name, value in fields.items()}}
    return Refused(code="provider_failed", message="m", retryable=True, details=details)


@pytest.mark.parametrize("error", get_args(ErrorClass))
def test_every_class_of_error_has_a_status(error: ErrorClass) -> None:
    """A new class cannot be forgotten, and is the same in a stream."""
    fault = of_refused(failed(error))
    broken = of_broken(DeltaError(request="r", error=error, message="m"))

    assert 400 <= fault.status < 600
    assert fault.code
    assert broken == fault


@pytest.mark.parametrize("code", get_args(RefusalCode))
def test_every_refusal_has_a_status(code: RefusalCode) -> None:
    """A refusal without a class of error is told by its own code."""
    assert 400 <= of_refused(Refused(code=code, message="m")).status < 600


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ("rate_limited", 429),
        ("quota_exhausted", 429),
        ("budget_exceeded", 429),
        ("overloaded", 503),
        ("server_error", 502),
        ("timeout_idle", 504),
        ("auth", 502),
        ("bad_request", 400),
        ("model_not_found", 404),
    ],
)
def test_errors_of_providers_keep_their_meaning(error: str, status: int) -> None:
    """A key that the provider refused is not the caller's, so that it is no 401."""
    assert of_refused(failed(error)).status == status


def test_the_body_has_the_form_of_openai() -> None:
    """Four fields, also when they are empty."""
    assert json.loads(Fault(status=400, message="m", param="n").body()) == {
        "error": {"message": "m", "type": "invalid_request_error", "param": "n", "code": None}
    }


def test_what_may_succeed_later_says_when() -> None:
    """As the provider asked, rounded up, or after a second."""
    told = of_refused(failed("rate_limited", retryAfterMs=2500))
    untold = of_refused(failed("rate_limited"))
    delta = DeltaError(request="r", error="rate_limited", message="m", retry_after_ms=6001)

    assert told.headers() == {"Retry-After": "3"}
    assert untold.headers() == {"Retry-After": "1"}
    assert of_broken(delta).headers() == {"Retry-After": "7"}


def test_what_cannot_succeed_later_says_so() -> None:
    """Clients of OpenAI would ask again otherwise."""
    assert of_refused(failed("quota_exhausted")).headers() == {"x-should-retry": "false"}
    assert Fault(status=400, message="m").headers() == {}


def test_nobody_to_ask_is_no_fault_of_the_request() -> None:
    """It is worth repeating only when somebody will be back."""
    nobody = Refused(code="provider_failed", message="m", details={"reason": "no_provider"})

    assert (of_refused(nobody).status, of_refused(nobody).again) == (503, False)


def test_the_place_of_a_refusal_is_told() -> None:
    """As the service told it."""
    refused = Refused(
        code="invalid_request", message="m", problems=[Problem(message="m", pointer="/messages/0")]
    )

    assert of_refused(refused).param == "/messages/0"


def test_a_problem_of_the_gateway_has_the_same_form() -> None:
    """Whatever keeps a request out, such a client can read it."""
    assert of_problem(problem("invalid_request", "d")) == Fault(
        status=400, message="d", code="invalid_request"
    )
    unavailable = of_problem(problem("unavailable", "d"))
    assert (unavailable.type, unavailable.again) == ("server_error", True)
