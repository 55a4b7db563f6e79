"""What of a definition is well-formed enough to be checked, though other parts are not?"""

from collections.abc import Iterator, Mapping
from typing import Self

import msgspec

Fields = Mapping[str, object]


class Outline(msgspec.Struct, frozen=True):
    """What of a definition is well-formed enough to be checked."""

    document: Fields
    steps: tuple[tuple[int, Fields], ...]
    keys: Mapping[str, int]
    """The first step that has a key."""
    inputs: Fields
    dependencies: Mapping[str, tuple[str, ...]]
    """Known ones only, without a step's own key."""

    @classmethod
    def of(cls, document: Fields) -> Self:
        """Pick out what has the right form."""
        listed = document.get("steps")
        numbered = enumerate(listed if isinstance(listed, list) else [])
        steps = tuple((index, step) for index, step in numbered if isinstance(step, dict))
        keys: dict[str, int] = {}
        for index, step in steps:
            key = step.get("key")
            if isinstance(key, str):
                keys.setdefault(key, index)
        inputs = document.get("inputs")
        dependencies: dict[str, tuple[str, ...]] = {}
        for _, step in steps:
            key = step.get("key")
            if isinstance(key, str) and key not in dependencies:
                listed = step.get("dependsOn")
                dependencies[key] = _known(listed, key, keys) if listed else ()
        return cls(document, steps, keys, inputs if isinstance(inputs, dict) else {}, dependencies)

    def step(self, key: str) -> Fields:
        """Return the first step that has a key."""
        index = self.keys[key]
        return next(step for number, step in self.steps if number == index)


def _known(listed: object, key: str, keys: Mapping[str, int]) -> tuple[str, ...]:
    """Return the dependencies that are steps, but the step's own key."""
    named = [k for k in listed if isinstance(k, str)] if isinstance(listed, list) else []
    return tuple(k for k in named if k != key and k in keys)


def dependencies_of(step: Fields) -> Iterator[tuple[int, str]]:
    """Yield the keys that a step depends on, and their places in the list."""
    listed = step.get("dependsOn")
    for index, key in enumerate(listed if isinstance(listed, list) else []):
        if isinstance(key, str):
            yield index, key
