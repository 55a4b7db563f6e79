"""LLM steps: how does a step's `with` become a request, and an answer the step's output?"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

import msgspec
from msgspec import UNSET, UnsetType

from segue_contracts.reply import Refused
from segue_contracts.v1.chat import (
    ChatMessage,
    ChatRequest,
    ChatResponse,
    OutputFormat,
    OutputOptions,
    Role,
    RouteOptions,
    Sampling,
    StreamOptions,
    Text,
)
from segue_contracts.v1.steps import StepScheduled
from segue_contracts.v1.values import Failure

NO_PROVIDER: Final = "no_provider"
"""Refusal detail and failure code: nothing is configured that could answer."""
_FORMATS: Final[Mapping[str, Literal["text", "json"]]] = {
    "text": "text",
    "string": "text",
    "markdown": "text",
    "json": "json",
    "json_object": "json",
    "object": "json",
}


class TaskError(ValueError):
    """The step's input cannot be made a request; the message names the field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """What an answer is for the step: its output, or why it has none."""

    value: object = None
    failure: Failure | None = None


def request_of(task: StepScheduled, given: object) -> ChatRequest:
    """Make the request of an LLM step.

    Args:
        task: The step.
        given: Its rendered `with`.

    Raises:
        TaskError: A field is missing or has the wrong form.
    """
    if not isinstance(given, dict):
        raise TaskError(f"step {task.step!r}: the input of an llm step is an object with `prompt`")
    read = _Fields(task.step, given)
    provider = task.provider or read.text("provider")
    return ChatRequest(
        id=f"{task.run}:{task.step}:{task.attempt}:1",
        run=task.run,
        step=task.step,
        attempt=task.attempt,
        model=task.model or read.text("model"),
        deadline_ms=task.deadline_ms,
        allowances=task.allowances,
        messages=_messages(read),
        output=OutputOptions(max_tokens=read.whole_number("maxTokens"), format=_format(read)),
        sampling=Sampling(temperature=read.number("temperature")),
        stream=StreamOptions(on=True),
        route=RouteOptions(order=[provider] if provider else []),
    )


def output_of(request: ChatRequest, response: ChatResponse) -> Output:
    """Return a step's output: the text, or the value when JSON was asked for."""
    if response.stop.reason in {"refusal", "content_filter"}:
        why = response.stop.explanation or "no reason given"
        return _failed("refused", f"{response.provider} declined to answer: {why}", again=False)
    text = "".join(part.text for part in response.message.parts if isinstance(part, Text))
    if request.output.format.type == "text":
        return Output(value=text)
    if response.stop.reason == "max_tokens":
        return _failed("truncated_output", "the JSON answer was cut at maxTokens", again=False)
    try:
        return Output(value=msgspec.json.decode(text))
    except ValueError:
        return _failed("malformed_output", f"{response.provider} answered with no JSON", again=True)


def failure_of(refused: Refused) -> Failure:
    """Return a step's failure for the router's refusal."""
    code = refused.details.get("reason", refused.code)
    return Failure(
        code=code, message=refused.message, retryable=refused.retryable, details=refused.details
    )


def _failed(code: str, message: str, *, again: bool) -> Output:
    return Output(failure=Failure(code=code, message=message, retryable=again))


class _Fields:
    """A step's `with`, read field by field with errors that name the field."""

    def __init__(self, step: str, given: Mapping[str, object]) -> None:
        self._step = step
        self._given = given

    def get(self, name: str) -> object:
        return self._given.get(name)

    def error(self, name: str, form: str) -> TaskError:
        return TaskError(f"step {self._step!r}: `{name}` {form}")

    def text(self, name: str) -> str:
        value = self._given.get(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise self.error(name, "is text")
        return value

    def number(self, name: str) -> float | UnsetType:
        value = self._given.get(name)
        if value is None:
            return UNSET
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.error(name, "is a number")
        return value

    def whole_number(self, name: str) -> int | UnsetType:
        value = self.number(name)
        if isinstance(value, UnsetType):
            return UNSET
        if not isinstance(value, int) or value < 1:
            raise self.error(name, "is a whole number from 1")
        return value


def _messages(read: _Fields) -> list[ChatMessage]:
    prompt, system = read.get("prompt"), read.text("system")
    if prompt is None or prompt == "":
        raise read.error("prompt", "is missing; it is what the model is asked")
    asked = prompt if isinstance(prompt, str) else msgspec.json.encode(prompt).decode()
    user = _message("user", asked)
    return [_message("system", system), user] if system else [user]


def _message(role: Role, text: str) -> ChatMessage:
    return ChatMessage(role=role, parts=[Text(text=text)])


def _format(read: _Fields) -> OutputFormat:
    """Read `responseType`: `text`, `json`, or a JSON Schema that the answer shall satisfy."""
    wanted = read.get("responseType")
    if isinstance(wanted, dict) and wanted:
        return OutputFormat(type="json_schema", name="answer", json_schema=wanted)
    name = "text" if wanted is None or wanted == "" else wanted
    if not isinstance(name, str) or name not in _FORMATS:
        raise read.error("responseType", "is `text`, `json` or a JSON Schema")
    return OutputFormat(type=_FORMATS[name])
