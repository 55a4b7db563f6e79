"""The documented configuration: is it taken as it stands in the pages?"""

import re
from pathlib import Path

import pytest

from segue_providers.core.configuration import Configuration
from segue_providers.core.configuration_file import parse

HOWTO = Path(__file__).resolve().parents[3] / "docs/howto"
CONFIGURE = (HOWTO / "configure-providers.md").read_text()
PAGES = CONFIGURE + (HOWTO / "add-a-provider.md").read_text()
WRONG = """policy: fastest
providers:
  claude:
    keys: [{env: ANTHROPIC_API_KEY, file: /run/secrets/claude}]
    timeouts: {first_tokens_s: 30}
  ollama:
    wire: openai-chat
"""


def blocks(page: str, language: str) -> list[str]:
    """Return the blocks of a page that are written in a language; it is empty for plain text."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    return [text for written_in, text in found if written_in == language]


@pytest.mark.parametrize(
    "text", [one for one in blocks(PAGES, "yaml") if re.search("^providers:", one, re.MULTILINE)]
)
def test_a_documented_file_is_taken(text: str) -> None:
    """Every configuration that the pages show is valid as it stands there."""
    assert isinstance(parse(text, where="providers.yaml"), Configuration)


def test_the_documented_refusal_is_the_real_one() -> None:
    """The lines that a page shows for a bad file are those that it gets."""
    [told] = [one for one in blocks(CONFIGURE, "") if "did you mean" in one]

    assert parse(WRONG, where="providers.yaml") == told.splitlines()
