"""Failing: how does what went wrong at a provider become an error that may be shown?"""

from typing import Final

import httpx2
from pydantic import SecretStr

from segue_contracts.v1.chat import ErrorClass
from segue_providers.core.failures import Failure
from segue_providers.shell.ports import ModelCallError
from segue_shared.masking import REDACTED, masked

_BY_TRANSPORT: Final[tuple[tuple[type[Exception], ErrorClass, str], ...]] = (
    (httpx2.ConnectTimeout, "timeout_connect", "no connection in time"),
    (httpx2.PoolTimeout, "timeout_connect", "no connection was free in time"),
    (httpx2.ReadTimeout, "timeout_idle", "nothing came in time"),
    (httpx2.WriteTimeout, "timeout_idle", "the request could not be written in time"),
    (httpx2.ConnectError, "transport", "no connection"),
    (httpx2.RemoteProtocolError, "transport", "the connection broke off"),
    (httpx2.ReadError, "transport", "the connection broke off"),
    (httpx2.WriteError, "transport", "the connection broke off"),
    (httpx2.LocalProtocolError, "bad_request", "the request or the key cannot be sent as HTTP"),
    (httpx2.UnsupportedProtocol, "bad_request", "the base URL is no address of HTTP"),
    (httpx2.InvalidURL, "bad_request", "the base URL is no address"),
    (httpx2.TooManyRedirects, "bad_request", "the base URL leads in a circle"),
    (httpx2.DecodingError, "truncated", "the answer is not encoded as it says"),
)


def refused(failure: Failure, *, status: int, key: SecretStr | None) -> ModelCallError:
    """Return the error of a provider's refusal; whatever could be a secret is cut out of it."""
    return ModelCallError(
        failure.error,
        without_key(failure.message, key),
        http_status=status,
        code=without_key(failure.code, key),
        retry_after_s=failure.retry_after_s,
    )


def unreadable(what: str) -> ModelCallError:
    """Return the error of an answer that cannot be read: cut off, or not what it says it is."""
    return ModelCallError("truncated", what)


def disconnected(error: BaseException) -> ModelCallError:
    """Return the error of a connection that failed.

    Vendors' libraries wrap what their HTTP client says, so the causes are looked through as well.
    """
    for one in _causes(error):
        for kind, error_class, words in _BY_TRANSPORT:
            if isinstance(one, kind):
                return ModelCallError(error_class, words)
    return ModelCallError("transport", f"the connection failed ({type(error).__name__})")


def without_key(text: str, key: SecretStr | None) -> str:
    """Return a text without the key and without what else looks like a secret."""
    secret = key.get_secret_value() if key is not None else ""
    return masked(text.replace(secret, REDACTED) if secret else text)


def _causes(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found
