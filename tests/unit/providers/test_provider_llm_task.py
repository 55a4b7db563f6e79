"""Does an LLM step become the request it means, and an answer the step's output?"""

import pytest
from msgspec import UNSET, structs
from unit.providers.provider_support import RUN, a_response, a_task, said

from segue_contracts.reply import Refused
from segue_contracts.v1.chat import ChatRequest, OutputFormat, OutputOptions, Stop, StopReason
from segue_contracts.v1.values import Failure
from segue_providers.core.llm_task import TaskError, failure_of, output_of, request_of

JSON = ChatRequest(messages=[], output=OutputOptions(format=OutputFormat(type="json")))
TEXT = ChatRequest(messages=[])


def test_a_prompt_alone_is_a_request() -> None:
    """The request names its run, step and attempt, and streams."""
    task = a_task(deadline_ms=99)
    request = request_of(task, {"prompt": "Hello", "code": "a template's own value"})

    assert request.messages == [said("Hello")]
    assert (request.id, request.run, request.step) == (f"{RUN}:Sum up:1:1", RUN, "Sum up")
    assert (request.attempt, request.deadline_ms, request.stream.on) == (1, 99, True)
    assert (request.model, request.route.order) == ("", [])
    assert request.output == OutputOptions()
    assert request.sampling.temperature is UNSET


def test_every_field_has_its_place() -> None:
    """System prompt, model, provider, limits and form are carried over."""
    given = {
        "prompt": "Hello",
        "system": "Be brief.",
        "model": "opus",
        "provider": "claude",
        "maxTokens": 50,
        "temperature": 0.2,
        "responseType": "json",
    }
    request = request_of(a_task(), given)

    assert request.messages == [said("Be brief.", "system"), said("Hello")]
    assert (request.model, request.route.order) == ("opus", ["claude"])
    assert (request.output.max_tokens, request.output.format.type) == (50, "json")
    assert request.sampling.temperature == 0.2


def test_the_tasks_own_preference_goes_first() -> None:
    """What the step says beside its `with` wins."""
    task = a_task(provider="gemini", model="pro")
    request = request_of(task, {"prompt": "x", "model": "opus", "provider": "claude"})

    assert (request.model, request.route.order) == ("pro", ["gemini"])


def test_a_prompt_that_is_data_is_sent_as_json() -> None:
    """A whole expression may give a list or an object."""
    assert request_of(a_task(), {"prompt": {"a": [1]}}).messages == [said('{"a":[1]}')]


def test_a_schema_as_response_type_asks_for_its_form() -> None:
    """A mapping is a JSON Schema."""
    schema = {"type": "object"}
    form = request_of(a_task(), {"prompt": "x", "responseType": schema}).output.format

    assert (form.type, form.json_schema) == ("json_schema", schema)


@pytest.mark.parametrize(
    ("given", "place"),
    [
        (None, "the input of an llm step is an object with `prompt`"),
        ("text", "the input of an llm step is an object with `prompt`"),
        ({}, "`prompt` is missing"),
        ({"prompt": ""}, "`prompt` is missing"),
        ({"prompt": "x", "system": 3}, "`system` is text"),
        ({"prompt": "x", "model": []}, "`model` is text"),
        ({"prompt": "x", "temperature": "hot"}, "`temperature` is a number"),
        ({"prompt": "x", "temperature": True}, "`temperature` is a number"),
        ({"prompt": "x", "maxTokens": 0}, "`maxTokens` is a whole number from 1"),
        ({"prompt": "x", "maxTokens": 1.5}, "`maxTokens` is a whole number from 1"),
        ({"prompt": "x", "responseType": "xml"}, "`responseType` is `text`, `json` or a JSON"),
        ({"prompt": "x", "responseType": 1}, "`responseType` is `text`, `json` or a JSON"),
    ],
)
def test_a_wrong_field_is_named(given: object, place: str) -> None:
    """The error says which step and which field, and what would be right."""
    with pytest.raises(TaskError, match=f"^step 'Sum up': {place}"):
        request_of(a_task(), given)


@pytest.mark.parametrize("name", ["", None, "text", "string"])
def test_text_is_the_usual_form(name: object) -> None:
    """Nothing and its names all mean text."""
    assert request_of(a_task(), {"prompt": "x", "responseType": name}).output.format.type == "text"


def test_a_text_answer_is_the_output() -> None:
    """Templates see the words themselves."""
    assert output_of(TEXT, a_response(text="words")).value == "words"


def test_a_json_answer_is_its_value() -> None:
    """Templates reach into the object."""
    assert output_of(JSON, a_response(text='{"a": 1}')).value == {"a": 1}


@pytest.mark.parametrize(
    ("request_", "text", "reason", "code", "again"),
    [
        (JSON, "no json", "end", "malformed_output", True),
        (JSON, '{"a"', "max_tokens", "truncated_output", False),
        (TEXT, "", "refusal", "refused", False),
        (TEXT, "", "content_filter", "refused", False),
    ],
)
def test_an_answer_that_is_none_fails_the_step(
    request_: ChatRequest, text: str, reason: StopReason, code: str, *, again: bool
) -> None:
    """The failure says whether another attempt could help."""
    response = structs.replace(a_response(text=text), stop=Stop(reason=reason))
    failure = output_of(request_, response).failure

    assert failure is not None
    assert (failure.code, failure.retryable) == (code, again)


def test_a_cut_text_is_still_a_text() -> None:
    """Only JSON is worthless when it is cut."""
    response = structs.replace(a_response(text="half"), stop=Stop(reason="max_tokens"))

    assert output_of(TEXT, response).value == "half"


def test_a_refusal_becomes_the_steps_failure() -> None:
    """The router's reason is the failure's code; without one the refusal's code is."""
    plain = Refused(code="provider_failed", message="m", retryable=True)
    typed = Refused(code="provider_failed", message="m", details={"reason": "no_provider"})

    assert failure_of(plain) == Failure(code="provider_failed", message="m")
    assert failure_of(typed) == Failure(
        code="no_provider", message="m", retryable=False, details={"reason": "no_provider"}
    )
