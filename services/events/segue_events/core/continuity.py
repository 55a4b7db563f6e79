"""Continuity: has the live feed missed anything?

Facts are plain messages and can be lost. The journal counts every stored event of all runs without
holes, so a hole in the sequences that one subscription to all facts sees is a loss.
(`Nats-Last-Sequence` cannot tell: it is the last sequence of the same subject, and each is unique.)
"""


class Continuity:
    """What the feed has seen of the journal."""

    def __init__(self) -> None:
        self.last = -1
        """The highest sequence seen; -1 before the feed is open."""
        self._stored = -1

    def open(self, stored: int) -> None:
        """Begin after `stored`, the journal's last sequence; facts that came meanwhile count."""
        self.last = max(self.last, stored)
        self._stored = stored

    def saw(self, sequence: int) -> bool:
        """Note a fact; return whether something before it is missing."""
        missing = 0 <= self.last < sequence - 1
        self.last = max(self.last, sequence)
        return missing

    def behind(self, stored: int) -> bool:
        """Note the journal's last sequence; return whether the feed lacks what it held last time.

        What was stored between two looks may still be on its way; what was stored before the
        previous look is lost.
        """
        late = self.last < self._stored
        self.last = max(self.last, self._stored)
        self._stored = stored
        return late
