"""Runs over HTTP on fakes: which command follows from a request, and what is answered?"""

import json
from collections.abc import AsyncIterator

import msgspec
import pytest
from unit.gateway.gateway_support import ACCEPTED, RUN, Stage, code_of, staged

from segue_contracts.reply import Problem, Refused
from segue_contracts.v1.commands import CancelAccepted, CancelRun, GetRun, ListRuns, StartRun
from segue_shared.errors import (
    BusUnavailableError,
    InvalidMessageError,
    RefusedError,
    TimedOutError,
    TooLargeError,
)

TEXT = "name: review\nsteps: []\n"
WORKFLOW = {"name": "review", "steps": [{"key": "scan", "agent": "reviewer"}]}
YAML = {"content-type": "text/yaml"}


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    """A running gateway."""
    async with staged() as stage:
        yield stage


def started(stage: Stage) -> StartRun:
    """The start that was sent."""
    assert isinstance(stage.command, StartRun)
    return stage.command


async def test_a_start_is_accepted_with_the_place_of_its_run(stage: Stage) -> None:
    """The answer says where the run is and from where to follow it."""
    response = await stage.http.post("/v1/runs", json={"workflow": TEXT})

    assert response.status_code == 202
    assert response.headers["location"] == f"/v1/runs/{RUN}"
    assert response.json() == {
        "run": RUN,
        "workflow": "review",
        "definition": "d" * 64,
        "cursor": "e1-41",
    }
    assert stage.bus.asked[-1][0] == "segue.v1.default.cmd.orchestrator.start_run"


async def test_everything_in_the_body_reaches_the_orchestrator(stage: Stage) -> None:
    """Text, file name, inputs and labels are passed on as they are."""
    body = {"workflow": TEXT, "file": "a.yaml", "inputs": {"n": [1]}, "labels": {"team": "x"}}

    await stage.http.post("/v1/runs", json=body, headers={"idempotency-key": "k-1"})

    assert stage.command == StartRun(
        text=TEXT, file="a.yaml", inputs={"n": [1]}, labels={"team": "x"}, key="k-1"
    )


async def test_a_definition_may_be_an_object(stage: Stage) -> None:
    """An object is the definition itself, not a text to be quoted."""
    await stage.http.post("/v1/runs", json={"workflow": WORKFLOW})

    assert json.loads(started(stage).text) == WORKFLOW


async def test_a_stored_definition_is_started_by_its_hash(stage: Stage) -> None:
    """`definition` takes the place of `workflow`."""
    await stage.http.post("/v1/runs", json={"definition": "abc"})

    assert (started(stage).definition, started(stage).text) == ("abc", "")


@pytest.mark.parametrize("media", ["text/yaml", "application/yaml; charset=utf-8"])
async def test_a_yaml_body_is_the_definition(stage: Stage, media: str) -> None:
    """A file can be sent as it is."""
    response = await stage.http.post("/v1/runs", content=TEXT, headers={"content-type": media})

    assert response.status_code == 202
    assert started(stage).text == TEXT


async def test_without_a_key_the_gateway_makes_one_and_tells_it(stage: Stage) -> None:
    """A start whose answer was lost can be repeated, because every start has a key."""
    first = await stage.http.post("/v1/runs", json={"workflow": TEXT})
    key = started(stage).key
    await stage.http.post("/v1/runs", json={"workflow": TEXT})

    assert first.headers["idempotency-key"] == key
    assert started(stage).key != key


async def test_a_key_in_quotes_is_the_same_key(stage: Stage) -> None:
    """The header may be a structured field string."""
    await stage.http.post("/v1/runs", json={"workflow": TEXT}, headers={"idempotency-key": '"k-1"'})

    assert started(stage).key == "k-1"


@pytest.mark.parametrize("key", ["", '""', "two words", "k" * 256])
async def test_a_bad_key_is_refused(stage: Stage, key: str) -> None:
    """A key that would be cut or changed on its way starts nothing."""
    response = await stage.http.post(
        "/v1/runs", json={"workflow": TEXT}, headers={"idempotency-key": key}
    )

    assert code_of(response, 400) == "invalid_request"
    assert stage.bus.asked == []


async def test_a_repeated_start_is_answered_with_the_first_run(stage: Stage) -> None:
    """The same key is no new run and no error."""
    stage.bus.answer("start_run", msgspec.structs.replace(ACCEPTED, existing=True))

    response = await stage.http.post("/v1/runs", json={"workflow": TEXT})

    assert response.status_code == 200
    assert response.headers["idempotency-replayed"] == "true"
    assert response.headers["location"] == f"/v1/runs/{RUN}"


async def test_a_key_of_another_run_is_a_conflict(stage: Stage) -> None:
    """The problem says which run the key stands for."""
    stage.bus.answer(
        "start_run",
        RefusedError(Refused(code="conflict", message="taken", details={"run": RUN})),
    )

    response = await stage.http.post("/v1/runs", json={"workflow": TEXT})

    assert code_of(response, 409) == "conflict"
    assert response.json()["details"] == {"run": RUN}


PROBLEM = Problem(
    message="unknown field",
    code="unknown_field",
    pointer="/steps/0/agnt",
    file="a.yaml",
    line=3,
    column=5,
    suggestion="agent",
)


async def test_the_problems_of_a_text_carry_their_lines(stage: Stage) -> None:
    """All problems of a definition are told at once, where they are in the file."""
    refused = Refused(code="invalid_definition", message="2 problems", problems=[PROBLEM, PROBLEM])
    stage.bus.answer("start_run", RefusedError(refused))

    response = await stage.http.post("/v1/runs", content=TEXT, headers=YAML)

    assert code_of(response, 422) == "invalid_definition"
    assert response.json()["errors"] == [msgspec.to_builtins(PROBLEM)] * 2


async def test_the_problems_of_an_object_carry_pointers_into_the_body(stage: Stage) -> None:
    """Lines of a text that the caller never wrote are left out."""
    refused = Refused(code="invalid_definition", message="1 problem", problems=[PROBLEM])
    stage.bus.answer("start_run", RefusedError(refused))

    response = await stage.http.post("/v1/runs", json={"workflow": WORKFLOW})

    [item] = response.json()["errors"]
    assert item == {
        "message": "unknown field",
        "code": "unknown_field",
        "pointer": "/workflow/steps/0/agnt",
        "suggestion": "agent",
    }


async def test_a_body_that_is_not_json_is_told_where(stage: Stage) -> None:
    """Line and column of the first thing that cannot be read."""
    response = await stage.http.post(
        "/v1/runs", content='{\n "workflow": }', headers={"content-type": "application/json"}
    )

    assert code_of(response, 400) == "invalid_json"
    [item] = response.json()["errors"]
    assert (item["line"], item["column"]) == (2, 14)


@pytest.mark.parametrize(
    ("body", "item"),
    [
        ({}, {"message": "give either 'workflow' or 'definition'"}),
        ({"workflow": "x", "definition": "y"}, {"message": "give either"}),
        ({"workflow": 7}, {"pointer": "/workflow", "code": "wrong_type"}),
        ({"workflow": "x", "inputs": []}, {"pointer": "/inputs", "code": "dict_type"}),
        ({"workflow": "x", "labels": {"a/b": 1}}, {"pointer": "/labels/a~1b"}),
        (
            {"workflow": "x", "input": {}},
            {"pointer": "/input", "code": "unknown_field", "suggestion": "inputs"},
        ),
        ({"workflow": "x", "zzz": 1}, {"pointer": "/zzz", "message": "unknown field"}),
        ([], {"code": "model_type"}),
    ],
)
async def test_a_body_of_another_form_is_told_what_is_wrong(
    stage: Stage, body: object, item: dict[str, str]
) -> None:
    """Each problem names its place, and a close name when there is one."""
    response = await stage.http.post("/v1/runs", json=body)

    assert code_of(response, 422) == "invalid_body"
    [found] = response.json()["errors"]
    assert all(found[name].startswith(text) for name, text in item.items())
    assert stage.bus.asked == []


async def test_all_problems_of_a_body_are_told_at_once(stage: Stage) -> None:
    """Nobody has to mend a body one problem at a time."""
    response = await stage.http.post("/v1/runs", json={"workflow": 7, "inputs": 8, "file": 9})

    assert len(response.json()["errors"]) == 3
    assert "3 problems" in response.json()["detail"]


@pytest.mark.parametrize("media", ["text/plain", ""])
async def test_a_body_of_another_type_is_refused(stage: Stage, media: str) -> None:
    """A form or a plain text, which a foreign page could send, starts nothing."""
    response = await stage.http.post("/v1/runs", content=TEXT, headers={"content-type": media})

    assert code_of(response, 415) == "unsupported_media_type"


async def test_a_body_that_is_not_utf8_is_refused(stage: Stage) -> None:
    """The problem names the byte."""
    response = await stage.http.post("/v1/runs", content=b"name: \xff", headers=YAML)

    assert code_of(response, 400) == "invalid_request"
    assert "byte 6" in response.json()["detail"]


async def test_deeply_nested_json_is_refused(stage: Stage) -> None:
    """A body cannot exhaust the parser."""
    response = await stage.http.post(
        "/v1/runs", content="[" * 100_000, headers={"content-type": "application/json"}
    )

    assert code_of(response, 400) == "invalid_json"


async def test_a_body_over_a_mebibyte_is_refused(stage: Stage) -> None:
    """No more of it is read than may be, however it is sent."""
    read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        while True:
            read += 1
            yield b"x" * 65_536

    response = await stage.http.post("/v1/runs", content=endless(), headers=YAML)

    assert code_of(response, 413) == "too_large"
    assert read <= 18


async def test_a_run_is_shown_as_the_orchestrator_sees_it(stage: Stage) -> None:
    """The view travels unchanged."""
    response = await stage.http.get(f"/v1/runs/{RUN}")

    assert response.status_code == 200
    assert response.json()["status"] == "running"
    assert response.json()["startedMs"] == 1
    assert stage.command == GetRun(run=RUN)


async def test_an_unknown_run_is_not_found(stage: Stage) -> None:
    """The refusal keeps its code and sentence."""
    stage.bus.answer("get_run", RefusedError(Refused(code="not_found", message="no such run")))

    response = await stage.http.get(f"/v1/runs/{RUN}")

    assert code_of(response, 404) == "not_found"
    assert response.json()["detail"] == "no such run"


@pytest.mark.parametrize("path", ["/v1/runs/.%2E", "/v1/runs/UPPERCASE", "/v1/runs/x/cancel"])
async def test_what_cannot_be_a_run_is_not_found(stage: Stage, path: str) -> None:
    """A run id that could be something else in an address is never passed on."""
    method = "POST" if path.endswith("cancel") else "GET"

    assert code_of(await stage.http.request(method, path), 404) == "not_found"
    assert stage.bus.asked == []


async def test_runs_are_listed(stage: Stage) -> None:
    """Limit and state are passed on."""
    response = await stage.http.get("/v1/runs?limit=7&status=failed")

    assert response.json()["runs"][0]["run"] == RUN
    assert stage.command == ListRuns(limit=7, status="failed")


async def test_a_bad_limit_is_refused(stage: Stage) -> None:
    """The problem names the parameter."""
    response = await stage.http.get("/v1/runs?limit=501")

    assert code_of(response, 422) == "invalid_parameter"
    assert response.json()["errors"][0]["message"].startswith("limit: ")


async def test_a_run_is_cancelled_with_a_reason(stage: Stage) -> None:
    """The reason is passed on."""
    response = await stage.http.post(f"/v1/runs/{RUN}/cancel", json={"reason": "enough"})

    assert response.status_code == 202
    assert stage.command == CancelRun(run=RUN, reason="enough")


async def test_a_run_is_cancelled_without_a_body(stage: Stage) -> None:
    """A reason may be left out."""
    assert (await stage.http.post(f"/v1/runs/{RUN}/cancel")).status_code == 202
    assert stage.command == CancelRun(run=RUN)


async def test_cancelling_what_is_over_changes_nothing(stage: Stage) -> None:
    """The answer tells it apart from a run that will stop."""
    stage.bus.answer("cancel_run", CancelAccepted(run=RUN, already_ended=True))

    response = await stage.http.post(f"/v1/runs/{RUN}/cancel")

    assert response.status_code == 200
    assert response.json()["alreadyEnded"] is True


@pytest.mark.parametrize("error", [BusUnavailableError("nobody"), TimedOutError("late")])
async def test_an_orchestrator_that_does_not_answer_is_unavailable(
    stage: Stage, error: Exception
) -> None:
    """The caller is told when to come back, and with which key."""
    stage.bus.answer("start_run", error)

    response = await stage.http.post("/v1/runs", json={"workflow": TEXT})

    assert code_of(response, 503) == "unavailable"
    assert response.headers["retry-after"] == "1"
    assert response.headers["idempotency-key"] == started(stage).key


async def test_a_broker_that_is_away_is_told_at_once(stage: Stage) -> None:
    """No request waits for a connection that is known to be down."""
    stage.bus.connected = False

    assert code_of(await stage.http.get("/v1/runs"), 503) == "unavailable"
    assert code_of(await stage.http.get("/healthz"), 503) == "unavailable"
    assert stage.bus.asked == []


async def test_a_start_too_large_for_the_broker_is_told_so(stage: Stage) -> None:
    """The broker's limit may be smaller than the gateway's."""
    stage.bus.answer("start_run", TooLargeError("over max_payload"))

    response = await stage.http.post("/v1/runs", json={"workflow": TEXT})

    assert code_of(response, 413) == "too_large"


@pytest.mark.parametrize("error", [InvalidMessageError("secret"), RuntimeError("secret")])
async def test_what_nobody_expected_tells_no_secrets(stage: Stage, error: Exception) -> None:
    """The log knows more than the answer."""
    stage.bus.answer("get_run", error)

    response = await stage.http.get(f"/v1/runs/{RUN}")

    assert code_of(response, 500) == "internal"
    assert "secret" not in response.text
