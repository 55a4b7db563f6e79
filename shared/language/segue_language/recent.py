"""What came of a text that was seen a moment ago?"""

from collections import OrderedDict
from typing import Final, Generic, TypeVar

Held = TypeVar("Held")

MAX_ENTRIES: Final = 1_024
MAX_WEIGHT: Final = 8 * 1_048_576


class Recent(Generic[Held]):
    """Keeps what was used last, bounded in number and in weight.

    Threads may share it: each of its steps is whole, and none counts on the one before.
    """

    def __init__(self, *, entries: int = MAX_ENTRIES, weight: int = MAX_WEIGHT) -> None:
        self._entries = entries
        self._weight = weight
        self._held: OrderedDict[object, tuple[Held, int]] = OrderedDict()

    def get(self, key: object) -> Held | None:
        """Return what is kept under a key, and keep it longer."""
        found = self._held.pop(key, None)
        if found is None:
            return None
        self._held[key] = found
        return found[0]

    def put(self, key: object, value: Held, weight: int) -> None:
        """Keep a value, and drop those that were not used for longest where there is no room."""
        if weight > self._weight:
            return
        self._held.pop(key, None)
        self._held[key] = (value, weight)
        kept = [*self._held.items()]
        number, total = len(kept), sum(each for _, (_, each) in kept)
        for oldest, (_, gone) in kept:
            if number <= self._entries and total <= self._weight:
                return
            self._held.pop(oldest, None)
            number, total = number - 1, total - gone
