"""Does a text hold what a regular expression describes, in time that grows with its length only?

The expression becomes a non-deterministic automaton whose states are followed all at once, so no
expression and no text can make the search explode (K. Thompson, 1968). What no automaton knows,
such as a look-ahead or a reference back to a group, is refused.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from re import _constants as ops  # type: ignore[attr-defined]  # what the parser's tree is made of
from re import _parser as parser  # type: ignore[attr-defined]  # the library's own reader
from typing import Final

MAX_PATTERN: Final = 1_000
MAX_STATES: Final = 2_000
MAX_STEPS: Final = 2_000_000

Test = Callable[[str], bool]
Node = tuple[object, object]

_CATEGORIES: Final[dict[object, Test]] = {
    ops.CATEGORY_DIGIT: str.isdecimal,
    ops.CATEGORY_NOT_DIGIT: lambda c: not c.isdecimal(),
    ops.CATEGORY_SPACE: str.isspace,
    ops.CATEGORY_NOT_SPACE: lambda c: not c.isspace(),
    ops.CATEGORY_WORD: lambda c: c.isalnum() or c == "_",
    ops.CATEGORY_NOT_WORD: lambda c: not (c.isalnum() or c == "_"),
}
_REPEATS: Final = (ops.MAX_REPEAT, ops.MIN_REPEAT)


class PatternError(ValueError):
    """The expression is faulty, too large or not available; or the text is too long for it."""


@dataclass(slots=True)
class Pattern:
    """An automaton: state 0 begins, `end` accepts."""

    source: str
    moves: list[tuple[Test, int] | None] = field(default_factory=list)
    """By state: which character leads to which state."""
    silent: list[list[tuple[object, int]]] = field(default_factory=list)
    """By state: where it leads without a character, under which condition."""
    end: int = 0

    def state(self) -> int:
        """Add a state."""
        if len(self.moves) >= MAX_STATES:
            raise PatternError("the expression is too large; repeat less of it")
        self.moves.append(None)
        self.silent.append([])
        return len(self.moves) - 1

    def is_in(self, text: str) -> bool:
        """Tell whether some part of a text matches.

        Raises:
            PatternError: The text is too long for so large an expression.
        """
        if len(text) * len(self.moves) > MAX_STEPS:
            raise PatternError("the text is too long for this expression")
        current: set[int] = set()
        for at in range(len(text) + 1):
            current = self._reached((*current, 0), text, at)
            if self.end in current:
                return True
            if at < len(text):
                current = self._after(current, text[at])
        return False

    def _after(self, states: Iterable[int], character: str) -> set[int]:
        moves = (self.moves[state] for state in states)
        return {move[1] for move in moves if move is not None and move[0](character)}

    def _reached(self, states: Sequence[int], text: str, at: int) -> set[int]:
        """Add what is reached without a character."""
        reached, left = {*states}, [*states]
        while left:
            for condition, target in self.silent[left.pop()]:
                if target not in reached and _holds(condition, text, at):
                    reached.add(target)
                    left.append(target)
        return reached


def _holds(condition: object, text: str, at: int) -> bool:
    if condition is None:
        return True
    if condition in (ops.AT_BEGINNING, ops.AT_BEGINNING_STRING):
        return at == 0
    if condition in (ops.AT_END, ops.AT_END_STRING):
        return at == len(text)
    is_word = _CATEGORIES[ops.CATEGORY_WORD]
    before, after = at > 0 and is_word(text[at - 1]), at < len(text) and is_word(text[at])
    return (before != after) == (condition is ops.AT_BOUNDARY)


@lru_cache(maxsize=256)
def pattern_of(source: str) -> Pattern:
    """Compile a regular expression.

    Raises:
        PatternError: It is faulty, too large, or uses what is not available.
    """
    if len(source) > MAX_PATTERN:
        raise PatternError(f"the expression is longer than {MAX_PATTERN:,} characters")
    try:
        tree = parser.parse(source)
    except (re.error, RecursionError, OverflowError) as error:
        raise PatternError(f"this is no regular expression: {error}") from error
    if tree.state.flags & ~re.UNICODE:
        raise PatternError("flags are not available in an expression")
    pattern = Pattern(source)
    start = pattern.state()
    pattern.end = _add_all(pattern, tree, start)
    return pattern


def _add_all(pattern: Pattern, nodes: Iterable[Node], start: int) -> int:
    for name, held in nodes:
        start = _add(pattern, name, held, start)
    return start


def _add(pattern: Pattern, name: object, held: object, start: int) -> int:
    """Add a part of the expression behind a state; return the state behind it."""
    if name in _REPEATS:
        return _add_repeat(pattern, held, start)
    if name is ops.SUBPATTERN and isinstance(held, tuple):
        return _add_all(pattern, held[-1], start)
    if name is ops.BRANCH and isinstance(held, tuple):
        ends = [_add_all(pattern, choice, _fork(pattern, start)) for choice in held[1]]
        after = pattern.state()
        for end in ends:
            pattern.silent[end].append((None, after))
        return after
    after = pattern.state()
    if name is ops.AT:
        pattern.silent[start].append((held, after))
    else:
        inner = pattern.state()
        pattern.silent[start].append((None, inner))
        pattern.moves[inner] = (_test(name, held), after)
    return after


def _fork(pattern: Pattern, start: int) -> int:
    state = pattern.state()
    pattern.silent[start].append((None, state))
    return state


def _add_repeat(pattern: Pattern, held: object, start: int) -> int:
    if not isinstance(held, tuple):
        raise PatternError("the repetition is wrong")
    least, most, repeated = held
    for _ in range(least):
        start = _add_all(pattern, repeated, start)
    if most is ops.MAXREPEAT:
        again = _fork(pattern, start)
        end = _add_all(pattern, repeated, again)
        pattern.silent[end].append((None, again))
        return _fork(pattern, again)
    ends = [start]
    for _ in range(most - least):
        start = _add_all(pattern, repeated, start)
        ends.append(start)
    after = pattern.state()
    for end in ends:
        pattern.silent[end].append((None, after))
    return after


def _test(name: object, held: object) -> Test:
    if name is ops.LITERAL and isinstance(held, int):
        wanted = chr(held)
        return lambda c: c == wanted
    if name is ops.NOT_LITERAL and isinstance(held, int):
        refused = chr(held)
        return lambda c: c != refused
    if name is ops.ANY:
        return lambda c: c != "\n"
    if name is ops.IN and isinstance(held, list):
        return _class_test(held)
    what = str(name).lower().replace("_", " ")
    raise PatternError(
        f"'{what}' is not available in an expression; use plain repetitions and choices"
    )


def _class_test(members: list[Node]) -> Test:
    negated = members[0][0] is ops.NEGATE
    tests = [_member_test(*member) for member in members[negated:]]
    return lambda c: any(test(c) for test in tests) != negated


def _member_test(name: object, held: object) -> Test:
    if name is ops.RANGE and isinstance(held, tuple):
        low, high = held
        return lambda c: low <= ord(c) <= high
    if name is ops.CATEGORY:
        return _CATEGORIES[held]
    return _test(name, held)
