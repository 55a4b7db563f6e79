"""Failures: is every refusal of a provider put into its class?"""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue_contracts.v1.chat import ErrorClass
from segue_providers.core.failures import (
    anthropic_failure,
    by_status,
    gemini_failure,
    openai_failure,
    retry_after_s,
)

DATE = "Wed, 21 Oct 2026 07:28:00 GMT"
LATER = "Wed, 21 Oct 2026 07:29:30 GMT"
QUOTA_FAILURE = "type.googleapis.com/google.rpc.QuotaFailure"
RETRY_INFO = "type.googleapis.com/google.rpc.RetryInfo"


def claude(kind: str, message: str = "", code: str = "") -> dict[str, object]:
    """Return an error body of Claude."""
    details = {"details": {"error_code": code}} if code else {}
    return {"type": "error", "error": {"type": kind, "message": message, **details}}


def openai(message: str = "", *, code: object = None, kind: object = None) -> dict[str, object]:
    """Return an error body of OpenAI."""
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def gemini(status: str, message: str = "", *details: object, code: int = 0) -> dict[str, object]:
    """Return an error body of Gemini."""
    return {"error": {"code": code, "message": message, "status": status, "details": [*details]}}


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (400, claude("invalid_request_error", "max_tokens: Field required"), "bad_request"),
        (400, claude("invalid_request_error", "prompt is too long: 9 > 5"), "context_window"),
        (
            400,
            claude("invalid_request_error", "Your credit balance is too low"),
            "quota_exhausted",
        ),
        (
            400,
            claude("invalid_request_error", "Output blocked by content filtering policy"),
            "content_policy",
        ),
        (401, claude("authentication_error", "invalid x-api-key"), "auth"),
        (402, claude("billing_error"), "quota_exhausted"),
        (403, claude("permission_error"), "auth"),
        (404, claude("not_found_error", "model: claude-9"), "model_not_found"),
        (413, claude("request_too_large"), "context_window"),
        (429, claude("rate_limit_error"), "rate_limited"),
        (429, claude("rate_limit_error", "", "enforced_spend_limit_reached"), "quota_exhausted"),
        (429, claude("rate_limit_error", "", "contract_spend_limit_reached"), "quota_exhausted"),
        (429, claude("rate_limit_error", "", "ramp_limit_exceeded"), "rate_limited"),
        (403, claude("permission_error", "", "organization_on_hold"), "auth"),
        (500, claude("api_error"), "server_error"),
        (504, claude("timeout_error"), "server_error"),
        (529, claude("overloaded_error"), "overloaded"),
        (200, claude("overloaded_error"), "overloaded"),
        (0, claude("rate_limit_error"), "rate_limited"),
        (502, "<html>Bad Gateway</html>", "server_error"),
        (529, None, "overloaded"),
        (418, {"type": "error"}, "bad_request"),
    ],
)
def test_claude_refusals_are_told_apart(status: int, body: object, expected: ErrorClass) -> None:
    """Each refusal of Claude has its class, by code before status."""
    assert anthropic_failure(status, body, {}).error == expected


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (400, openai("bad", kind="invalid_request_error"), "bad_request"),
        (400, openai(code="context_length_exceeded"), "context_window"),
        (400, openai("This model's maximum context length is 8192 tokens."), "context_window"),
        (400, openai(code="content_policy_violation"), "content_policy"),
        (400, openai("flagged", code="invalid_prompt"), "content_policy"),
        (401, openai(code="invalid_api_key", kind="invalid_request_error"), "auth"),
        (403, openai(code="unsupported_country_region_territory"), "auth"),
        (404, openai(code="model_not_found", kind="invalid_request_error"), "model_not_found"),
        (402, openai("pay"), "quota_exhausted"),
        (413, openai("big"), "context_window"),
        (429, openai(code="rate_limit_exceeded", kind="requests"), "rate_limited"),
        (429, openai(code="insufficient_quota", kind="insufficient_quota"), "quota_exhausted"),
        (429, openai(kind="insufficient_quota"), "quota_exhausted"),
        (429, openai(code="project_spend_limit_exceeded"), "quota_exhausted"),
        (
            429,
            openai("Request too large for gpt-5", code="rate_limit_exceeded", kind="tokens"),
            "context_window",
        ),
        (429, "slow down", "rate_limited"),
        (503, openai(code="server_is_overloaded"), "overloaded"),
        (503, openai(code="slow_down"), "rate_limited"),
        (500, openai(kind="server_error"), "server_error"),
        (0, {"code": "server_error", "message": "died"}, "server_error"),
        (0, {"code": "rate_limit_exceeded", "message": "wait"}, "rate_limited"),
        (400, {"object": "error", "type": "BadRequestError", "code": 400}, "bad_request"),
        (404, {"detail": "Not Found"}, "model_not_found"),
        (404, {"error": "model 'x' not found"}, "model_not_found"),
        (400, [openai("listed", code="context_length_exceeded")], "context_window"),
    ],
)
def test_openai_refusals_are_told_apart(status: int, body: object, expected: ErrorClass) -> None:
    """Each refusal of OpenAI, or of a server like it, has its class."""
    assert openai_failure(status, body, {}).error == expected


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (400, gemini("INVALID_ARGUMENT", "no"), "bad_request"),
        (
            400,
            gemini(
                "INVALID_ARGUMENT", "The input token count exceeds the maximum number of tokens"
            ),
            "context_window",
        ),
        (400, gemini("INVALID_ARGUMENT", "x", {"reason": "API_KEY_INVALID"}), "auth"),
        (400, gemini("INVALID_ARGUMENT", "API key not valid. Pass a valid API key."), "auth"),
        (400, gemini("FAILED_PRECONDITION", "User location is not supported"), "auth"),
        (403, gemini("PERMISSION_DENIED"), "auth"),
        (404, gemini("NOT_FOUND"), "model_not_found"),
        (429, gemini("RESOURCE_EXHAUSTED"), "rate_limited"),
        (
            429,
            gemini(
                "RESOURCE_EXHAUSTED",
                "",
                {"@type": QUOTA_FAILURE, "violations": [{"quotaId": "RequestsPerDayPerModel"}]},
            ),
            "quota_exhausted",
        ),
        (
            429,
            gemini(
                "RESOURCE_EXHAUSTED",
                "",
                {"violations": [{"quotaId": "TokensPerMinute", "quotaValue": "0"}]},
            ),
            "quota_exhausted",
        ),
        (
            429,
            gemini("RESOURCE_EXHAUSTED", "", {"violations": [{"quotaId": "TokensPerMinute"}]}),
            "rate_limited",
        ),
        (500, gemini("INTERNAL"), "server_error"),
        (503, gemini("UNAVAILABLE", "The model is overloaded."), "overloaded"),
        (504, gemini("DEADLINE_EXCEEDED"), "server_error"),
        (0, gemini("", "", code=503), "overloaded"),
        (200, {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "m"}, "rate_limited"),
    ],
)
def test_gemini_refusals_are_told_apart(status: int, body: object, expected: ErrorClass) -> None:
    """Each refusal of Gemini has its class, by its details before its status."""
    assert gemini_failure(status, body, {}).error == expected


def test_a_daily_quota_is_told_by_its_code() -> None:
    """The code of a spent quota names it, so that people need not read the details."""
    body = gemini("RESOURCE_EXHAUSTED", "", {"violations": [{"quotaId": "GenerateRequestsPerDay"}]})

    assert gemini_failure(429, body, {}).code == "quota_spent"


def test_the_most_precise_code_is_kept() -> None:
    """The code of the details counts before the broad type."""
    body = claude("rate_limit_error", "slow", "ramp_limit_exceeded")

    assert anthropic_failure(429, body, {}).code == "ramp_limit_exceeded"
    assert anthropic_failure(429, claude("rate_limit_error"), {}).code == "rate_limit_error"


def test_a_refusal_without_words_says_its_status() -> None:
    """A page of a proxy is not repeated; its status is."""
    assert anthropic_failure(502, "<html>", {}).message == "HTTP 502 without an explanation"
    assert anthropic_failure(0, None, {}).message == "an error without an explanation"


def test_long_words_are_cut_and_put_on_one_line() -> None:
    """A message is one bearable line."""
    message = anthropic_failure(400, claude("x", "a\nb " + "c" * 2_000), {}).message

    assert message.startswith("a b c")
    assert len(message) == 500
    assert message.endswith("…")


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": " 1.5 "}, 1.5),
        ({"retry-after": "300"}, 300.0),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after": LATER, "date": DATE}, 90.0),
        ({"retry-after": DATE, "date": LATER}, 0.0),
        ({"retry-after": LATER}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "9" * 30}, 31 * 86_400.0),
    ],
)
def test_the_wait_is_read_in_every_form(headers: dict[str, str], expected: float | None) -> None:
    """Seconds, milliseconds and dates are read; nonsense is no wish, and no wish is endless."""
    assert retry_after_s(headers) == expected


def test_gemini_asks_to_wait_in_its_details() -> None:
    """The delay of `RetryInfo` counts where no header says anything."""
    body = gemini("RESOURCE_EXHAUSTED", "", {"@type": RETRY_INFO, "retryDelay": "46s"})

    assert gemini_failure(429, body, {}).retry_after_s == 46.0
    assert gemini_failure(429, body, {"retry-after": "3"}).retry_after_s == 3.0


def test_a_retry_delay_that_is_none_is_no_wish() -> None:
    """A delay that cannot be read is as if it were not there."""
    body = gemini("RESOURCE_EXHAUSTED", "", {"retryDelay": "later"}, {"retryDelay": "20ms"})

    assert gemini_failure(429, body, {}).retry_after_s == 0.02


@given(status=st.integers(min_value=-5, max_value=900))
def test_every_status_has_a_class(status: int) -> None:
    """There is no status that nothing follows from."""
    assert by_status(status) in get_args(ErrorClass)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["error", "message", "code", "type", "status", "details", "reason", "violations"]
            )
            | st.text(),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(
    status=st.integers(min_value=-1, max_value=700),
    body=JSON,
    wait=st.text(),
    date=st.text(),
)
def test_no_reply_breaks_the_classification(
    status: int, body: object, wait: str, date: str
) -> None:
    """Whatever a provider or a proxy sends has a class, and a message."""
    headers = {"retry-after": wait, "retry-after-ms": date, "date": date}
    for classify in (anthropic_failure, openai_failure, gemini_failure):
        failure = classify(status, body, headers)

        assert failure.error in get_args(ErrorClass)
        assert failure.message
