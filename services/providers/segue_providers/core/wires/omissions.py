"""Omissions: what does a request ask for that its provider lacks?"""

from dataclasses import dataclass, field
from typing import Literal


class UnsupportedError(ValueError):
    """The provider lacks what a request asks for; the message says what."""


@dataclass(slots=True)
class Omissions:
    """What was left out of a request so far."""

    mode: Literal["warn", "drop", "error"]
    _told: dict[str, None] = field(default_factory=dict)

    def leave_out(self, what: str) -> None:
        """Note that something is not sent, unless the request wants to be refused then.

        Args:
            what: What is left out and why, as the beginning of a sentence.

        Raises:
            UnsupportedError: The request wants all or nothing.
        """
        if self.mode == "error":
            raise UnsupportedError(f"{what}; leave it out, or set `on_unsupported` to `warn`.")
        self.tell(f"{what}; it was left out.")

    def tell(self, sentence: str) -> None:
        """Warn of what no option of the request could change, unless warnings are unwanted."""
        if self.mode != "drop":
            self._told[sentence] = None

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the caller is told, each thing once."""
        return tuple(self._told)
