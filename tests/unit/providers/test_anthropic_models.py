"""Claude's models: does a name tell what its model takes?"""

import pytest

from segue_providers.core.wires.anthropic_models import (
    adaptive,
    budgeted,
    switches_off,
    takes_effort,
    version,
)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("claude-opus-5", (5, 0)),
        ("claude-opus-5-5", (5, 5)),
        ("claude-sonnet-4-5-20250929", (4, 5)),
        ("claude-sonnet-4-20250514", (4, 0)),
        ("claude-3-5-haiku-latest", (3, 0)),
        ("anthropic.claude-haiku-4-5-v1:0", (4, 5)),
        ("house-model", None),
    ],
)
def test_the_version_is_read_from_the_name(model: str, expected: tuple[int, int] | None) -> None:
    """A date behind a name is no version, and a foreign name has none."""
    assert version(model) == expected


def test_models_differ_in_how_they_reason() -> None:
    """Older models take a budget, newer ones decide by themselves, those between do both."""
    assert (adaptive("claude-haiku-4-5"), budgeted("claude-haiku-4-5")) == (False, True)
    assert (adaptive("claude-opus-4-6"), budgeted("claude-opus-4-6")) == (True, True)
    assert (adaptive("claude-sonnet-5"), budgeted("claude-sonnet-5")) == (True, False)


def test_an_unknown_model_is_taken_for_a_new_one() -> None:
    """A model without a version gets no budget, which new models refuse."""
    assert (adaptive("house"), budgeted("house")) == (True, False)


def test_efforts_are_for_newer_models() -> None:
    """Of the fourth generation's fifth version only Opus takes an effort."""
    efforts = [takes_effort(f"claude-{name}") for name in ("opus-4-5", "haiku-4-5", "sonnet-5")]

    assert efforts == [True, False, True]


def test_some_models_always_reason() -> None:
    """Those that refuse to be switched off are known."""
    off = [
        switches_off(f"claude-{name}") for name in ("opus-5", "fable-5", "opus-4-7", "haiku-4-5")
    ]

    assert off == [True, False, False, True]
