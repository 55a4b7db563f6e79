"""Faults: how is what goes wrong told to a client of OpenAI's interfaces?

The form is `{"error": {"message", "type", "param", "code"}}` with the status that OpenAI would use.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec

from segue_contracts.reply import Refused
from segue_contracts.v1.chat import ErrorClass
from segue_contracts.v1.deltas import DeltaError
from segue_gateway.core.problems import ProblemDetails

Json = dict[str, Any]

RETRY_AFTER_S: Final = 1
"""Seconds to wait before trying again when the provider does not say."""

_INVALID: Final = "invalid_request_error"
_SERVER: Final = "server_error"
_QUOTA: Final = "insufficient_quota"
_CLIENT: Final = 400
_FIRST_SERVER: Final = 500
_PASSING: Final = frozenset({429, 502, 503, 504})
"""Statuses after which the same request may succeed, unless it is known that it cannot."""


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One error, as such a client is told."""

    status: int
    """The HTTP status."""
    message: str
    """One sentence that names the way out."""
    type: str = _INVALID
    """OpenAI's class of it."""
    param: str | None = None
    """The field of the body, such as `messages[0].content`."""
    code: str | None = None
    """Stable reason."""
    again: bool = False
    """Whether the same request may succeed later."""
    retry_after_s: int = 0
    """Seconds after which; 0 when nobody said."""

    def told(self) -> Json:
        """Return what follows `error`, for streams too."""
        return {
            "message": self.message,
            "type": self.type,
            "param": self.param,
            "code": self.code,
        }

    def body(self) -> bytes:
        """Return the body of the answer."""
        return msgspec.json.encode({"error": self.told()})

    def headers(self) -> dict[str, str]:
        """Return what tells a client whether and when to try again."""
        if self.status not in _PASSING:
            return {}
        if not self.again:
            # Clients of OpenAI repeat every such status unless they are told not to.
            return {"x-should-retry": "false"}
        return {"Retry-After": str(self.retry_after_s or RETRY_AFTER_S)}


class FaultError(Exception):
    """A request that is answered with a fault."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


class _Kind(NamedTuple):
    status: int
    type: str
    code: str
    again: bool


_BY_CLASS: Final[Mapping[ErrorClass, _Kind]] = {
    "rate_limited": _Kind(429, "rate_limit_error", "rate_limit_exceeded", again=True),
    "quota_exhausted": _Kind(429, _QUOTA, _QUOTA, again=False),
    "budget_exceeded": _Kind(429, _QUOTA, "budget_exceeded", again=False),
    "overloaded": _Kind(503, "service_unavailable_error", "server_is_overloaded", again=True),
    "server_error": _Kind(502, _SERVER, "provider_failed", again=True),
    "transport": _Kind(502, _SERVER, "provider_unreachable", again=True),
    "truncated": _Kind(502, _SERVER, "truncated", again=True),
    "timeout_connect": _Kind(504, _SERVER, "timeout_connect", again=True),
    "timeout_first_token": _Kind(504, _SERVER, "timeout_first_token", again=True),
    "timeout_idle": _Kind(504, _SERVER, "timeout_idle", again=True),
    "timeout_total": _Kind(504, _SERVER, "timeout_total", again=True),
    # The key that the provider refused is ours, not the caller's.
    "auth": _Kind(502, _SERVER, "provider_refused_key", again=False),
    "not_configured": _Kind(503, _SERVER, "not_configured", again=False),
    "bad_request": _Kind(400, _INVALID, "bad_request", again=False),
    "context_window": _Kind(400, _INVALID, "context_length_exceeded", again=False),
    "content_policy": _Kind(400, _INVALID, "content_policy_violation", again=False),
    "model_not_found": _Kind(404, _INVALID, "model_not_found", again=False),
    "cancelled": _Kind(409, _INVALID, "cancelled", again=False),
}
"""What each class of error is to such a client."""

_BY_REFUSAL: Final[Mapping[str, _Kind]] = {
    "invalid_request": _Kind(400, _INVALID, "invalid_request", again=False),
    "not_found": _Kind(404, _INVALID, "not_found", again=False),
    "conflict": _Kind(409, _INVALID, "conflict", again=False),
    "too_large": _Kind(413, _INVALID, "too_large", again=False),
    "unsupported": _Kind(400, _INVALID, "unsupported", again=False),
    "unavailable": _Kind(503, _SERVER, "unavailable", again=True),
    "provider_failed": _Kind(502, _SERVER, "provider_failed", again=True),
}
_UNEXPECTED: Final = _Kind(500, _SERVER, "internal", again=False)
_NOBODY: Final = _Kind(503, _SERVER, "no_provider", again=True)


def invalid(message: str, *, param: str | None = None, code: str | None = None) -> FaultError:
    """Return the error of a body that cannot be served as it is."""
    return FaultError(Fault(status=_CLIENT, message=message, param=param, code=code))


def unsupported(param: str, way_out: str) -> FaultError:
    """Return the error of an option that has no meaning here."""
    return invalid(
        f"'{param}' is not supported: {way_out}", param=param, code="unsupported_parameter"
    )


def of_refused(refused: Refused) -> Fault:
    """Return what a service's refusal is to such a client."""
    kind = _kind_of(refused)
    problem = refused.problems[0] if refused.problems else None
    return Fault(
        status=kind.status,
        message=refused.message,
        type=kind.type,
        code=kind.code,
        param=None if problem is None else problem.pointer or None,
        again=kind.again and refused.retryable,
        retry_after_s=_seconds(refused.details.get("retryAfterMs", "")),
    )


def of_broken(delta: DeltaError) -> Fault:
    """Return what a stream that broke off is to such a client."""
    kind = _BY_CLASS[delta.error]
    return Fault(
        status=kind.status,
        message=delta.message,
        type=kind.type,
        code=kind.code,
        again=kind.again,
        retry_after_s=-(-delta.retry_after_ms // 1_000),
    )


def of_problem(problem: ProblemDetails) -> Fault:
    """Return one of the gateway's own problems in the form of these interfaces."""
    server = problem.status >= _FIRST_SERVER
    return Fault(
        status=problem.status,
        message=problem.detail,
        type=_SERVER if server else _INVALID,
        code=problem.code,
        again=problem.status in _PASSING,
    )


def broken(code: str, message: str) -> FaultError:
    """Return the error of an answer that did not come whole."""
    fault = Fault(status=502, message=message, type=_SERVER, code=code, again=True)
    return FaultError(fault)


def busy() -> FaultError:
    """Return the error of a request that repeats one whose answer is being streamed."""
    message = "the answer to this Idempotency-Key is being streamed; ask again when it is done"
    return FaultError(Fault(status=409, message=message, code="idempotency_key_in_use"))


def _kind_of(refused: Refused) -> _Kind:
    told = refused.details
    for error, kind in _BY_CLASS.items():
        if told.get("error") == error:
            return kind
    if told.get("reason") == "no_provider":
        return _NOBODY
    return _BY_REFUSAL.get(refused.code, _UNEXPECTED)


def _seconds(milliseconds: str) -> int:
    return -(-int(milliseconds) // 1_000) if milliseconds.isdecimal() else 0
