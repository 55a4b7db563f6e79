"""The emulator's scenarios: what shall go wrong, and where?

A scenario is the first segment of the path: traits joined by `+`, each `name[.argument]...`, such
as `ok`, `tools+slow.20`, `error.429.quota.ra300` or `abort.2`. The trait `id.<anything>` does
nothing; it gives a test a scenario, and so a count and a log, of its own.
"""

from dataclasses import dataclass
from typing import Final

from support.emulator_wire import Fault

Trait = tuple[str, ...]

KNOWN: Final = frozenset(
    {
        "abort",
        "agent",
        "burst",
        "cached",
        "comments",
        "crlf",
        "drop",
        "eof",
        "error",
        "error-after",
        "flaky",
        "hang",
        "id",
        "key",
        "malformed",
        "max-tokens",
        "no-usage",
        "ok",
        "preamble-error",
        "reasoning",
        "refusal",
        "slow",
        "split-utf8",
        "stall",
        "switch",
        "tools",
    }
)


class UnknownScenarioError(ValueError):
    """The path names a scenario that does not exist."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """The traits of one request."""

    text: str
    traits: tuple[Trait, ...]

    def has(self, name: str) -> bool:
        """Return whether a trait is there."""
        return any(trait[0] == name for trait in self.traits)

    def number(self, name: str) -> int | None:
        """Return the first argument of a trait as a number; None when the trait is absent."""
        return next((int(trait[1]) for trait in self.traits if trait[0] == name), None)

    def fault(self) -> Fault | None:
        """Return the fault of the trait `error`."""
        return next((fault_of(trait[1:]) for trait in self.traits if trait[0] == "error"), None)


def scenario_of(text: str) -> Scenario:
    """Read a scenario.

    Raises:
        UnknownScenarioError: A trait is unknown.
    """
    traits = tuple(tuple(word.split(".")) for word in text.split("+"))
    if unknown := [trait[0] for trait in traits if trait[0] not in KNOWN]:
        raise UnknownScenarioError(
            f"no scenario {unknown[0]!r} in {text!r}; known: {sorted(KNOWN)}"
        )
    return Scenario(text=text, traits=traits)


def fault_of(words: tuple[str, ...]) -> Fault:
    """Read `<status>[-html][.<kind>][.ra<seconds>]`; `502-html` is the kind `html`."""
    status, _, variant = words[0].partition("-")
    waits = [word[2:] for word in words[1:] if word.startswith("ra") and word[2:].isdigit()]
    kinds = [word for word in words[1:] if not (word.startswith("ra") and word[2:].isdigit())]
    return Fault(
        status=int(status),
        kind=variant or next(iter(kinds), ""),
        retry_after_s=int(waits[0]) if waits else None,
    )
