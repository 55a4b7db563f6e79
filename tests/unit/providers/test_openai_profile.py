"""Are OpenAI's own server and models told from those that are like them?"""

import pytest

from segue_providers.core.wires.openai_profile import (
    at_vendor,
    least_effort,
    profile_of,
    reasons,
    samples,
)


@pytest.mark.parametrize(
    ("url", "vendor"),
    [
        ("", True),
        ("https://api.openai.com/v1", True),
        ("https://eu.api.openai.com/v1", True),
        ("https://mine.openai.azure.com/openai/v1", True),
        ("https://notopenai.com/v1", False),
        ("http://localhost:11434/v1", False),
        ("not a url", False),
    ],
)
def test_the_vendor_is_known_by_its_address(url: str, *, vendor: bool) -> None:
    """Only the vendor's own hosts are the vendor."""
    assert at_vendor(url) is vendor


def test_a_server_elsewhere_is_named_by_its_address_without_secrets() -> None:
    """The name under which opaque data is kept holds host and port, and no password."""
    profile = profile_of("http://user:password@gpu.internal:8000/v1", "llama3.2")

    assert profile.name == "gpu.internal:8000"
    assert not profile.vendor


def test_the_vendors_models_keep_their_rules_behind_another_address() -> None:
    """What passes requests on to the vendor is spoken to as the vendor is."""
    profile = profile_of("https://gateway.internal/v1", "gpt-5.5")

    assert profile.vendor
    assert profile.name == "gateway.internal"


@pytest.mark.parametrize(
    ("model", "reasoning", "least"),
    [
        ("o3-mini", True, "low"),
        ("gpt-5", True, "minimal"),
        ("gpt-5-mini", True, "minimal"),
        ("gpt-5.5", True, "none"),
        ("gpt-6-astra", True, "none"),
        ("ft:gpt-5.5:acme", True, "none"),
        ("gpt-5-chat-latest", False, "minimal"),
        ("gpt-4o", False, "none"),
        ("gpt-4.1-mini", False, "none"),
        ("llama3.2", False, "low"),
        ("gpt-oss-120b", False, "low"),
    ],
)
def test_a_models_name_tells_whether_it_reasons(model: str, least: str, *, reasoning: bool) -> None:
    """Families since GPT-5 and the `o` models reason, those that only chat do not."""
    assert reasons(model) is reasoning
    assert least_effort(model) == least


def test_sampling_can_be_set_only_while_a_model_does_not_reason() -> None:
    """Models that reason refuse temperatures, unless they are told not to reason."""
    assert samples("gpt-4o", "")
    assert samples("gpt-5.5", "none")
    assert not samples("gpt-5.5", "low")
