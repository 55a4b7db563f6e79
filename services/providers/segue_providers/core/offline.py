"""The stand-in: what can be answered honestly when no model can be called?

It is deterministic and says what it is: it calls the tools it is offered, and what it writes is
extracted from their answers and from the request.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from segue_contracts.v1.chat import (
    ChatMessage,
    ChatRequest,
    ChatResponse,
    Cost,
    Part,
    Stop,
    StopReason,
    Text,
    ToolResult,
)
from segue_providers.core.conversation import Plan, asked, plan, results, unread_media
from segue_providers.core.extract import Material, facts, parse_json, sentences
from segue_providers.core.findings import Report, report_of, reports_in, total
from segue_providers.core.markdown import (
    MAX_FACTS,
    code,
    document,
    fact_list,
    prose,
    quoted,
    report_blocks,
    severity_table,
)
from segue_providers.core.shape import Shaper, allows_text
from segue_providers.core.usage import CHARS_PER_TOKEN, estimate

NAME: Final = "offline"
MODEL: Final = "offline-extractive-1"
CAPABILITIES: Final = frozenset({"tools", "parallel_tools", "json", "json_schema", "streaming"})
LABEL: Final = "> No model was called: this is extracted from the input by the offline stand-in."
_MAX_SENTENCES: Final = 6
_CHUNK: Final = 160

Blocks = list[list[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Draft:
    """An answer before it is dressed as a response."""

    parts: tuple[Part, ...]
    reason: StopReason = "end"
    warnings: tuple[str, ...] = ()


def answer(request: ChatRequest) -> ChatResponse:
    """Answer a request without any model; equal requests get equal answers."""
    material = asked(request)
    draft = _draft(request, material, plan(request, material))
    message = ChatMessage(role="assistant", parts=list(draft.parts))
    return ChatResponse(
        provider=NAME,
        message=message,
        stop=Stop(reason=draft.reason),
        id=request.id,
        model_requested=request.model,
        model_served=MODEL,
        usage=estimate(request, message),
        cost=Cost(usd="0"),
        warnings=[*draft.warnings, *_not_done(request, material)],
    )


def chunks(text: str) -> Iterator[str]:
    """Divide a text into the pieces in which it is streamed; joined they are the text."""
    for start in range(0, len(text), _CHUNK):
        yield text[start : start + _CHUNK]


def _draft(request: ChatRequest, material: Sequence[Material], todo: Plan) -> _Draft:
    if todo.calls:
        names = ", ".join(code(call.name) for call in todo.calls)
        text = document([[LABEL], [f"Calling {names}."], *_skipped(todo)])
        return _Draft(parts=(Text(text=text), *todo.calls), reason="tool_use")
    answered = results(request)
    if request.output.format.type in {"json", "json_schema"}:
        return _json_draft(request, material, answered)
    blocks = _report(answered) if answered else _extract(material)
    return _text_draft(request, document([[LABEL], *blocks, *_skipped(todo)]))


def _text_draft(request: ChatRequest, text: str) -> _Draft:
    """Keep to the limit of tokens, as a model would."""
    limit = request.output.max_tokens
    if isinstance(limit, int) and len(text) > limit * CHARS_PER_TOKEN:
        short = text[: int(limit * CHARS_PER_TOKEN)]
        return _Draft(parts=(Text(text=short),), reason="max_tokens")
    return _Draft(parts=(Text(text=text),))


def _skipped(todo: Plan) -> Blocks:
    if not todo.skipped:
        return []
    return [["## Not called"], [f"- {sentence}" for sentence in todo.skipped]]


# What tools answered.


def _report(answered: Sequence[ToolResult]) -> Blocks:
    read = [(one, parse_json(one.content)) for one in answered]
    reports = [
        report
        for one, value in read
        if not one.is_error and (report := report_of(value, one.name)) is not None
    ]
    sections = [block for one, value in read for block in _section(one, value)]
    return [*_overview(answered, reports), *sections]


def _overview(answered: Sequence[ToolResult], reports: Sequence[Report]) -> Blocks:
    failed = [code(one.name) for one in answered if one.is_error]
    words = f"{_count(len(answered) - len(failed), 'tool')} answered"
    words += f", {len(failed)} failed: {', '.join(failed)}." if failed else "."
    if left_out := sum(report.truncated for report in reports):
        words += f" They left out {_count(left_out, 'finding')}, which the table does not count."
    blocks = [["## Overview"], [words], severity_table(total(reports))]
    return [block for block in blocks if block]


def _section(result: ToolResult, value: object) -> Blocks:
    title = f"## {code(result.name)}"
    if result.is_error:
        return [[f"{title} (failed)"], quoted(result.content)]
    report = report_of(value, result.name)
    if report is not None:
        return [[title], *report_blocks(report)]
    if isinstance(value, dict | list):
        return [[title], fact_list(value)]
    return [[title], quoted(value if isinstance(value, str) else result.content)]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


# What the user said.


def _extract(material: Sequence[Material]) -> Blocks:
    spoken = _sentences(material)
    values = [value for one in material for value in one.values]
    blocks = [["## In its own words"], [f"- {prose(one)}" for one in spoken]] if spoken else []
    for report in reports_in(values):
        blocks += [[f"## {code(report.tool)}"], *report_blocks(report)]
    for value in values:
        if not reports_in([value]):
            blocks += [["## Key facts"], fact_list(value)]
    return blocks or [["The request holds nothing to extract from."]]


def _sentences(material: Sequence[Material]) -> list[str]:
    spoken = [one for part in material for one in sentences(part.prose, _MAX_SENTENCES)]
    return spoken[:_MAX_SENTENCES]


# Answers in JSON.


def _json_draft(
    request: ChatRequest, material: Sequence[Material], answered: Sequence[ToolResult]
) -> _Draft:
    values = [parse_json(one.content) for one in answered if not one.is_error]
    values += [value for one in material for value in one.values]
    spoken = " ".join(_sentences(material)[:1])
    schema = request.output.format.json_schema
    if not schema:
        return _Draft(parts=(_json_text(_free_object(values, spoken)),))
    shaper = Shaper(schema, values, spoken)
    value = shaper.build()
    if isinstance(value, dict) and allows_text(shaper.root, "provider"):
        value["provider"] = NAME
    made_up = ", ".join(shaper.placeholders)
    warning = f"offline found no fact for {made_up} and filled in a placeholder"
    return _Draft(parts=(_json_text(value),), warnings=(warning,) if made_up else ())


def _free_object(values: Sequence[object], spoken: str) -> dict[str, object]:
    """Return what is known when the caller names no shape."""
    found = [fact for value in values for fact in facts(value)][:MAX_FACTS]
    return {
        "provider": NAME,
        "summary": spoken,
        "facts": {fact.path or "value": fact.value for fact in found},
    }


def _json_text(value: object) -> Text:
    return Text(text=msgspec.json.encode(value).decode())


# What was asked for and is not done.


def _not_done(request: ChatRequest, material: Sequence[Material]) -> list[str]:
    media, output = unread_media(request), request.output
    said = {
        f"offline cannot read media; {_count(media, 'part')} left out": media > 0,
        "offline reads the first 512 KiB of a message only": any(one.cut for one in material),
        "offline ignores the grammar of the output": output.format.type == "grammar",
        "offline ignores stop sequences": bool(output.stop),
    }
    return [warning for warning, applies in said.items() if applies]
