"""The API: which operation answers which request?"""

from importlib.metadata import version
from typing import Annotated, Any, Final

from fastapi import Path, Query, Request, Response

from segue_contracts.v1 import subjects
from segue_gateway.core import bodies
from segue_gateway.core.problems import ProblemError, problem
from segue_gateway.shell import openapi
from segue_gateway.shell.answers import handle_errors, problem_of, problem_response, result
from segue_gateway.shell.openapi import DescribedApi
from segue_gateway.shell.orchestrator import Orchestrator
from segue_gateway.shell.streams import Streams
from segue_shared.errors import SegueError
from segue_shared.ids import Ids

Run = Annotated[str, Path(description="The run's id.", examples=["01k9zq8w3h7d4f6m2n5p8r1s3t"])]
Limit = Annotated[int, Query(ge=1, le=500, description="How many runs to return.")]
Status = Annotated[str, Query(description="Only runs in this state; empty for all.")]

_SUMMARY: Final = "Start runs of durable workflows, follow them, stop them."


class Operations:
    """What the API can do."""

    def __init__(
        self, *, orchestrator: Orchestrator, streams: Streams, ids: Ids, namespace: str
    ) -> None:
        self._orchestrator = orchestrator
        self._streams = streams
        self._ids = ids
        self._namespace = namespace

    async def start_run(self, request: Request) -> Response:
        """Start a run, or return the one that the idempotency key started."""
        given = request.headers.get("idempotency-key")
        key = self._new_key() if given is None else bodies.idempotency_key(given)
        headers = {"Idempotency-Key": key}
        content_type = request.headers.get("content-type", "")
        start = bodies.start_run(await _body(request), content_type, key=key)
        try:
            accepted = await self._orchestrator.start_run(start.command)
        except SegueError as error:
            # With the key that was made for it, a start of unknown fate can be repeated safely.
            return problem_response(problem_of(error, prefix=start.pointer), headers)
        headers["Location"] = f"/v1/runs/{accepted.run}"
        if accepted.existing:
            headers["Idempotency-Replayed"] = "true"
        return result(accepted, status=200 if accepted.existing else 202, headers=headers)

    async def list_runs(self, limit: Limit = 50, status: Status = "") -> Response:
        """List the newest runs."""
        return result(await self._orchestrator.list_runs(limit=limit, status=status))

    async def get_run(self, run: Run) -> Response:
        """Tell where a run stands."""
        return result(await self._orchestrator.get_run(_known_form(run)))

    async def cancel_run(self, run: Run, request: Request) -> Response:
        """Ask for a run to stop; asking again changes nothing."""
        command = bodies.cancel_run(await _body(request), run=_known_form(run))
        accepted = await self._orchestrator.cancel_run(command)
        return result(accepted, status=200 if accepted.already_ended else 202)

    async def stream_run(self, run: Run, request: Request) -> Response:
        """Follow a run live as server-sent events."""
        # One gateway serves one namespace: a stream is of the run that `get_run` shows.
        query = dict(request.query_params) | {"namespace": self._namespace}
        last_event_id = request.headers.get("last-event-id")
        return await self._streams.open(_known_form(run), query=query, last_event_id=last_event_id)

    async def healthz(self) -> Response:
        """Tell whether the gateway can do its work."""
        if not self._orchestrator.reachable:
            return problem_response(problem("unavailable", "the broker is not reachable"))
        return Response(b'{"status":"ok"}', media_type="application/json")

    def _new_key(self) -> str:
        return f"gateway-{self._ids.unique()}{self._ids.unique()}"


def make_api(operations: Operations) -> DescribedApi:
    """Return the application with every operation."""
    api = DescribedApi(
        title="Segue",
        summary=_SUMMARY,
        version=version("segue-gateway"),
        docs_url=None,
        redoc_url=None,
    )
    _add_runs(api, operations)
    _add_run(api, operations)
    api.add_api_route(
        "/healthz",
        operations.healthz,
        operation_id="health",
        responses=openapi.HEALTHY | openapi.problems("unavailable"),
        tags=["health"],
    )
    handle_errors(api)
    return api


def _add_runs(api: DescribedApi, operations: Operations) -> None:
    refusals = openapi.problems(
        "invalid_request",
        "invalid_json",
        "invalid_definition",
        "invalid_body",
        "unsupported",
        "not_found",
        "conflict",
        "too_large",
        "unsupported_media_type",
        "unavailable",
    )
    api.add_api_route(
        "/v1/runs",
        operations.start_run,
        methods=["POST"],
        operation_id="startRun",
        status_code=202,
        responses=openapi.STARTED | refusals,
        openapi_extra={
            "parameters": [openapi.KEY_HEADER],
            "requestBody": openapi.START_BODY,
        },
        tags=["runs"],
    )
    api.add_api_route(
        "/v1/runs",
        operations.list_runs,
        operation_id="listRuns",
        responses=openapi.LISTED | openapi.problems("invalid_parameter", "unavailable"),
        tags=["runs"],
    )


def _add_run(api: DescribedApi, operations: Operations) -> None:
    missing = openapi.problems("not_found", "unavailable")
    of_run: dict[str, Any] = {"tags": ["runs"]}
    api.add_api_route(
        "/v1/runs/{run}",
        operations.get_run,
        operation_id="getRun",
        responses=openapi.FOUND | missing,
        **of_run,
    )
    api.add_api_route(
        "/v1/runs/{run}/cancel",
        operations.cancel_run,
        methods=["POST"],
        operation_id="cancelRun",
        status_code=202,
        responses=openapi.CANCELLED
        | missing
        | openapi.problems("invalid_json", "invalid_body", "too_large"),
        openapi_extra={"requestBody": openapi.CANCEL_BODY},
        **of_run,
    )
    api.add_api_route(
        "/v1/runs/{run}/stream",
        operations.stream_run,
        operation_id="streamRun",
        responses=openapi.STREAMED | missing | openapi.problems("invalid_request"),
        openapi_extra={"parameters": openapi.STREAM_PARAMETERS},
        **of_run,
    )


def _known_form(run: str) -> str:
    """Return a run id; what cannot be one is not found, and is never put into an address."""
    try:
        subjects.run_prefix("default", run)
    except subjects.SubjectError as error:
        raise ProblemError(problem("not_found", f"no run can be called so: {error}")) from error
    return run


async def _body(request: Request) -> bytes:
    """Read the body, but no more of it than may be."""
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > bodies.MAX_BODY:
            detail = f"a body has at most {bodies.MAX_BODY} bytes"
            raise ProblemError(problem("too_large", detail))
    return bytes(data)
