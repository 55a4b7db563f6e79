"""Is what a request asks for written in Gemini's words?"""

import pytest

from segue_contracts.v1.chat import (
    ChatMessage,
    ChatRequest,
    OutputFormat,
    OutputOptions,
    ReasoningOptions,
    Sampling,
    Text,
    Tool,
    ToolChoice,
)
from segue_providers.core.wires.gemini_contents import Json
from segue_providers.core.wires.gemini_request import counted, translate
from segue_providers.core.wires.omissions import UnsupportedError

SCHEMA = {"type": "object", "properties": {"thing_id": {"type": "string"}}}
LOOK = Tool(name="look", description="Looks.", parameters=SCHEMA)


def request(**options: object) -> ChatRequest:
    """Return a request."""
    user = ChatMessage(role="user", parts=[Text(text="hi")])
    return ChatRequest(model="gemini-3.8-flash", messages=[user], **options)  # type: ignore[arg-type] - options of every kind


def config(**options: object) -> Json:
    """Return the configuration of a request that must not lack anything."""
    return translate(request(on_unsupported="error", **options)).config


def test_a_plain_request_asks_for_nothing_special() -> None:
    """What nobody asked for is not sent."""
    wanted = translate(request())
    assert wanted.config == {}
    assert wanted.extra == {}
    assert wanted.warnings == ()


def test_sampling_has_its_words() -> None:
    """Every setting is known to Gemini, zero included."""
    sampling = Sampling(
        temperature=0, top_p=0.9, top_k=3, seed=0, presence_penalty=0.5, frequency_penalty=-0.5
    )
    assert config(sampling=sampling) == {
        "temperature": 0,
        "topP": 0.9,
        "topK": 3,
        "seed": 0,
        "presencePenalty": 0.5,
        "frequencyPenalty": -0.5,
    }


def test_limits_of_the_answer_have_their_words() -> None:
    """Length, stops and modalities."""
    output = OutputOptions(max_tokens=5, stop=["END"], modalities=["text", "image"])
    assert config(output=output) == {
        "maxOutputTokens": 5,
        "stopSequences": ["END"],
        "responseModalities": ["TEXT", "IMAGE"],
    }


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        (OutputFormat(type="json"), {"responseMimeType": "application/json"}),
        (
            OutputFormat(type="json_schema", json_schema=SCHEMA),
            {"responseMimeType": "application/json", "responseJsonSchema": SCHEMA},
        ),
    ],
)
def test_structured_answers_are_asked_for(form: OutputFormat, expected: Json) -> None:
    """A JSON Schema goes as it is."""
    assert config(output=OutputOptions(format=form)) == expected


@pytest.mark.parametrize(
    ("reasoning", "expected"),
    [
        (ReasoningOptions(mode="off"), {"thinkingBudget": 0}),
        (ReasoningOptions(mode="on"), {"thinkingBudget": -1}),
        (ReasoningOptions(budget_tokens=100), {"thinkingBudget": 100}),
        (ReasoningOptions(effort="low"), {"thinkingLevel": "LOW"}),
        (ReasoningOptions(effort="none"), {"thinkingLevel": "MINIMAL"}),
        (ReasoningOptions(effort="max"), {"thinkingLevel": "XHIGH"}),
        (ReasoningOptions(display="summary"), {"includeThoughts": True}),
    ],
)
def test_reasoning_has_its_words(reasoning: ReasoningOptions, expected: Json) -> None:
    """Gemini takes a budget or a level, and shows thoughts on request."""
    assert config(reasoning=reasoning) == {"thinkingConfig": expected}


def test_tools_are_declared_with_their_schemas() -> None:
    """Names within a schema are the user's and stay as they are."""
    plain = Tool(name="ping", description="Pings.")
    search = Tool(name="google_search", description="", kind="server", server={"a": 1})
    assert config(tools=[LOOK, plain, search]) == {
        "tools": [
            {
                "functionDeclarations": [
                    {"name": "look", "description": "Looks.", "parametersJsonSchema": SCHEMA},
                    {"name": "ping", "description": "Pings."},
                ]
            },
            {"googleSearch": {"a": 1}},
        ]
    }


@pytest.mark.parametrize(
    ("choice", "strict", "expected"),
    [
        (ToolChoice(mode="none"), False, {"mode": "NONE"}),
        (ToolChoice(mode="any"), False, {"mode": "ANY"}),
        (
            ToolChoice(mode="tool", names=["look"]),
            False,
            {"mode": "ANY", "allowedFunctionNames": ["look"]},
        ),
        (ToolChoice(), True, {"mode": "VALIDATED"}),
    ],
)
def test_the_choice_of_tools_has_its_modes(
    choice: ToolChoice, expected: Json, *, strict: bool
) -> None:
    """Strict tools are enforced where the model may choose."""
    tool = Tool(name="look", description="", strict=strict)
    wanted = config(tools=[tool], tool_choice=choice)
    assert wanted["toolConfig"] == {"functionCallingConfig": expected}


def test_a_choice_without_functions_is_not_sent() -> None:
    """Gemini refuses a calling mode when there is nothing to call."""
    search = Tool(name="google_search", description="", kind="server")
    wanted = config(tools=[search], tool_choice=ToolChoice(mode="any"))
    assert wanted == {"tools": [{"googleSearch": {}}]}


@pytest.mark.parametrize(("tier", "expected"), [("flex", "flex"), ("default", "standard")])
def test_the_service_tier_is_passed_on(tier: str, expected: str) -> None:
    """Other vendors' word for the usual tier is understood."""
    assert config(service_tier=tier) == {"serviceTier": expected}


def test_labels_that_gemini_would_refuse_are_not_sent() -> None:
    """A label must never fail a call."""
    assert config(metadata={"team": "a-1", "Team": "x", "run": "A B"}) == {
        "labels": {"team": "a-1"}
    }


def test_options_of_its_own_are_passed_on_as_they_are() -> None:
    """They are for this vendor only."""
    wanted = translate(request(provider_options={"gemini": {"store": False}, "openai": {"x": 1}}))
    assert wanted.extra == {"store": False}


@pytest.mark.parametrize(
    "options",
    [
        {"output": OutputOptions(verbosity="low")},
        {"output": OutputOptions(format=OutputFormat(type="grammar"))},
        {"reasoning": ReasoningOptions(budget_tokens=5, effort="low")},
        {"reasoning": ReasoningOptions(effort="frantic")},
        {"tools": [Tool(name="x", description="", kind="custom")]},
        {"tools": [LOOK], "tool_choice": ToolChoice(parallel=False)},
        {"service_tier": "gold"},
    ],
)
def test_what_gemini_lacks_is_left_out_and_told(options: dict[str, object]) -> None:
    """The caller learns of it, or is refused when it wants all or nothing."""
    (warning,) = translate(request(**options)).warnings
    assert warning.endswith("it was left out.")
    with pytest.raises(UnsupportedError):
        config(**options)


def test_counting_sees_instructions_and_tools_too() -> None:
    """The turns stand within the whole request, and not beside it."""
    system = ChatMessage(role="system", parts=[Text(text="be")])
    user = ChatMessage(role="user", parts=[Text(text="hi")])
    body = counted(
        ChatRequest(
            model="gemini-3.8-flash",
            messages=[system, user],
            tools=[LOOK],
            sampling=Sampling(temperature=1),
        )
    )
    whole = body["generateContentRequest"]
    assert isinstance(whole, dict)
    assert body["contents"] == []
    assert set(whole) == {"model", "contents", "systemInstruction", "tools"}
    assert whole["model"] == "models/gemini-3.8-flash"


def test_a_model_with_a_path_keeps_it() -> None:
    """Tuned models have other folders."""
    body = counted(ChatRequest(model="tunedModels/x", messages=[]))
    whole = body["generateContentRequest"]
    assert isinstance(whole, dict)
    assert whole["model"] == "tunedModels/x"
