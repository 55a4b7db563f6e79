"""The conversation: what is a model told before its first word?"""

import re
from collections.abc import Mapping
from typing import Final

import msgspec

from segue_agents.core.job import Job
from segue_agents.core.reports import Report, is_report
from segue_contracts.v1.chat import ChatMessage, Role, Text

WHOLE_INPUT: Final = 32 * 1024
"""Bytes of JSON up to which the model sees a task's input as it is."""

_LONG_TEXT: Final = 2_000
_CUT_INPUT: Final = 64 * 1024
_PLACEHOLDER: Final = re.compile(r"\{([A-Za-z_][A-Za-z0-9_-]*)\}")


def opening(job: Job) -> list[ChatMessage]:
    """Return the messages that every conversation of the job begins with."""
    manifest, action = job.assignment.manifest, job.assignment.action
    asked = f"{rendered(action.prompt, job.input)}\n\nInput:\n```json\n{shown(job.input)}\n```"
    return [_message("system", manifest.system), _message("user", asked)]


def _message(role: Role, text: str) -> ChatMessage:
    return ChatMessage(role=role, parts=[Text(text=text.strip())])


def rendered(prompt: str, values: Mapping[str, object]) -> str:
    """Replace `{name}` by the input's field of that name; what is absent reads `not given`."""

    def value_of(match: re.Match[str]) -> str:
        value = values.get(match[1])
        if value is None:
            return "not given"
        return value if isinstance(value, str) else _json(value)

    return _PLACEHOLDER.sub(value_of, prompt)


def shown(values: Mapping[str, object]) -> str:
    """Return the input as JSON for the model; of a large one only the outline."""
    whole = _json(values)
    if len(whole.encode()) <= WHOLE_INPUT:
        return whole
    outline = _json(_outlined(values))
    if len(outline) <= _CUT_INPUT:
        return outline
    return _json({"outline": outline[:_CUT_INPUT], "note": "cut here; the input is longer"})


def _outlined(value: object) -> object:
    """Shorten long texts, and leave findings to the tools that read them."""
    if is_report(value):
        return _report_outline(value)
    if isinstance(value, Mapping):
        return {key: _outlined(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_outlined(inner) for inner in value]
    if isinstance(value, str) and len(value) > _LONG_TEXT:
        return f"{value[:_LONG_TEXT]}… ({len(value) - _LONG_TEXT} more characters)"
    return value


def _report_outline(report: Report) -> dict[str, object]:
    kept = {key: _outlined(value) for key, value in report.items() if key != "findings"}
    return {**kept, "findings": f"{len(report['findings'])} left to the tools"}


def _json(value: object) -> str:
    return msgspec.json.encode(value, order="sorted").decode()
