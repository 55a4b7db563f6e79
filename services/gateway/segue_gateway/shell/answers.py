"""Answers: how do results and errors become HTTP responses?"""

from collections.abc import Mapping

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from segue_contracts.envelope import Message, encode
from segue_gateway.core.problems import (
    CONTENT_TYPE,
    RETRY_AFTER_S,
    ProblemDetails,
    ProblemError,
    ProblemItem,
    of_status,
    problem,
    refused,
)
from segue_shared.errors import RefusedError, SegueError, TooLargeError, TransientError

_log = structlog.get_logger()

_UNAVAILABLE = 503


def result(
    body: Message, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Answer with a command's result, as it is on the bus."""
    return Response(
        encode(body), status_code=status, headers=headers, media_type="application/json"
    )


def problem_response(found: ProblemDetails, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with a problem."""
    extra = dict(headers or {})
    if found.status == _UNAVAILABLE:
        extra["Retry-After"] = str(RETRY_AFTER_S)
    return Response(
        found.json_bytes(), status_code=found.status, headers=extra, media_type=CONTENT_TYPE
    )


def problem_of(error: SegueError, *, prefix: str = "") -> ProblemDetails:
    """Return the problem of anything that a command raises.

    Args:
        error: What it raised.
        prefix: JSON Pointer of the definition in the body; see `problems.refused`.
    """
    match error:
        case RefusedError():
            return refused(error.refused, prefix=prefix)
        case TransientError():
            detail = f"{error}; the request may be repeated, a start with its Idempotency-Key"
            return problem("unavailable", detail)
        case TooLargeError():
            return problem("too_large", f"{error}; send less, or store it elsewhere")
        case _:
            _log.error("command_failed", error=str(error))
            return problem("internal", "the service answered in another form; its log says more")


def handle_errors(app: FastAPI) -> None:
    """Let every error of an application leave as a problem."""
    app.add_exception_handler(ProblemError, _on_problem)
    app.add_exception_handler(SegueError, _on_segue_error)
    app.add_exception_handler(RequestValidationError, _on_invalid_parameter)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(Exception, _on_unexpected)


async def _on_problem(_request: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)  # noqa: S101 - registered for this type
    return problem_response(error.problem)


async def _on_segue_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, SegueError)  # noqa: S101 - registered for this type
    return problem_response(problem_of(error))


async def _on_invalid_parameter(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this type
    items = [
        ProblemItem(message=f"{detail['loc'][-1]}: {detail['msg']}", code=detail["type"])
        for detail in error.errors()
    ]
    detail = "; ".join(item.message for item in items)
    return problem_response(problem("invalid_parameter", detail, errors=items))


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this type
    detail = f"{request.method} {request.url.path}: {error.detail}; see /openapi.json"
    return problem_response(of_status(error.status_code, detail), error.headers)


async def _on_unexpected(request: Request, error: Exception) -> Response:
    _log.error("request_failed", method=request.method, path=request.url.path, exc_info=error)
    return problem_response(problem("internal", "the gateway's log says more"))
