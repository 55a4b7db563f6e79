"""The edge of the gateway on fakes: who may speak to it, and how does it describe itself?"""

import json
from collections.abc import AsyncIterator
from typing import get_args

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # no types shipped
from unit.gateway.gateway_support import ACCEPTED, LISTED, RUN, VIEW, Stage, code_of, staged

from segue_contracts.envelope import encode
from segue_contracts.reply import RefusalCode
from segue_gateway.core.problems import KINDS, problem
from segue_gateway.settings import Settings, is_loopback
from segue_gateway.shell.local import names_loopback
from segue_shared.settings import InvalidSettingsError, load


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    """A running gateway."""
    async with staged() as stage:
        yield stage


def test_every_refusal_has_a_status_of_its_own_meaning() -> None:
    """A new refusal code cannot be forgotten here."""
    assert set(get_args(RefusalCode)) <= set(KINDS)
    assert all(400 <= kind.status < 600 for kind in KINDS.values())


def test_an_unknown_code_is_told_as_an_internal_problem() -> None:
    """A newer service may refuse for reasons that this gateway does not know."""
    assert problem("brand_new", "x").status == 500
    assert problem("brand_new", "x").code == "brand_new"


async def test_an_unknown_path_is_a_problem(stage: Stage) -> None:
    """Every answer that is no result is a problem."""
    assert code_of(await stage.http.get("/nothing"), 404) == "not_found"


async def test_a_wrong_method_is_a_problem(stage: Stage) -> None:
    """The answer names the methods that are allowed."""
    response = await stage.http.delete(f"/v1/runs/{RUN}")

    assert code_of(response, 405) == "method_not_allowed"
    assert response.headers["allow"] == "GET"


async def test_a_healthy_gateway_says_so(stage: Stage) -> None:
    """Health is the connection to the bus."""
    assert (await stage.http.get("/healthz")).json() == {"status": "ok"}


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("localhost", True),
        ("LOCALHOST", True),
        ("0.0.0.0", False),  # noqa: S104 - not bound
        ("::", False),
        ("", False),
        ("10.0.0.4", False),
        ("localhost.example", False),
    ],
)
def test_loopback_is_what_only_this_machine_reaches(host: str, *, loopback: bool) -> None:
    """Names and addresses of other interfaces are not loopback."""
    assert is_loopback(host) is loopback


@pytest.mark.parametrize(
    ("authority", "named"),
    [
        ("127.0.0.1:8080", True),
        ("localhost", True),
        ("[::1]:8080", True),
        ("evil.example:8080", False),
        ("127.0.0.1.evil.example", False),
        ("", False),
        ("[::1", False),
    ],
)
def test_a_host_header_names_loopback_or_not(authority: str, *, named: bool) -> None:
    """Ports and brackets are taken off first."""
    assert names_loopback(authority) is named


async def test_a_page_from_elsewhere_cannot_reach_a_local_gateway(stage: Stage) -> None:
    """A name that only resolves to this machine is not this machine's name (DNS rebinding)."""
    response = await stage.http.get("/v1/runs", headers={"host": "evil.example"})

    assert code_of(response, 421) == "misdirected"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.4"])  # noqa: S104 - not bound
def test_the_gateway_refuses_to_be_reached_from_elsewhere(
    monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    """Without a login it binds to loopback only, and says what to do."""
    monkeypatch.setenv("SEGUE_HTTP_HOST", host)

    with pytest.raises(InvalidSettingsError, match="SEGUE_GATEWAY_UNAUTHENTICATED=allow"):
        load(Settings)


async def test_the_operator_may_open_the_gateway_to_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What keeps strangers out is somebody else's task then, and any host name is answered."""
    monkeypatch.setenv("SEGUE_HTTP_HOST", "0.0.0.0")  # noqa: S104 - not bound
    monkeypatch.setenv("SEGUE_GATEWAY_UNAUTHENTICATED", "allow")
    load(Settings)

    async with staged(http_host="0.0.0.0", gateway_unauthenticated="allow") as stage:  # noqa: S104 - not bound
        response = await stage.http.get("/v1/runs", headers={"host": "segue.example"})

    assert response.status_code == 200


async def test_the_description_is_openapi_3_1_with_named_operations(stage: Stage) -> None:
    """Generated clients get names that do not change with the code."""
    document = (await stage.http.get("/openapi.json")).json()

    assert document["openapi"].startswith("3.1.")
    operations = [item for path in document["paths"].values() for item in path.values()]
    assert {operation["operationId"] for operation in operations} == {
        "startRun",
        "listRuns",
        "getRun",
        "cancelRun",
        "streamRun",
        "health",
    }


async def test_every_operation_describes_its_problems(stage: Stage) -> None:
    """No answer is left to be found out, and none is the framework's own."""
    document = (await stage.http.get("/openapi.json")).json()

    for path in document["paths"].values():
        for operation in path.values():
            refusals = {s: r for s, r in operation["responses"].items() if s >= "400"}
            assert "503" in refusals
            assert all("application/problem+json" in r["content"] for r in refusals.values())
    assert "HTTPValidationError" not in json.dumps(document)


async def test_every_reference_and_example_of_the_description_holds(stage: Stage) -> None:
    """Examples are valid by the schemas beside them, so they cannot drift."""
    document = (await stage.http.get("/openapi.json")).json()
    checked = 0
    for path in document["paths"].values():
        for operation in path.values():
            bodies = [operation.get("requestBody", {}), *operation["responses"].values()]
            for content in (item for body in bodies for item in body.get("content", {}).values()):
                schema = content["schema"] | {"components": document["components"]}
                examples = [item["value"] for item in content.get("examples", {}).values()]
                for example in [*examples, *filter(None, [content.get("example")])]:
                    Draft202012Validator(schema).validate(example)
                    checked += 1
    assert checked > 20


@pytest.mark.parametrize("result", [ACCEPTED, VIEW, LISTED])
async def test_results_are_as_described(stage: Stage, result: object) -> None:
    """The schema of a result is that of the message which is sent."""
    document = (await stage.http.get("/openapi.json")).json()
    name = type(result).__name__
    schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}

    Draft202012Validator(schema).validate(json.loads(encode(result)))
