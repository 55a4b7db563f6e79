"""Problems: how does a viewer learn why there is no stream?

The form is RFC 9457, `application/problem+json`.
"""

from typing import Final

import msgspec

CONTENT_TYPE: Final = "application/problem+json"
BAD_REQUEST: Final = 400
NOT_FOUND: Final = 404
METHOD_NOT_ALLOWED: Final = 405
UNAVAILABLE: Final = 503


class ProblemError(Exception):
    """A request that gets no stream, with its answer."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail


_TITLES: Final = {
    "invalid_request": "The request cannot be understood",
    "invalid_cursor": "The cursor has another form",
    "not_found": "There is no such thing",
    "method_not_allowed": "Streams are only read",
    "too_many_viewers": "This instance serves as many viewers as it may",
    "unavailable": "The journal cannot be read now",
}


def body(problem: ProblemError) -> bytes:
    """Return a problem's JSON."""
    return msgspec.json.encode(
        {
            "type": f"urn:segue:problem:{problem.code}",
            "title": _TITLES[problem.code],
            "status": problem.status,
            "detail": problem.detail,
            "code": problem.code,
        }
    )
