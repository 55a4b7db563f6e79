"""Restarts: how long does a supervisor wait before it starts a dead process again?"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartPolicy:
    """Waits that double from crash to crash, until the process has been stable for a while."""

    first_s: float = 0.5
    """The wait after the first crash, seconds."""
    longest_s: float = 15.0
    """No wait is longer, seconds."""
    stable_s: float = 30.0
    """A process that was up this long starts counting anew, seconds."""
    hopeless: int = 4
    """Crashes before a process was ever ready after which a start is given up."""

    def crashes(self, before: int, up_s: float) -> int:
        """Return the crashes in a row, this one included.

        Args:
            before: Crashes in a row before this one.
            up_s: How long the process was up this time, seconds.
        """
        return 1 if up_s >= self.stable_s else before + 1

    def delay_s(self, crashes: int) -> float:
        """Return the wait after so many crashes in a row, seconds."""
        # The exponent is bounded, since a float overflows after a thousand crashes.
        return min(self.longest_s, self.first_s * 2.0 ** min(crashes - 1, 30))
