"""OpenAPI: how does the API describe itself?

Results are described by the types that travel on the bus, so that the description cannot drift.
"""

from typing import Any, Final

import msgspec
from fastapi import FastAPI
from pydantic.json_schema import models_json_schema

from segue_contracts.v1.commands import CancelAccepted, RunAccepted, RunList
from segue_contracts.v1.runs import RunView
from segue_gateway.core.bodies import CancelRunBody, StartRunBody
from segue_gateway.core.problems import CONTENT_TYPE, KINDS, ProblemDetails, problem

Json = dict[str, Any]

_REF: Final = "#/components/schemas/"
_RESULTS: Final = (RunAccepted, RunView, RunList, CancelAccepted)
_BODIES: Final = (StartRunBody, CancelRunBody, ProblemDetails)

_RUN: Final = "01k9zq8w3h7d4f6m2n5p8r1s3t"
_DEFINITION: Final = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
_ACCEPTED: Final = {
    "run": _RUN,
    "workflow": "review",
    "definition": _DEFINITION,
    "cursor": "4f1c09a7be-1041",
}
_WORKFLOW: Final = {
    "name": "review",
    "steps": [{"key": "scan", "agent": "reviewer", "with": {"repository": "{{ inputs.path }}"}}],
}
_YAML: Final = "name: review\nsteps:\n  - key: scan\n    agent: reviewer\n"
_STREAM: Final = (
    "retry: 1402\n\nid: 4f1c09a7be-1042\nevent: segue.run.started.v1\n"
    'data: {"specversion":"1.0","type":"segue.run.started.v1","data":{}}\n\n'
)

KEY_HEADER: Final[Json] = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "The same key returns the same run, for ever; generated when absent.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
    "example": "order-4711",
}
_KEY_USED: Final = {
    "Idempotency-Key": {"description": "The key that was used.", "schema": {"type": "string"}}
}
_LOCATION: Final = {"Location": {"description": "Where the run is.", "schema": {"type": "string"}}}
_REPLAYED: Final = {
    "Idempotency-Replayed": {
        "description": "`true`: the key had started this run before.",
        "schema": {"type": "string", "enum": ["true"]},
    }
}


class DescribedApi(FastAPI):
    """An application whose description knows the bodies and results."""

    def openapi(self) -> Json:
        """Return the OpenAPI 3.1 document."""
        if self.openapi_schema is None:
            document = super().openapi()
            document.setdefault("components", {})["schemas"] = schemas()
            _drop_foreign_problems(document)
            self.openapi_schema = document
        return self.openapi_schema


def _drop_foreign_problems(document: Json) -> None:
    """Remove the framework's own form of a 422, which never leaves this gateway."""
    for path in document["paths"].values():
        for operation in path.values():
            found = operation["responses"].get("422", {})
            if CONTENT_TYPE not in found.get("content", {CONTENT_TYPE: {}}):
                del operation["responses"]["422"]


def schemas() -> Json:
    """Return the JSON Schema of every body and result."""
    _, results = msgspec.json.schema_components(_RESULTS, ref_template=_REF + "{name}")
    _, bodies = models_json_schema(
        [(model, "validation") for model in _BODIES], ref_template=_REF + "{model}"
    )
    return dict(sorted((results | bodies["$defs"]).items()))


def problems(*codes: str) -> dict[int | str, Json]:
    """Describe the problems that an operation can answer with."""
    described: dict[int | str, Json] = {}
    for code in codes:
        kind = KINDS[code]
        entry = described.setdefault(
            kind.status, {"description": kind.title, "content": {CONTENT_TYPE: _problem_content()}}
        )
        example = problem(code, kind.title).model_dump(exclude_defaults=True)
        entry["content"][CONTENT_TYPE]["examples"][code] = {"value": example}
    return described


def _problem_content() -> Json:
    return {"schema": {"$ref": f"{_REF}ProblemDetails"}, "examples": {}}


def _content(name: str, example: Json) -> Json:
    return {"application/json": {"schema": {"$ref": f"{_REF}{name}"}, "example": example}}


STARTED: Final[dict[int | str, Json]] = {
    202: {
        "description": "The run was accepted.",
        "headers": _LOCATION | _KEY_USED,
        "content": _content("RunAccepted", _ACCEPTED),
    },
    200: {
        "description": "The key had started this run before.",
        "headers": _LOCATION | _KEY_USED | _REPLAYED,
        "content": _content("RunAccepted", _ACCEPTED | {"existing": True}),
    },
}
START_BODY: Final[Json] = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {"$ref": f"{_REF}StartRunBody"},
            "example": {"workflow": _WORKFLOW, "inputs": {"path": "."}},
        },
        "text/yaml": {"schema": {"type": "string"}, "example": _YAML},
    },
}
LISTED: Final[dict[int | str, Json]] = {
    200: {
        "description": "The newest runs, newest first.",
        "content": _content(
            "RunList",
            {
                "runs": [
                    {
                        "run": _RUN,
                        "workflow": "review",
                        "status": "running",
                        "startedMs": 1795255200000,
                    }
                ]
            },
        ),
    }
}
FOUND: Final[dict[int | str, Json]] = {
    200: {
        "description": "Where the run stands.",
        "content": _content(
            "RunView",
            {
                "run": _RUN,
                "namespace": "default",
                "workflow": "review",
                "definition": _DEFINITION,
                "status": "running",
                "startedMs": 1795255200000,
                "cursor": "4f1c09a7be-1044",
            },
        ),
    }
}
CANCELLED: Final[dict[int | str, Json]] = {
    202: {
        "description": "The run will stop.",
        "content": _content("CancelAccepted", {"run": _RUN}),
    },
    200: {
        "description": "The run was over before.",
        "content": _content("CancelAccepted", {"run": _RUN, "alreadyEnded": True}),
    },
}
CANCEL_BODY: Final[Json] = {
    "required": False,
    "content": {
        "application/json": {
            "schema": {"$ref": f"{_REF}CancelRunBody"},
            "example": {"reason": "not needed any more"},
        }
    },
}
STREAMED: Final[dict[int | str, Json]] = {
    200: {
        "description": "Server-sent events: every event of the run, history first, then live.",
        "content": {"text/event-stream": {"schema": {"type": "string"}, "example": _STREAM}},
    }
}
STREAM_PARAMETERS: Final[list[Json]] = [
    {
        "name": "Last-Event-ID",
        "in": "header",
        "description": "The cursor of the last event seen; counts more than `after`.",
        "schema": {"type": "string"},
        "example": "4f1c09a7be-1042",
    },
    {
        "name": "after",
        "in": "query",
        "description": "The cursor of the last event seen.",
        "schema": {"type": "string"},
        "example": "4f1c09a7be-1042",
    },
    {
        "name": "deltas",
        "in": "query",
        "description": "Whether ephemeral progress is wanted too.",
        "schema": {"type": "boolean", "default": True},
    },
]
HEALTHY: Final[dict[int | str, Json]] = {
    200: {
        "description": "The gateway reaches the bus.",
        "content": {
            "application/json": {
                "schema": {"type": "object", "properties": {"status": {"const": "ok"}}},
                "example": {"status": "ok"},
            }
        },
    }
}
