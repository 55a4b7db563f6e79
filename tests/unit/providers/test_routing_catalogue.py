"""Does the catalogue know what names mean, and what is known of models?"""

import pytest
from unit.providers.routing_support import (
    CLAUDE,
    GEMINI,
    OPUS,
    catalogue,
    configured,
    provider,
)

from segue_providers.core.catalogue import Facts, Found, Target, catalogue_of
from segue_providers.core.configuration import NamespaceRules, Price, Provider


def test_providers_stand_in_order_of_priority() -> None:
    """The lowest number goes first, whatever the order of the file."""
    found = configured(
        providers={
            "b": provider("gemini", 2),
            "a": provider("gemini", 2),
            "z": provider("gemini", 1),
        }
    )

    assert list(catalogue(found).entries) == ["z", "a", "b"]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("claude", [CLAUDE]),
        ("Anthropic", [CLAUDE]),
        ("claude/opus", [OPUS]),
        ("anthropic/new-model", [Target("claude", "new-model")]),
        ("Strong", [OPUS, GEMINI]),
        ("haiku", [Target("claude", "haiku")]),
        ("meta/llama", []),
        ("claude/", []),
        ("nobody", []),
    ],
)
def test_a_name_means_targets(name: str, meant: list[Target]) -> None:
    """Aliases, providers, `provider/model` and listed models are understood, others are not."""
    assert list(catalogue().resolve(name)) == meant


def test_a_model_that_only_the_table_knows_is_its_providers() -> None:
    """A bare model means every provider whose table has it."""

    def look(name: str, _provider: Provider, model: str) -> Facts | None:
        return Facts(context_window=5) if (name, model) == ("gemini", "new") else None

    found = catalogue_of(configured(), look=look, found={})

    assert found.resolve("new") == (Target("gemini", "new"),)
    assert found.card(Target("gemini", "new")).context_window == 5


def test_nothing_is_looked_up_of_a_provider_that_cannot_serve() -> None:
    """The table takes long to load, and its facts would change nothing."""
    asked = []

    def look(name: str, _provider: Provider, _model: str) -> Facts | None:
        asked.append(name)
        return None

    built = catalogue_of(configured(), look=look, found={"claude": Found(obstacle="no key")})
    built.card(Target("claude", "unlisted"))

    assert "gemini" in asked
    assert "claude" not in asked


def test_what_people_configure_goes_before_the_table() -> None:
    """A configured window, price or capability replaces the table's; the rest is the table's."""
    price = {"input": "1", "output": "2", "cache_read": "0.5"}
    models = {"pro": {"price": price, "max_output": 7, "capabilities": ["tools"]}, "flash": {}}
    found = configured(providers={"gemini": provider("gemini", 1, models=models)})
    facts = Facts(context_window=9, max_output=8, price=Price(input=3, output=4))

    built = catalogue_of(found, look=lambda *_: facts, found={})
    pro, flash = built.card(Target("gemini", "pro")), built.card(Target("gemini", "flash"))

    assert (pro.context_window, pro.max_output, pro.usd_out) == (9, 7, 2.0)
    assert pro.capabilities == {"tools"}
    assert pro.reads_cheaper
    assert (flash.max_output, flash.usd_in, flash.reads_cheaper) == (8, 3.0, False)
    assert "video" in flash.capabilities


def test_rules_of_a_namespace_fall_back_to_those_of_all() -> None:
    """A namespace that is not named follows `*`, and without that nothing is ruled."""
    found = catalogue(configured(namespaces={"a": {"deny": ["claude"]}, "*": {"deny": ["gemini"]}}))

    assert found.rules("a").deny == ("claude",)
    assert found.rules("b").deny == ("gemini",)
    assert catalogue().rules("a") == NamespaceRules()


def test_an_obstacle_is_kept_with_its_provider() -> None:
    """What this instance lacks stands beside what is configured."""
    found = catalogue(claude=Found(obstacle="no key", missing="KEY"))

    assert found.entries["claude"].found.missing == "KEY"
    assert not found.entries["gemini"].found.obstacle
    assert found.entries["offline"].stand_in
