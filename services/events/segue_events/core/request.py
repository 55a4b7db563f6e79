"""Requests: which stream does a viewer ask for?"""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qs

import msgspec

from segue_contracts.cursor import Cursor, CursorError, parse_cursor
from segue_contracts.v1 import subjects
from segue_events.core.problems import BAD_REQUEST, NOT_FOUND, ProblemError

_PATH: Final = re.compile(r"/v1/runs/([^/]+)/stream")
_FLAGS: Final = {"true": True, "1": True, "": True, "false": False, "0": False}


class StreamRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a viewer asks for."""

    namespace: str
    """The tenant."""
    run: str
    """The run's id."""
    cursor: Cursor | None
    """What the viewer has seen; None for nothing."""
    deltas: bool
    """Whether ephemeral progress is wanted too."""

    @property
    def pattern(self) -> str:
        """The pattern of the run's journal."""
        return subjects.run_all(self.namespace, self.run)


def read(path: str, query: str, headers: Mapping[str, str], *, namespace: str) -> StreamRequest:
    """Read a request.

    Args:
        path: The decoded path.
        query: The raw query string.
        headers: Header values by lower-case name.
        namespace: The tenant when the query names none.

    Raises:
        ProblemError: It asks for nothing that exists here.
    """
    match = _PATH.fullmatch(path)
    if match is None:
        raise ProblemError(
            NOT_FOUND, "not_found", f"nothing is at {path}; try /v1/runs/<run>/stream"
        )
    given = {key: values[-1] for key, values in parse_qs(query, keep_blank_values=True).items()}
    return StreamRequest(
        namespace=_namespace(given.get("namespace", namespace)),
        run=_run(match[1]),
        # A browser that comes back repeats its first URL, `after` included: the header is newer.
        cursor=_cursor(headers.get("last-event-id") or given.get("after", "")),
        deltas=_flag("deltas", given.get("deltas", "true")),
    )


def _run(text: str) -> str:
    try:
        subjects.run_prefix("default", text)
    except subjects.SubjectError as error:
        raise ProblemError(NOT_FOUND, "not_found", f"no run can be called so: {error}") from error
    return text


def _namespace(text: str) -> str:
    try:
        return subjects.token(text)
    except subjects.SubjectError as error:
        raise ProblemError(
            BAD_REQUEST, "invalid_request", f"query parameter namespace: {error}"
        ) from error


def _cursor(text: str) -> Cursor | None:
    try:
        return parse_cursor(text) if text else None
    except CursorError as error:
        raise ProblemError(
            BAD_REQUEST, "invalid_cursor", f"{error}; leave it out to begin at the start"
        ) from error


def _flag(name: str, text: str) -> bool:
    if text not in _FLAGS:
        raise ProblemError(
            BAD_REQUEST, "invalid_request", f"query parameter {name} is true or false, not {text!r}"
        )
    return _FLAGS[text]
