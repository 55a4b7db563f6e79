"""Problems: how is what goes wrong told in HTTP?

The form is RFC 9457, `application/problem+json`. Codes are stable; refusals keep theirs.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from segue_contracts.reply import Problem, Refused

CONTENT_TYPE: Final = "application/problem+json"

RETRY_AFTER_S: Final = 1
"""What `Retry-After` says when trying again may help."""


class Kind(NamedTuple):
    """What a code means in HTTP."""

    status: int
    title: str


KINDS: Final[Mapping[str, Kind]] = {
    # Refusals of services, by their own codes.
    "invalid_request": Kind(400, "The request cannot be understood"),
    "invalid_definition": Kind(422, "The definition is invalid"),
    "not_found": Kind(404, "There is no such thing"),
    "conflict": Kind(409, "It contradicts what exists"),
    "checkpoint_expired": Kind(410, "The position in the journal is no longer kept"),
    "too_large": Kind(413, "It is too large"),
    "unsupported": Kind(422, "It is not supported"),
    "unavailable": Kind(503, "Who should answer does not"),
    "provider_failed": Kind(502, "The model provider failed"),
    "budget_exceeded": Kind(402, "The budget is used up"),
    "internal": Kind(500, "Something unexpected went wrong"),
    # The gateway's own.
    "invalid_json": Kind(400, "The body is not JSON"),
    "invalid_body": Kind(422, "The body has another form"),
    "invalid_parameter": Kind(422, "A parameter has another form"),
    "method_not_allowed": Kind(405, "The method is not allowed here"),
    "unsupported_media_type": Kind(415, "The body's type is not supported"),
    "misdirected": Kind(421, "The request was meant for another host"),
}
"""Every code, its status and its title."""

_BY_STATUS: Final = {404: "not_found", 405: "method_not_allowed"}


class ProblemItem(BaseModel):
    """One thing that is wrong, and where."""

    model_config = ConfigDict(frozen=True)

    message: str = Field(description="One sentence.")
    code: str = Field(default="", description="Stable reason, such as `unknown_field`.")
    pointer: str = Field(default="", description="JSON Pointer into the document.")
    file: str = Field(default="", description="The file, as the caller named it.")
    line: int = Field(default=0, description="Counted from 1; absent when unknown.")
    column: int = Field(default=0, description="Counted from 1; absent when unknown.")
    suggestion: str = Field(default="", description="What was probably meant.")


class ProblemDetails(BaseModel):
    """A problem as of RFC 9457."""

    model_config = ConfigDict(frozen=True)

    type: str = Field(description="URN of the code.")
    title: str = Field(description="What the code means.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="One sentence that names the way out.")
    code: str = Field(description="Stable reason.")
    errors: tuple[ProblemItem, ...] = Field(default=(), description="All that is wrong, at once.")
    details: dict[str, str] = Field(default_factory=dict, description="Further facts.")

    def json_bytes(self) -> bytes:
        """Return the problem's JSON, without what it does not say."""
        return self.model_dump_json(exclude_defaults=True).encode()


class ProblemError(Exception):
    """A request that cannot be served, with its answer."""

    def __init__(self, problem: ProblemDetails) -> None:
        super().__init__(problem.detail)
        self.problem = problem


def problem(
    code: str,
    detail: str,
    *,
    errors: Sequence[ProblemItem] = (),
    details: Mapping[str, str] | None = None,
) -> ProblemDetails:
    """Make a problem of a known code; an unknown one is `internal`."""
    kind = KINDS.get(code, KINDS["internal"])
    return ProblemDetails(
        type=f"urn:segue:problem:{code}",
        title=kind.title,
        status=kind.status,
        detail=detail,
        code=code,
        errors=tuple(errors),
        details=dict(details or {}),
    )


def of_status(status: int, detail: str) -> ProblemDetails:
    """Make a problem of a status that the HTTP framework has chosen."""
    return problem(_BY_STATUS.get(status, "invalid_request"), detail)


def refused(refusal: Refused, *, prefix: str = "") -> ProblemDetails:
    """Make a problem of a service's refusal.

    Args:
        refusal: What the service said.
        prefix: JSON Pointer of the definition in the body, when it was given as an object; lines
            and columns mean nothing to the caller then.
    """
    errors = [_item(found, prefix) for found in refusal.problems]
    return problem(refusal.code, refusal.message, errors=errors, details=refusal.details)


def _item(found: Problem, prefix: str) -> ProblemItem:
    return ProblemItem(
        message=found.message,
        code=found.code,
        pointer=f"{prefix}{found.pointer}",
        file="" if prefix else found.file,
        line=0 if prefix else found.line,
        column=0 if prefix else found.column,
        suggestion=found.suggestion,
    )
