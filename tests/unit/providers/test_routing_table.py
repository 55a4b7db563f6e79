"""Does the shipped table know the models that the built-in configuration names?"""

from unit.providers.routing_support import NOW, catalogue, parsed

from segue_providers.core.catalogue import catalogue_of
from segue_providers.core.configuration import Provider
from segue_providers.shell.table import Table

TABLE = Table(lambda: NOW)


def test_every_built_in_model_has_a_price_and_a_window() -> None:
    """Neither a default nor an alias leads to a model that nobody knows."""
    found = catalogue_of(parsed(), look=TABLE.look, found={})

    for entry in found.entries.values():
        for card in entry.cards.values():
            assert card.price is not None, card.target
            assert card.context_window or entry.stand_in, card.target


def test_a_vendor_is_found_by_wire_address_or_name() -> None:
    """A proxy of a vendor has its models; a compatible server those of whose address it has."""

    def window(name: str, wire: str, base_url: str, model: str) -> int | None:
        provider = Provider.model_validate({"wire": wire, "base_url": base_url})
        facts = TABLE.look(name, provider, model)
        return None if facts is None else facts.context_window

    assert window("mine", "anthropic", "http://127.0.0.1:1", "claude-sonnet-5-5") == 1_000_000
    assert window("openai", "openai-chat", "", "gpt-5") == 400_000
    assert window("x", "openai-chat", "https://api.openai.com/v1", "gpt-5") == 400_000
    assert window("groq", "openai-chat", "http://127.0.0.1:1/v1", "no-such") is None
    assert window("local", "openai-chat", "http://127.0.0.1:1/v1", "gpt-5") is None
    assert window("offline", "offline", "", "gpt-5") is None
    assert window("claude", "anthropic", "", "") is None


def test_a_price_in_tiers_counts_with_its_lowest() -> None:
    """Ranking needs one number; what a call costs is computed with all tiers elsewhere."""
    facts = TABLE.look("openai", Provider(wire="openai-responses"), "gpt-6.1-sol")

    assert facts is not None
    assert facts.price is not None
    assert (facts.price.input, facts.price.output) == (2, 10)
    assert facts.price.cache_read is not None


def test_a_catalogue_needs_no_table() -> None:
    """Without one, only what is configured is known."""
    assert catalogue().entries["claude"].cards["sonnet"].price is None
