"""Failure rules: which of a vendor's codes, types and phrases mean what?"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from segue_contracts.v1.chat import ErrorClass


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """One vendor's words."""

    codes: Mapping[str, ErrorClass]
    """By precise codes."""
    types: Mapping[str, ErrorClass]
    """By broad types; phrases may make them more precise."""
    phrases: tuple[tuple[str, ErrorClass], ...] = ()
    """By what stands in the message, in lower case, where no code tells."""
    endings: Mapping[str, ErrorClass] = field(default_factory=dict)
    """By how a code ends."""

    def code(self, code: str) -> ErrorClass | None:
        """Return what a code means; None when it is not known."""
        if code in self.codes:
            return self.codes[code]
        return next((self.endings[end] for end in self.endings if code.endswith(end)), None)

    def phrase(self, message: str) -> ErrorClass | None:
        """Return what a message means; None when it holds no phrase."""
        text = message.lower()
        return next((error for phrase, error in self.phrases if phrase in text), None)


BY_STATUS: Final[Mapping[int, ErrorClass]] = {
    0: "server_error",
    401: "auth",
    402: "quota_exhausted",
    403: "auth",
    404: "model_not_found",
    408: "server_error",
    409: "server_error",
    413: "context_window",
    425: "overloaded",
    429: "rate_limited",
    499: "server_error",
    503: "overloaded",
    529: "overloaded",
}
"""Where nothing else tells; others below 500 are a bad request, the rest a server's error."""

ANTHROPIC: Final = Rules(
    codes={
        "enforced_spend_limit_reached": "quota_exhausted",
        "contract_spend_limit_reached": "quota_exhausted",
        "linked_organization_spend_limit_reached": "quota_exhausted",
        "linked_organization_billing_unavailable": "quota_exhausted",
        "organization_on_hold": "auth",
        "ramp_limit_exceeded": "rate_limited",
        "request_body_too_large_after_decoding": "context_window",
        "billing_error": "quota_exhausted",
    },
    types={
        "authentication_error": "auth",
        "permission_error": "auth",
        "not_found_error": "model_not_found",
        "request_too_large": "context_window",
        "rate_limit_error": "rate_limited",
        "overloaded_error": "overloaded",
        "api_error": "server_error",
        "timeout_error": "server_error",
        "conflict_error": "server_error",
        "invalid_request_error": "bad_request",
    },
    phrases=(
        ("prompt is too long", "context_window"),
        ("exceed context limit", "context_window"),
        ("exceeds the context window", "context_window"),
        ("credit balance is too low", "quota_exhausted"),
        ("reached your specified api usage limits", "quota_exhausted"),
        ("content filtering policy", "content_policy"),
    ),
)

OPENAI: Final = Rules(
    codes={
        "insufficient_quota": "quota_exhausted",
        "credit_balance_exhausted": "quota_exhausted",
        "organization_usage_limit_exceeded": "quota_exhausted",
        "billing_hard_limit_reached": "quota_exhausted",
        "billing_not_active": "quota_exhausted",
        "server_is_overloaded": "overloaded",
        "engine_overloaded": "overloaded",
        "engine_overloaded_error": "overloaded",
        "invalid_api_key": "auth",
        "account_deactivated": "auth",
        "organization_deactivated": "auth",
        "unsupported_country_region_territory": "auth",
        "model_not_found": "model_not_found",
        "model_not_available": "model_not_found",
        "context_length_exceeded": "context_window",
        "string_above_max_length": "context_window",
        "request_too_large": "context_window",
        "content_policy_violation": "content_policy",
        "content_filter": "content_policy",
        "invalid_prompt": "content_policy",
        "moderation_blocked": "content_policy",
        "cyber_policy": "content_policy",
        "cyber_policy_violation": "content_policy",
    },
    endings={"_spend_limit_exceeded": "quota_exhausted"},
    types={
        "rate_limit_exceeded": "rate_limited",
        "rate_limit_error": "rate_limited",
        "slow_down": "rate_limited",
        "requests": "rate_limited",
        "tokens": "rate_limited",
        "overloaded_error": "overloaded",
        "service_unavailable_error": "overloaded",
        "server_error": "server_error",
        "internal_server_error": "server_error",
        "InternalServerError": "server_error",
        "authentication_error": "auth",
        "permission_error": "auth",
        "not_found_error": "model_not_found",
        "NotFoundError": "model_not_found",
        "BadRequestError": "bad_request",
    },
    phrases=(
        ("maximum context length", "context_window"),
        ("context length exceeded", "context_window"),
        ("exceeds the context window", "context_window"),
        ("exceeds the available context size", "context_window"),
        ("request too large", "context_window"),
        ("exceeded your current quota", "quota_exhausted"),
        ("content management policy", "content_policy"),
        ("content policy", "content_policy"),
        ("usage policy", "content_policy"),
    ),
)
"""`invalid_request_error` is no type of it: it stands beside every status, 401 and 404 too."""

GEMINI: Final = Rules(
    codes={
        "quota_spent": "quota_exhausted",
        "API_KEY_INVALID": "auth",
        "API_KEY_EXPIRED": "auth",
        "API_KEY_SERVICE_BLOCKED": "auth",
        "CONSUMER_SUSPENDED": "auth",
        "BILLING_DISABLED": "quota_exhausted",
    },
    types={
        "RESOURCE_EXHAUSTED": "rate_limited",
        "UNAUTHENTICATED": "auth",
        "PERMISSION_DENIED": "auth",
        "FAILED_PRECONDITION": "auth",
        "NOT_FOUND": "model_not_found",
        "UNAVAILABLE": "overloaded",
        "INTERNAL": "server_error",
        "UNKNOWN": "server_error",
        "ABORTED": "server_error",
        "CANCELLED": "server_error",
        "DEADLINE_EXCEEDED": "server_error",
        "INVALID_ARGUMENT": "bad_request",
        "OUT_OF_RANGE": "bad_request",
    },
    phrases=(
        ("exceeds the maximum number of tokens", "context_window"),
        ("exceeds the maximum allowed", "context_window"),
        ("payload size exceeds", "context_window"),
        ("api key not valid", "auth"),
        ("api key expired", "auth"),
        ("prepayment credits are depleted", "quota_exhausted"),
        ("model is overloaded", "overloaded"),
    ),
)
"""A failed precondition is one of the account: its country, or no billing."""
