"""Bodies: what does a request ask for?"""

import json
import re
from difflib import get_close_matches
from typing import Any, Final, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails, from_json

from segue_contracts.v1.commands import CancelRun, StartRun
from segue_gateway.core.problems import ProblemDetails, ProblemError, ProblemItem, problem

MAX_BODY: Final = 1024 * 1024
"""Bytes of the largest body."""

JSON_TYPES: Final = frozenset({"application/json"})
YAML_TYPES: Final = frozenset(
    {"text/yaml", "text/x-yaml", "application/yaml", "application/x-yaml", "text/vnd.yaml"}
)

_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")
_PLACE: Final = re.compile(r"(.*) at line (\d+) column (\d+)", re.DOTALL)
_EMBEDDED: Final = "/workflow"

B = TypeVar("B", bound=BaseModel)


class StartRunBody(BaseModel):
    """A run to start: `workflow` or `definition`, and what goes into it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    workflow: dict[str, Any] | str | None = Field(
        default=None, description="The definition, as an object or as YAML or JSON text."
    )
    definition: str = Field(
        default="", description="Instead of `workflow`: the hash of a stored definition."
    )
    file: str = Field(default="", description="The file's name, for problems.")
    inputs: dict[str, Any] = Field(
        default_factory=dict, description="Values for the definition's inputs."
    )
    labels: dict[str, str] = Field(
        default_factory=dict, description="Labels for lists and filters."
    )

    @model_validator(mode="after")
    def _names_one_definition(self) -> "StartRunBody":
        if (self.workflow is None) == (not self.definition):
            raise ValueError("give either 'workflow' or 'definition'")
        return self


class CancelRunBody(BaseModel):
    """Why a run shall stop."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reason: str = Field(default="", description="Why, for people.", max_length=1_000)


class Start(NamedTuple):
    """A start as the orchestrator takes it."""

    command: StartRun
    pointer: str
    """Where in the body the definition was, when it was an object; else empty."""


def start_run(data: bytes, content_type: str, *, key: str) -> Start:
    """Read the body of a start.

    Args:
        data: The body.
        content_type: Its media type; parameters are ignored.
        key: The idempotency key.

    Raises:
        ProblemError: It cannot be read; the problem says where.
    """
    media = content_type.partition(";")[0].strip().lower()
    if media in YAML_TYPES:
        return Start(StartRun(text=_text(data), key=key), "")
    if media not in JSON_TYPES:
        detail = f"send application/json or text/yaml, not {media or 'a body without a type'}"
        raise ProblemError(problem("unsupported_media_type", detail))
    return _start(_validated(StartRunBody, data), key)


def _start(body: StartRunBody, key: str) -> Start:
    embedded = isinstance(body.workflow, dict)
    command = StartRun(
        text=json.dumps(body.workflow) if embedded else str(body.workflow or ""),
        file=body.file,
        definition=body.definition,
        inputs=body.inputs,
        labels=body.labels,
        key=key,
    )
    return Start(command, _EMBEDDED if embedded else "")


def cancel_run(data: bytes, *, run: str) -> CancelRun:
    """Read the body of a cancellation, which may be empty.

    Raises:
        ProblemError: It cannot be read; the problem says where.
    """
    body = _validated(CancelRunBody, data) if data else CancelRunBody()
    return CancelRun(run=run, reason=body.reason)


def idempotency_key(header: str) -> str:
    """Read the header `Idempotency-Key`, with or without the quotes of a structured field.

    Raises:
        ProblemError: It is too long or not visible ASCII.
    """
    quoted = len(header) > 1 and header[0] == header[-1] == '"'
    key = header[1:-1] if quoted else header
    if _KEY.fullmatch(key) is None:
        detail = "Idempotency-Key must be 1 to 255 visible ASCII characters"
        raise ProblemError(problem("invalid_request", detail))
    return key


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        detail = f"the body is not UTF-8: byte {error.start} is {data[error.start]:#04x}"
        raise ProblemError(problem("invalid_request", detail)) from error


def _validated(model: type[B], data: bytes) -> B:
    try:
        return model.model_validate(from_json(data, allow_inf_nan=False))
    except ValidationError as error:
        found = error.errors(include_input=False, include_url=False)
        items = {_item(detail, model): None for detail in found}
        detail = f"the body has {len(items)} problem{'s' if len(items) > 1 else ''}"
        raise ProblemError(problem("invalid_body", detail, errors=list(items))) from error
    except ValueError as error:
        raise ProblemError(_not_json(str(error))) from error


def _not_json(text: str) -> ProblemDetails:
    match = _PLACE.fullmatch(text)
    item = (
        ProblemItem(message=match[1], line=int(match[2]), column=int(match[3]))
        if match
        else ProblemItem(message=text)
    )
    return problem("invalid_json", f"the body is not JSON: {text}", errors=[item])


def _item(detail: ErrorDetails, model: type[BaseModel]) -> ProblemItem:
    """Return one of pydantic's findings with its JSON Pointer (RFC 6901)."""
    # The parts after `workflow` name the types that were tried, not places in the body.
    place = detail["loc"][:1] if detail["loc"][:1] == ("workflow",) else detail["loc"]
    pointer = "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in place)
    if place == ("workflow",):
        message = "the definition is an object or a text"
        return ProblemItem(message=message, code="wrong_type", pointer=pointer)
    unknown = detail["type"] == "extra_forbidden"
    close = get_close_matches(str(place[-1]), model.model_fields, n=1) if unknown else []
    return ProblemItem(
        message="unknown field" if unknown else detail["msg"].removeprefix("Value error, "),
        code="unknown_field" if unknown else detail["type"],
        pointer=pointer,
        suggestion=close[0] if close else "",
    )
