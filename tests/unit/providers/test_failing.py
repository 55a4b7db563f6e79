"""Failing: is what went wrong told without telling secrets?"""

import httpx2
import pytest
from pydantic import SecretStr

from segue_contracts.v1.chat import ErrorClass
from segue_providers.core.failures import Failure
from segue_providers.shell.failing import disconnected, refused, unreadable, without_key

KEY = SecretStr("plain-looking-key-of-nobody")
REQUEST = httpx2.Request("POST", "http://127.0.0.1/")


def test_the_key_is_cut_out_of_a_providers_words() -> None:
    """A provider that repeats the key does not get it into our errors."""
    failure = Failure(error="auth", message=f"no such key {KEY.get_secret_value()}!", code="c")

    assert str(refused(failure, status=401, key=KEY)) == "no such key [redacted]!"


def test_other_secrets_are_masked_as_well() -> None:
    """What looks like a secret is masked, also where it is not our key."""
    text = without_key("use Bearer abcdefghijklmnop", None)

    assert "abcdefghijklmnop" not in text


def test_a_refusal_keeps_what_routing_needs() -> None:
    """Class, status, code and wait arrive in the error."""
    failure = Failure(error="rate_limited", message="slow", code="tokens", retry_after_s=3.0)

    error = refused(failure, status=429, key=KEY)

    assert (error.error, error.http_status, error.code, error.retry_after_s) == (
        "rate_limited",
        429,
        "tokens",
        3.0,
    )


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (httpx2.ConnectTimeout("x", request=REQUEST), "timeout_connect"),
        (httpx2.PoolTimeout("x", request=REQUEST), "timeout_connect"),
        (httpx2.ReadTimeout("x", request=REQUEST), "timeout_idle"),
        (httpx2.ConnectError("x", request=REQUEST), "transport"),
        (httpx2.RemoteProtocolError("x", request=REQUEST), "transport"),
        (httpx2.ReadError("x", request=REQUEST), "transport"),
        (httpx2.LocalProtocolError("x", request=REQUEST), "bad_request"),
        (httpx2.UnsupportedProtocol("x", request=REQUEST), "bad_request"),
        (httpx2.InvalidURL("x"), "bad_request"),
        (httpx2.ProxyError("x", request=REQUEST), "transport"),
        (RuntimeError("x"), "transport"),
    ],
)
def test_a_failed_connection_has_its_class(error: Exception, expected: ErrorClass) -> None:
    """Each way in which a connection fails has its class, and never its address."""
    assert disconnected(error).error == expected


def test_the_cause_behind_a_wrapping_error_counts() -> None:
    """A library's own error does not hide what its HTTP client said."""
    wrapped = RuntimeError("Connection error.")
    wrapped.__cause__ = httpx2.ConnectTimeout("slow", request=REQUEST)

    assert disconnected(wrapped).error == "timeout_connect"


def test_an_unreadable_answer_is_a_cut_one() -> None:
    """What cannot be read is never taken for an answer."""
    assert unreadable("half of it").error == "truncated"
