"""A YAML text: what does it hold, and on which line?"""

import re
from dataclasses import dataclass
from typing import Final

import yaml
from yaml.events import AliasEvent
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

LONGEST: Final = 1_048_576
"""Characters that are read at most."""
DEEPEST: Final = 32
"""How deep a value may be nested."""

_TEXT: Final = "tag:yaml.org,2002:str"


class UnreadableError(ValueError):
    """A text is no YAML that is read here; the message says why.

    Args:
        message: What is wrong, and the way out.
        line: Where, counted from 1; 0 when that cannot be said.
    """

    def __init__(self, message: str, *, line: int = 0) -> None:
        super().__init__(message)
        self.line = line


@dataclass(frozen=True, slots=True)
class Text:
    """What a text holds."""

    data: object
    """Mappings, lists, texts, numbers and truth values; None for an empty text."""
    root: Node | None
    """The same with positions."""

    def line(self, place: tuple[str | int, ...]) -> int:
        """Return the line of what stands at a place, or around it; 0 when nothing does."""
        node, line = self.root, 0
        for step in place:
            found = _child(node, step)
            if found is None:
                return line
            mark, node = found
            line = _line(mark)
        return line


def read(text: str) -> Text:
    """Read a YAML text of one document, without tags and aliases.

    Raises:
        UnreadableError: It is none, or too long.
    """
    if len(text) > LONGEST:
        raise UnreadableError(f"it is longer than {LONGEST} characters")
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
        if root is None:
            return Text(None, None)
        _name_fields(root)
        return Text(loader.construct_document(root), root)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = str(error.problem or error.context or "this is no YAML")
        raise UnreadableError(said, line=mark.line + 1 if mark else 0) from None
    except yaml.YAMLError:
        raise UnreadableError("this is no YAML text") from None


class _Loader(yaml.SafeLoader):
    """Reads plain scalars as YAML 1.2 does, so that `on` is a word and 010 no octal number."""

    depth = 0
    """How many nodes are open."""

    def compose_node(self, parent: Node | None, index: int) -> Node | None:
        """Refuse an alias and too deep a nest; compose all else."""
        if self.check_event(AliasEvent):
            raise self._refusal("aliases (*name) are not read here; write the value out")
        if self.depth >= DEEPEST:
            raise self._refusal("nested too deeply")
        self.depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1

    def _refusal(self, problem: str) -> yaml.MarkedYAMLError:
        event = self.peek_event()  # type: ignore[no-untyped-call]  # its stub has no types
        return yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", [*"~nN", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", [*"tTfF"]),
    ("int", r"[-+]?(?:0|[1-9][0-9]{0,24})", [*"-+0123456789"]),
    (
        "float",
        r"[-+]?(?:[0-9]{1,25}\.[0-9]{0,25}|\.[0-9]{1,25}|[0-9]{1,25}(?=[eE]))(?:[eE][-+]?[0-9]{1,3})?",
        [*"-+.0123456789"],
    ),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_pattern})\\Z"), _first
    )


def _name_fields(root: Node) -> None:
    """Take every field's name as text, whatever it looks like.

    Raises:
        UnreadableError: A name is no text, or stands twice in one mapping.
    """
    nodes = [root]
    while nodes:
        node = nodes.pop()
        if isinstance(node, SequenceNode):
            nodes += node.value
        elif isinstance(node, MappingNode):
            _name_each(node)
            nodes += [value for _, value in node.value]


def _name_each(node: MappingNode) -> None:
    seen: set[str] = set()
    for key, _ in node.value:
        if not isinstance(key, ScalarNode):
            raise UnreadableError("a field's name must be plain text", line=_line(key))
        if key.value in seen:
            raise UnreadableError(f"{key.value!r} is written twice; keep one", line=_line(key))
        seen.add(key.value)
        key.tag = _TEXT


def _child(node: Node | None, step: str | int) -> tuple[Node, Node] | None:
    """Return where a child begins, and the child."""
    if isinstance(node, MappingNode):
        pairs = ((key, value) for key, value in node.value if key.value == str(step))
        return next(pairs, None)
    if isinstance(node, SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step], node.value[step]
    return None


def _line(node: Node) -> int:
    return int(node.start_mark.line) + 1
