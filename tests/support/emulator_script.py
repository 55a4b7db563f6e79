"""The emulator's answers: what does the emulated model say?"""

import json
from typing import Any, Final

from support.emulator_scenario import Scenario
from support.emulator_wire import Asked, Conversation, Ending, Offered, Say, Script, Tokens, Wire

TEXT: Final = ("Hello", " from ", "the ", "emulator", ".")
REASONING: Final = ("First I ", "look, ", "then I answer.")
TRICKY: Final = ("Grüße, 世", "界 😀", ' "quoted" \\ and\n', "done 🏁")
"""Text with every length of UTF-8 sequence, quotes, a backslash and a line break."""
TRICKY_ARGS: Final = '{"city": "M\\u00fcnchen \\"Süd\\" 世界 😀", "n": 3}'

FRESH: Final = 25
OUTPUT: Final = 15
REASONED: Final = 7
CACHED: Final = Tokens(
    fresh=FRESH, cache_read=100, cache_write_5m=40, cache_write_1h=60, output=OUTPUT
)


def script_of(scenario: Scenario, asked: Asked, wire: Wire) -> Script:
    """Return what is said in answer to a request under a scenario."""
    parts, ending = _said(scenario, wire.conversation(asked))
    return Script(asked=asked, parts=parts, ending=ending, usage=_usage(scenario))


def _said(scenario: Scenario, talk: Conversation) -> tuple[tuple[Say, ...], Ending]:
    reasoning = (Say(kind="reasoning", pieces=REASONING),) if scenario.has("reasoning") else ()
    if scenario.has("agent"):
        parts, ending = _agent(talk)
        return (*reasoning, *parts), ending
    if scenario.has("tools"):
        text = Say(kind="text", pieces=("Let me ", "see."))
        return (*reasoning, text, *_calls(talk, scenario)), "tool_use"
    return (*reasoning, *_text(scenario)), _ending(scenario)


def _text(scenario: Scenario) -> tuple[Say, ...]:
    if scenario.has("refusal"):
        return ()
    if (count := scenario.number("burst")) is not None:
        return (Say(kind="text", pieces=tuple(f"{number} " for number in range(count))),)
    return (Say(kind="text", pieces=TRICKY if scenario.has("split-utf8") else TEXT),)


def _ending(scenario: Scenario) -> Ending:
    if scenario.has("refusal"):
        return "refusal"
    return "max_tokens" if scenario.has("max-tokens") else "end"


def _usage(scenario: Scenario) -> Tokens | None:
    if scenario.has("no-usage"):
        return None
    if scenario.has("cached"):
        return CACHED
    reasoned = REASONED if scenario.has("reasoning") else 0
    return Tokens(fresh=FRESH, output=OUTPUT + reasoned, reasoning=reasoned)


def _calls(talk: Conversation, scenario: Scenario) -> tuple[Say, ...]:
    """Call every offered tool; `split-utf8` cuts arguments inside a JSON escape."""
    if scenario.has("split-utf8"):
        cut = TRICKY_ARGS.index("\\u00fc") + 4
        pieces = (TRICKY_ARGS[:cut], TRICKY_ARGS[cut : cut + 9], TRICKY_ARGS[cut + 9 :])
        return tuple(_call(place, tool, pieces) for place, tool in enumerate(talk.tools))
    return tuple(
        _call(place, tool, _halves(arguments_for(tool, talk.user_text)))
        for place, tool in enumerate(talk.tools)
    )


def _call(place: int, tool: Offered, pieces: tuple[str, ...]) -> Say:
    return Say(kind="tool_call", id=f"call_{place + 1:02d}", name=tool.name, pieces=pieces)


def _halves(arguments: dict[str, Any]) -> tuple[str, ...]:
    text = json.dumps(arguments, ensure_ascii=False)
    return (text[: len(text) // 2], text[len(text) // 2 :])


def _agent(talk: Conversation) -> tuple[tuple[Say, ...], Ending]:
    """Call what is offered, once; then report what came back."""
    if talk.tools and not talk.results:
        calls = tuple(
            _call(place, tool, _halves(arguments_for(tool, talk.user_text)))
            for place, tool in enumerate(talk.tools)
        )
        return (Say(kind="text", pieces=("I will call ", "my tools.")), *calls), "tool_use"
    lines = [f"- {name}: {content[:200]}\n" for name, content in talk.results]
    heading = f"# Report\n\n{len(lines)} results.\n\n" if lines else "There is nothing to call.\n"
    return (Say(kind="text", pieces=(heading, *lines)),), "end"


def arguments_for(tool: Offered, user_text: str) -> dict[str, Any]:
    """Fill a tool's parameters by name from the JSON objects in what the user said."""
    found = _values(user_text)
    properties: dict[str, Any] = tool.schema.get("properties") or {}
    required = set(tool.schema.get("required") or ())
    return {
        name: found[name] if name in found else _filler(schema)
        for name, schema in properties.items()
        if name in found or name in required
    }


def _values(text: str) -> dict[str, Any]:
    """Collect every named value of every JSON object in a text, the outermost first."""
    decoder, found, at = json.JSONDecoder(), dict[str, Any](), 0
    while (at := text.find("{", at)) >= 0:
        try:
            value, at = decoder.raw_decode(text, at)
        except ValueError:
            at += 1
            continue
        _collect(value, found)
    return found


def _collect(value: Any, found: dict[str, Any]) -> None:
    if isinstance(value, dict):
        for name, inner in value.items():
            found.setdefault(name, inner)
    inner_values = value.values() if isinstance(value, dict) else value
    if isinstance(value, dict | list):
        for inner in inner_values:
            _collect(inner, found)


def _filler(schema: Any) -> Any:
    kind = schema.get("type") if isinstance(schema, dict) else None
    fillers: dict[Any, Any] = {
        "integer": 1,
        "number": 1,
        "boolean": True,
        "array": [],
        "object": {},
    }
    return fillers.get(kind, "example")
