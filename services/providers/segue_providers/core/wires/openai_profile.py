"""Profiles: whose server speaks OpenAI's interface, and what do its models take?"""

import re
from typing import Final
from urllib.parse import urlsplit

import msgspec

VENDOR: Final = "openai"
"""The vendor's name in opaque data and provider options."""
VENDOR_URL: Final = "https://api.openai.com/v1"

_VENDOR_HOSTS: Final = (".openai.com", ".openai.azure.com")
_FAMILY: Final = re.compile(r"(?:ft:)?(?:(?P<o>o\d+)\b|gpt-(?P<major>\d+)(?:\.(?P<minor>\d+))?)")
_CHATTING: Final = re.compile(r"-chat\b")


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """How a server differs from others that speak the same interface."""

    name: str
    """Whose opaque data it understands."""
    vendor: bool
    """Whether the vendor's own rules hold, rather than those of a compatible server."""


def profile_of(base_url: str, model: str) -> Profile:
    """Return the profile of a model at an address; empty stands for the vendor's own.

    Elsewhere the vendor's rules hold for its models, since what offers them passes requests on.
    """
    ours = at_vendor(base_url)
    name = VENDOR if ours else urlsplit(base_url).netloc.rpartition("@")[2]
    return Profile(name=name, vendor=ours or _FAMILY.match(model) is not None)


def at_vendor(base_url: str) -> bool:
    """Tell whether an address is the vendor's own."""
    host = urlsplit(base_url).hostname or ""
    return not base_url or f".{host}".endswith(_VENDOR_HOSTS)


def reasons(model: str) -> bool:
    """Tell whether a model of the vendor's reasons, as far as its name tells."""
    family = _FAMILY.match(model)
    if family is None or _CHATTING.search(model):
        return False
    return family["o"] is not None or int(family["major"]) >= 5  # noqa: PLR2004 - GPT-5 was the first


def least_effort(model: str) -> str:
    """Return the least effort that a reasoning model of the vendor's accepts."""
    family = _FAMILY.match(model)
    if family is None or family["o"] is not None:
        return "low"
    return "minimal" if (family["major"], family["minor"]) == ("5", None) else "none"


def samples(model: str, effort: str) -> bool:
    """Tell whether a model of the vendor's lets its sampling be set, at this effort."""
    return not reasons(model) or effort == "none"
