"""Failures: what kind of failure is it when a provider says no?

Providers tell by codes in the body; the status is only what is left when there is none, since one
status stands for very different things (429: too fast, or out of money) and errors in the middle of
a stream have none. What stands here never raises, whatever a provider or a proxy before it sends.
"""

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Final

import msgspec

from segue_contracts.v1.chat import ErrorClass
from segue_providers.core.failure_rules import ANTHROPIC, BY_STATUS, GEMINI, OPENAI, Rules

_MAX_MESSAGE: Final = 500
_MAX_WAIT_S: Final = 31 * 86_400.0
_PHRASED: Final[frozenset[ErrorClass]] = frozenset({"bad_request", "rate_limited", "server_error"})
"""Classes that a phrase in the message may make more precise."""
_SERVER: Final = range(500, 600)
_CLIENT: Final = range(300, 500)
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s)?")

Headers = Mapping[str, str]


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider's refusal means."""

    error: ErrorClass
    """Its class."""
    message: str
    """The provider's own words, on one line; not masked yet."""
    code: str = ""
    """The most precise code it gave."""
    retry_after_s: float | None = None
    """Seconds it asks to wait; None when it did not say."""


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What the body of an error says, found wherever vendors put it."""

    message: str = ""
    """Words for people."""
    codes: tuple[str, ...] = ()
    """Codes in it, the most precise first."""
    types: tuple[str, ...] = ()
    """Broad types in it."""
    retry_after_s: float | None = None
    """Seconds it asks to wait."""


def anthropic_failure(status: int, body: object, headers: Headers) -> Failure:
    """Classify an error of the Messages API.

    Args:
        status: The HTTP status; 0 or 200 for an error in the middle of a stream.
        body: The decoded body, or its text, or None.
        headers: The reply's headers; names in lower case, or a mapping that ignores case.
    """
    error = _error_of(body)
    details = _mapping(error.get("details"))
    told = Told(
        message=_words(error.get("message")),
        codes=_texts(details.get("error_code")),
        types=_texts(error.get("type")),
    )
    return _failure(ANTHROPIC, told, status, headers)


def openai_failure(status: int, body: object, headers: Headers) -> Failure:
    """Classify an error of OpenAI's interfaces, or of a server that is like them.

    Args:
        status: The HTTP status; 0 or 200 for an error in the middle of a stream.
        body: The decoded body, or its text, or None; also the object inside `error`.
        headers: The reply's headers; names in lower case, or a mapping that ignores case.
    """
    error = _error_of(body)
    told = Told(
        message=_words(error.get("message")) or _words(error.get("detail")),
        codes=_texts(error.get("code")),
        types=_texts(error.get("type")),
    )
    return _failure(OPENAI, told, status, headers)


def gemini_failure(status: int, body: object, headers: Headers) -> Failure:
    """Classify an error of the Gemini interface.

    Args:
        status: The HTTP status; 0 or 200 for an error in the middle of a stream.
        body: The decoded body, or its text, or None; also the object inside `error`.
        headers: The reply's headers; names in lower case, or a mapping that ignores case.
    """
    error = _error_of(body)
    details = [_mapping(one) for one in _sequence(error.get("details"))]
    told = Told(
        message=_words(error.get("message")),
        codes=(*_spent(details), *(code for one in details for code in _texts(one.get("reason")))),
        types=_texts(error.get("status")),
        retry_after_s=_retry_info(details),
    )
    return _failure(GEMINI, told, status or _whole(error.get("code")), headers)


def retry_after_s(headers: Headers) -> float | None:
    """Return the seconds that headers ask to wait; None when they do not say.

    A date is counted from the reply's own `Date`, so that no clock of ours has to be right.
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return _bounded(milliseconds / 1000)
    text = (headers.get("retry-after") or "").strip()
    seconds = _number(text)
    if seconds is not None:
        return _bounded(seconds)
    until, now = _date(text), _date(headers.get("date") or "")
    return None if until is None or now is None else _bounded(until - now)


def _failure(rules: Rules, told: Told, status: int, headers: Headers) -> Failure:
    from_headers = retry_after_s(headers)
    return Failure(
        error=_class(rules, told, status),
        message=told.message or _nothing_said(status),
        code=next((code for code in (*told.codes, *told.types) if code), ""),
        retry_after_s=told.retry_after_s if from_headers is None else from_headers,
    )


def _class(rules: Rules, told: Told, status: int) -> ErrorClass:
    """Decide by code, then by phrase where the type is vague, then by type, then by status."""
    for code in (*told.codes, *told.types):
        if (exact := rules.code(code)) is not None:
            return exact
    broad = (rules.types[one] for one in (*told.codes, *told.types) if one in rules.types)
    vague = next(broad, by_status(status))
    return (rules.phrase(told.message) or vague) if vague in _PHRASED else vague


def by_status(status: int) -> ErrorClass:
    """Return the class of a status that comes without a word."""
    if status in BY_STATUS:
        return BY_STATUS[status]
    return "bad_request" if status in _CLIENT else "server_error"


def _nothing_said(status: int) -> str:
    return f"HTTP {status} without an explanation" if status else "an error without an explanation"


def _error_of(body: object) -> Mapping[str, object]:
    """Find the object that tells of the error: inside `error`, in a list of one, or bare."""
    if isinstance(body, list | tuple) and body:
        body = body[0]
    outer = _mapping(body)
    inner = outer.get("error")
    if isinstance(inner, str):
        return {**outer, "message": inner}
    return _mapping(inner) or outer


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _sequence(value: object) -> list[object]:
    return list(value) if isinstance(value, list | tuple) else []


def _texts(value: object) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) and value else ()


def _words(value: object) -> str:
    """Return words for people on one line, cut to a bearable length."""
    text = " ".join(value.split()) if isinstance(value, str) else ""
    return text if len(text) <= _MAX_MESSAGE else f"{text[: _MAX_MESSAGE - 1]}…"


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0


def _number(value: object) -> float | None:
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        return None
    return float(match[1]) / (1000 if match[2] == "ms" else 1)


def _bounded(seconds: float) -> float:
    return min(max(seconds, 0.0), _MAX_WAIT_S)


def _date(text: str) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


# Gemini says in its details what it means.


def _retry_info(details: list[Mapping[str, object]]) -> float | None:
    waits = (_number(one.get("retryDelay")) for one in details if one.get("retryDelay"))
    return next((_bounded(wait) for wait in waits if wait is not None), None)


def _spent(details: list[Mapping[str, object]]) -> tuple[str, ...]:
    """Return the quotas that will not be there again soon: those of a day, and those of nothing."""
    violations = (_mapping(one) for each in details for one in _sequence(each.get("violations")))
    return tuple(
        "quota_spent"
        for one in violations
        if "PerDay" in str(one.get("quotaId", "")) or str(one.get("quotaValue", "")) == "0"
    )[:1]
