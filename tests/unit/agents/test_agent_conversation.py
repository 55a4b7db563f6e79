"""The conversation: what is a model told at first?"""

import msgspec
from unit.agents.agent_support import a_job

from segue_agents.core.conversation import WHOLE_INPUT, opening, rendered, shown
from segue_contracts.v1.chat import Text


def test_a_conversation_opens_with_who_the_agent_is_and_what_is_asked() -> None:
    """The system text comes first, then the action's prompt and the input as JSON."""
    system, user = opening(a_job({"repository": "/src/app", "depth": 2}))

    assert (system.role, user.role) == ("system", "user")
    assert [Text(text="You look at code.")] == system.parts
    [asked] = user.parts
    assert isinstance(asked, Text)
    assert asked.text.startswith("Look at /src/app.")
    assert '```json\n{"depth":2,"repository":"/src/app"}\n```' in asked.text


def test_placeholders_take_the_fields_of_the_input() -> None:
    """Text is taken as it is, other values as JSON, and what is absent is said to be."""
    text = rendered("{a} {b} {c} {not a name} {}", {"a": "x", "b": [1], "c": None})

    assert text == "x [1] not given {not a name} {}"


def test_a_large_input_is_outlined() -> None:
    """Findings are left to the tools, long texts are shortened, small facts stay."""
    report = {"tool": "lint", "summary": "bad", "findings": [{"file": "a.py"}] * 4_000}
    shortened = msgspec.json.decode(
        shown({"scan": [report], "text": "x" * 2_100, "depth": 1, "name": "short"})
    )

    assert (shortened["scan"][0]) == {
        "tool": "lint",
        "summary": "bad",
        "findings": "4000 left to the tools",
    }
    assert shortened["text"].endswith("… (100 more characters)")
    assert (shortened["depth"], shortened["name"]) == (1, "short")


def test_an_input_that_is_large_even_in_outline_is_cut_and_says_so() -> None:
    """The model's context is bounded whatever the input is."""
    cut = shown({"numbers": list(range(100_000))})

    assert len(cut) < 3 * WHOLE_INPUT
    assert "cut here" in msgspec.json.decode(cut)["note"]
