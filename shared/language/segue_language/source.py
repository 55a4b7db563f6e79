"""What does a text hold, and where does each value stand in it?"""

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from segue_language.problems import Path, shown

MAX_BYTES: Final = 1_048_576
MAX_DEPTH: Final = 64
MAX_NODES: Final = 500_000
MAX_INTEGER: Final = 2**63


class Mark(NamedTuple):
    """A position in a text, both counted from 1."""

    line: int
    column: int


START: Final = Mark(1, 1)


@dataclass(slots=True)
class Spot:
    """Where a value stands, with the spots of what it holds."""

    mark: Mark
    children: "dict[str | int, Spot]" = field(default_factory=dict)
    keys: dict[str, Mark] = field(default_factory=dict)

    def locate(self, path: Path, *, at_key: bool) -> Mark:
        """Return where a path stands, or the nearest value around it that is there."""
        spot = self
        for depth, part in enumerate(path):
            child = spot.children.get(part)
            if child is None:
                return spot.mark
            if at_key and depth == len(path) - 1 and isinstance(part, str):
                return spot.keys[part]
            spot = child
        return spot.mark


@dataclass(frozen=True, slots=True)
class Flaw:
    """Something wrong with the text itself."""

    mark: Mark
    code: str
    message: str
    path: Path = ()


class UnreadableError(ValueError):
    """The text holds no document."""

    def __init__(self, flaw: Flaw) -> None:
        super().__init__(flaw.message)
        self.flaw = flaw


@dataclass(slots=True)
class Source:
    """A document: its value, where everything stands, and what was wrong on the way."""

    value: object
    spot: Spot
    flaws: list[Flaw]


def mark_at(text: str, index: int) -> Mark:
    """Return the position of a character."""
    start = text.rfind("\n", 0, index) + 1
    return Mark(text.count("\n", 0, start) + 1, index - start + 1)


@dataclass(slots=True)
class _Open:
    """A mapping or list that is being read."""

    value: dict[str, object] | list[object]
    spot: Spot
    anchor: str | None
    nodes_before: int
    key: str | None = None
    key_mark: Mark = START
    merging: bool = False
    merged: "list[tuple[dict[str, object], Spot]]" = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Anchored:
    value: object
    spot: Spot
    nodes: int


class Builder:
    """Builds a source out of a reader's events, within bounds."""

    def __init__(self) -> None:
        self._stack: list[_Open] = []
        self._anchors: dict[str, _Anchored] = {}
        self._nodes = 0
        self._root: _Anchored | None = None
        self.flaws: list[Flaw] = []

    @property
    def expects_key(self) -> bool:
        """Whether the next scalar names a field."""
        return bool(self._stack) and self._wants_key(self._stack[-1])

    @staticmethod
    def _wants_key(inner: _Open) -> bool:
        return isinstance(inner.value, dict) and inner.key is None and not inner.merging

    def flaw(self, mark: Mark, code: str, message: str) -> None:
        """Note something wrong that does not stop the reading."""
        self.flaws.append(Flaw(mark, code, message, self._path()))

    def _path(self) -> Path:
        parts: list[str | int] = []
        for inner in self._stack:
            if isinstance(inner.value, list):
                parts.append(len(inner.value))
            elif inner.key is not None:
                parts.append(inner.key)
        return tuple(parts)

    def key(self, name: str, mark: Mark, *, merge: bool = False) -> None:
        """Take the name of the field that follows; `merge` for a YAML merge key."""
        inner = self._stack[-1]
        if merge:
            inner.merging = True
            return
        inner.key, inner.key_mark = name, mark
        if name in inner.value:
            first = inner.spot.keys[name].line
            message = f"{shown(name)} stands here again, first on line {first}"
            self.flaw(mark, "duplicate_key", message)

    def scalar(self, value: object, mark: Mark, anchor: str | None = None) -> None:
        """Take a value that holds no other."""
        self._count(1, mark)
        node = _Anchored(value, Spot(mark), 1)
        if anchor is not None:
            self._anchors[anchor] = node
        self._attach(node)

    def open(
        self, value: dict[str, object] | list[object], mark: Mark, anchor: str | None = None
    ) -> None:
        """Begin a mapping or list."""
        if len(self._stack) >= MAX_DEPTH:
            message = f"the document is nested deeper than {MAX_DEPTH} levels"
            raise UnreadableError(Flaw(mark, "too_deep", message))
        if anchor is not None:
            self._anchors.pop(anchor, None)
        self._stack.append(_Open(value, Spot(mark), anchor, self._nodes))
        self._count(1, mark)

    def close(self) -> None:
        """End the innermost mapping or list."""
        inner = self._stack.pop()
        for value, spot in inner.merged:
            self._merge(inner, value, spot)
        node = _Anchored(inner.value, inner.spot, self._nodes - inner.nodes_before)
        if inner.anchor is not None:
            self._anchors[inner.anchor] = node
        self._attach(node)

    @staticmethod
    def _merge(inner: _Open, value: dict[str, object], spot: Spot) -> None:
        if not isinstance(inner.value, dict):
            return
        for name in value.keys() - inner.value.keys():
            inner.value[name] = value[name]
            inner.spot.children[name] = spot.children[name]
            inner.spot.keys[name] = spot.keys[name]

    def alias(self, name: str, mark: Mark) -> None:
        """Repeat what an anchor marked; it counts in full, so that no bomb unfolds."""
        node = self._anchors.get(name)
        if node is None:
            message = f"alias {shown(name)} has no anchor before it"
            raise UnreadableError(Flaw(mark, "unknown_alias", message))
        self._count(node.nodes, mark)
        self._attach(node)

    def _count(self, nodes: int, mark: Mark) -> None:
        self._nodes += nodes
        if self._nodes > MAX_NODES:
            message = f"the document holds more than {MAX_NODES:,} values"
            raise UnreadableError(Flaw(mark, "too_large", message))

    def _attach(self, node: _Anchored) -> None:
        if not self._stack:
            self._root = node
            return
        inner = self._stack[-1]
        if isinstance(inner.value, list):
            inner.spot.children[len(inner.value)] = node.spot
            inner.value.append(node.value)
        elif inner.merging:
            self._note_merge(inner, node)
        elif inner.key is not None:
            inner.value[inner.key] = node.value
            inner.spot.children[inner.key] = node.spot
            inner.spot.keys[inner.key] = inner.key_mark
            inner.key = None

    def _note_merge(self, inner: _Open, node: _Anchored) -> None:
        inner.merging = False
        listed = isinstance(node.value, list)
        values = node.value if isinstance(node.value, list) else [node.value]
        for index, value in enumerate(values):
            spot = node.spot.children[index] if listed else node.spot
            if isinstance(value, dict):
                inner.merged.append((value, spot))
            else:
                self.flaw(spot.mark, "wrong_type", "'<<' merges mappings only")

    def source(self) -> Source:
        """Return the document; without any event it is empty."""
        root = self._root or _Anchored(None, Spot(START), 0)
        return Source(root.value, root.spot, self.flaws)
