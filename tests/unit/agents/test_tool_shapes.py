"""Tests: how are functions measured?"""

import ast
from textwrap import dedent

import pytest

from segue_agents.core.python_source import UnparsableError, dotted, parse
from segue_agents.core.shapes import FunctionShape, function_shapes


def shape(code: str) -> FunctionShape:
    """Measure the first function of some code."""
    return function_shapes(parse(dedent(code).encode()))[0]


def test_methods_and_inner_functions_bear_qualified_names() -> None:
    """A symbol tells where it lives."""
    tree = ast.parse("class A:\n    def b(self):\n        def c(): ...\nasync def d(): ...\n")
    found = [(item.symbol, item.line, item.lines) for item in function_shapes(tree)]
    assert found == [("A.b", 2, 2), ("A.b.c", 3, 1), ("d", 4, 1)]


def test_loops_inside_loops_count_their_depth() -> None:
    """Three loops within each other are three deep."""
    code = """
        def f(xs):
            for a in xs:
                while a:
                    for b in a: ...
            for c in xs: ...
        """
    assert (shape(code).loops, shape(code).nesting) == (3, 3)


def test_what_a_loop_iterates_over_is_evaluated_outside_of_it() -> None:
    """A comprehension in the head of a loop runs once."""
    assert shape("def f(xs):\n    for a in [x for x in xs]: ...").loops == 1


def test_an_elif_is_no_deeper_than_its_if() -> None:
    """A ladder of conditions is flat."""
    code = """
        def f(x):
            if x == 1: ...
            elif x == 2: ...
            elif x == 3: ...
            else: ...
        """
    assert shape(code).nesting == 1


def test_an_if_within_else_is_deeper() -> None:
    """Beside another statement it is a block of its own."""
    code = """
        def f(x):
            if x: ...
            else:
                x += 1
                if x: ...
        """
    assert shape(code).nesting == 2


def test_comprehensions_nest_like_loops() -> None:
    """Two generators are two loops, and conditions stand inside them."""
    assert shape("def f(xs): return [y for x in xs if x for y in x if y]").loops == 2


def test_blocks_count_towards_nesting_but_not_towards_loops() -> None:
    """With, try and match are blocks."""
    code = """
        def f(x):
            with x:
                try:
                    match x:
                        case 1: ...
                except ValueError: ...
        """
    assert (shape(code).loops, shape(code).nesting) == (0, 3)


def test_inner_functions_do_not_deepen_the_outer_one() -> None:
    """Each function answers for itself."""
    code = """
        def f(xs):
            def g():
                for x in xs: ...
            return lambda: [x for x in xs]
        """
    assert shape(code).loops == 0


def test_broken_code_names_its_place() -> None:
    """A syntax error carries line and column."""
    with pytest.raises(UnparsableError, match="does not parse as Python") as caught:
        parse(b"x = 1\ndef (:\n")
    assert (caught.value.line, caught.value.column) == (2, 5)


def test_a_null_byte_does_not_parse() -> None:
    """Bytes that no tokenizer takes are unparsable, not a crash."""
    with pytest.raises(UnparsableError, match="does not parse"):
        parse(b"x = 1\0")


def test_an_unknown_encoding_does_not_parse() -> None:
    """A coding cookie that nobody knows is unparsable, without a column."""
    with pytest.raises(UnparsableError) as caught:
        parse(b"# coding: klingon\n")
    assert caught.value.column is None


def test_code_nested_beyond_reason_does_not_parse() -> None:
    """The parser's own limits end in an error, not in a crash."""
    with pytest.raises(UnparsableError, match="too deep"):
        parse(b"x = 1" + b"+1" * 100_000)


def test_a_coding_cookie_is_obeyed() -> None:
    """Latin-1 source parses when it says so."""
    assert parse("# coding: latin-1\nx = 'é'\n".encode("latin-1")).body


def test_a_dotted_name_is_read_and_a_call_in_it_is_not() -> None:
    """Only plain chains of names have a dotted form."""
    expressions = [ast.parse(code, mode="eval").body for code in ("a.b.c", "a().b")]
    assert [dotted(item) for item in expressions] == ["a.b.c", ""]
