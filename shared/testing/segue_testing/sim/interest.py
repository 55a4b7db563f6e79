"""Interest: who receives a plain message?"""

from random import Random
from typing import TYPE_CHECKING

from segue_testing.sim.patterns import fits, is_pattern

if TYPE_CHECKING:
    from segue_testing.sim.client import SimClient, SimSubscription

    Subscriptions = dict[str, list[SimSubscription]]


class Interest:
    """All subscriptions of a server."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._literal: dict[str, list[SimSubscription]] = {}
        self._below: dict[str, list[SimSubscription]] = {}
        """Those for anything one token below a subject, as inboxes are."""
        self._patterns: list[SimSubscription] = []

    def add(self, subscription: "SimSubscription") -> None:
        """Begin to send to a subscription."""
        above, _, last = subscription.subject.rpartition(".")
        if not is_pattern(subscription.subject):
            self._literal.setdefault(subscription.subject, []).append(subscription)
        elif last == "*" and not is_pattern(above):
            self._below.setdefault(above, []).append(subscription)
        else:
            self._patterns.append(subscription)

    def remove(self, client: "SimClient", key: int | None = None) -> None:
        """End one subscription of a client, or all of them."""

        def stays(subscription: "SimSubscription") -> bool:
            return subscription.client is not client or key not in {None, subscription.key}

        def left(known: "Subscriptions") -> "Subscriptions":
            kept = {subject: [*filter(stays, ones)] for subject, ones in known.items()}
            return {subject: ones for subject, ones in kept.items() if ones}

        self._patterns = [one for one in self._patterns if stays(one)]
        self._literal, self._below = left(self._literal), left(self._below)

    def of(self, subject: str) -> list["SimSubscription"]:
        """Return who receives a message; of each queue group one."""
        found = [one for one in self._patterns if fits(one.subject, subject)]
        found += self._below.get(subject.rpartition(".")[0], ())
        found += self._literal.get(subject, ())
        if not any(one.queue for one in found):
            return found
        groups: dict[str, list[SimSubscription]] = {}
        for one in found:
            groups.setdefault(one.queue, []).append(one)
        alone = groups.pop("", [])
        return alone + [self._random.choice(group) for group in groups.values()]
