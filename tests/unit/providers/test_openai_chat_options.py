"""Are all options of a request written as chat completions take them?"""

from typing import Any

import pytest
from unit.providers.openai_support import (
    CHATTER,
    CLOSED,
    LOCAL,
    REASONER,
    VENDOR,
    WEATHER,
    asking,
)

from segue_contracts.v1.chat import (
    ChatRequest,
    OutputFormat,
    OutputOptions,
    ReasoningOptions,
    RouteOptions,
    Sampling,
    StreamOptions,
)
from segue_providers.core.wires.omissions import UnsupportedError
from segue_providers.core.wires.openai_chat_request import translate
from segue_providers.core.wires.openai_profile import Profile


def body(request: ChatRequest, profile: Profile = VENDOR) -> dict[str, Any]:
    """Return a body that nothing was left out of."""
    wanted = translate(request, profile)
    assert wanted.warnings == ()

    return wanted.body


@pytest.mark.parametrize(
    ("form", "sent"),
    [
        (OutputFormat(type="json"), {"type": "json_object"}),
        (
            OutputFormat(type="json_schema", name="a city", json_schema=WEATHER.parameters),
            {
                "type": "json_schema",
                "json_schema": {"name": "a_city", "schema": CLOSED, "strict": True},
            },
        ),
        (
            OutputFormat(type="json_schema", json_schema={"type": "array"}, strict=False),
            {
                "type": "json_schema",
                "json_schema": {"name": "answer", "schema": {"type": "array"}, "strict": False},
            },
        ),
    ],
)
def test_the_form_of_an_answer_is_written(form: OutputFormat, sent: dict[str, Any]) -> None:
    """A schema is enforced where it can be."""
    written = body(asking(output=OutputOptions(format=form)))

    assert written["response_format"] == sent


def test_a_schema_that_cannot_be_enforced_is_sent_as_a_wish() -> None:
    """The warning says why."""
    form = OutputFormat(type="json_schema", json_schema={"type": "array"})
    wanted = translate(asking(output=OutputOptions(format=form)), VENDOR)

    assert wanted.body["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": {"type": "array"}, "strict": False},
    }
    assert "the answer cannot be enforced, since its root is no object" in wanted.warnings[0]


def test_every_option_of_the_vendor_is_passed_on() -> None:
    """Options go out under the vendor's names."""
    request = asking(
        model=REASONER,
        output=OutputOptions(max_tokens=99, verbosity="low"),
        sampling=Sampling(seed=7),
        reasoning=ReasoningOptions(mode="on"),
        stream=StreamOptions(on=True),
        service_tier="flex",
        route=RouteOptions(sticky_key="alice"),
        metadata={"team": "a"},
        provider_options={"openai": {"logit_bias": {"1": 2}}, "anthropic": {"x": 1}},
    )

    assert {k: v for k, v in body(request).items() if k not in {"model", "messages"}} == {
        "max_completion_tokens": 99,
        "verbosity": "low",
        "reasoning_effort": "medium",
        "seed": 7,
        "stream": True,
        "stream_options": {"include_usage": True},
        "service_tier": "flex",
        "store": False,
        "prompt_cache_key": "2bd806c97f0e00af1a1fc3328fa763a9269723c8db8fac4f93af71db186d6e90",
        "logit_bias": {"1": 2},
    }


def test_a_compatible_server_gets_what_all_of_them_know() -> None:
    """Old names, its own provider options, and nothing that only the vendor keeps."""
    request = asking(
        model="llama3.2",
        output=OutputOptions(max_tokens=99, stop=["\n"] * 5),
        sampling=Sampling(temperature=0, top_k=5),
        reasoning=ReasoningOptions(effort="low", display="summary"),
        route=RouteOptions(sticky_key="alice"),
        provider_options={"openai": {"x": 1}, "localhost:11434": {"num_ctx": 8192}},
    )

    assert {k: v for k, v in body(request, LOCAL).items() if k not in {"model", "messages"}} == {
        "max_tokens": 99,
        "stop": ["\n"] * 5,
        "temperature": 0,
        "top_k": 5,
        "reasoning_effort": "low",
        "num_ctx": 8192,
    }


@pytest.mark.parametrize(
    ("model", "profile", "effort"),
    [
        (REASONER, VENDOR, "none"),
        ("o3", VENDOR, "low"),
        (CHATTER, VENDOR, None),
        ("llama3.2", LOCAL, "none"),
    ],
)
def test_reasoning_is_switched_off_as_far_as_the_model_goes(
    model: str, profile: Profile, effort: str | None
) -> None:
    """Models that cannot stop reasoning are told to reason least."""
    request = asking(model=model, reasoning=ReasoningOptions(mode="off"))

    assert body(request, profile).get("reasoning_effort") == effort


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sampling": Sampling(top_k=5)}, "`sampling.top_k` is not known to this provider"),
        (
            {"sampling": Sampling(temperature=1.0), "model": REASONER},
            "`sampling.temperature` is not known to model `gpt-5.5` while it reasons",
        ),
        ({"output": OutputOptions(stop=["a"] * 5)}, "`output.stop` beyond 4 texts"),
        ({"output": OutputOptions(stop=["a"]), "model": REASONER}, "`output.stop` is not known"),
        ({"output": OutputOptions(modalities=["text", "audio"])}, "Output other than text"),
        ({"output": OutputOptions(format=OutputFormat(type="grammar"))}, "type `grammar`"),
        ({"reasoning": ReasoningOptions(mode="on")}, "`reasoning` is not known to model `gpt-4o`"),
        ({"reasoning": ReasoningOptions(budget_tokens=5)}, "`reasoning.budget_tokens`"),
        ({"reasoning": ReasoningOptions(display="full")}, "`reasoning.display`"),
        ({"provider_options": {"openai": {"n": 2}}}, "Provider option `n` is the router's"),
    ],
)
def test_what_is_lacking_is_left_out_or_refused(options: dict[str, Any], words: str) -> None:
    """By default with a warning, silently with `drop`, and not at all with `error`."""
    assert words in translate(asking(**options), VENDOR).warnings[0]
    assert translate(asking(**options, on_unsupported="drop"), VENDOR).warnings == ()
    with pytest.raises(UnsupportedError, match="on_unsupported"):
        translate(asking(**options, on_unsupported="error"), VENDOR)
