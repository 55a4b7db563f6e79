"""Tests: which slow patterns are seen, and which harmless code is left alone?"""

from textwrap import dedent

import pytest

from segue_agents.core.patterns import find_patterns
from segue_agents.core.python_source import parse

SLOW = {
    "sleep in async code": (
        """
        import time
        async def f():
            time.sleep(1)
        """,
        ("blocking-call-in-async", 4),
    ),
    "an alias of a blocking call": (
        """
        from urllib.request import urlopen as get
        async def f():
            return get("x")
        """,
        ("blocking-call-in-async", 4),
    ),
    "an alias of a blocking library": (
        """
        import requests as rq
        async def f(): return rq.get("x")
        """,
        ("blocking-call-in-async", 3),
    ),
    "membership in a filling list": (
        """
        def f(xs):
            seen = []
            for x in xs:
                if x in seen: continue
                seen.append(x)
        """,
        ("membership-in-loop", 5),
    ),
    "membership in a list made by a comprehension": (
        """
        def f(xs):
            known = [x.name for x in xs]
            for x in xs: print(x.parent in known)
        """,
        ("membership-in-loop", 4),
    ),
    "membership in a comprehension": (
        """
        def f(xs, known: list[str]):
            return {x: 1 for x in xs if x not in known}
        """,
        ("membership-in-loop", 3),
    ),
    "membership in a long list written out": (
        """
        for x in xs:
            print(x in [1, 2, 3, 4, 5])
        """,
        ("membership-in-loop", 3),
    ),
    "a string that grows in a loop": (
        """
        def f(xs):
            text = "" + head
            while xs:
                text += xs.pop()
        """,
        ("string-concatenation-in-loop", 5),
    ),
    "an annotated string that grows": (
        """
        def f(xs):
            text: str = head()
            for x in xs: text += x
        """,
        ("string-concatenation-in-loop", 4),
    ),
    "a list that is copied to grow": (
        """
        def f(xs):
            found = list(xs)
            for x in xs:
                found = found + [x]
        """,
        ("list-concatenation-in-loop", 5),
    ),
    "the front of a list": (
        """
        def f(text):
            words = text.split()
            while words:
                words.pop(0)
        """,
        ("front-of-list-in-loop", 5),
    ),
    "a pattern compiled on each turn": (
        """
        import re
        def f(xs):
            for x in xs:
                re.compile("a+").match(x)
        """,
        ("compile-in-loop", 5),
    ),
    "a query for each row": (
        """
        def f(self, ids):
            for one in ids:
                self.db.execute("select ?", one)
        """,
        ("query-in-loop", 4),
    ),
    "the same iterable twice": (
        """
        def f(rows):
            for a in rows.values():
                for b in rows.values():
                    print(a, b)
        """,
        ("nested-loop-same-iterable", 4),
    ),
    "appending three loops deep": (
        """
        async def f(xs, out):
            for a in xs:
                async for b in a:
                    for c in b:
                        out.append(c)
        """,
        ("append-in-deep-loops", 6),
    ),
}

HARMLESS = {
    "sleep in plain code": "import time\ndef f(): time.sleep(1)",
    "sleep in a plain function inside async code": """
        import time
        async def f():
            def g(): time.sleep(1)
            return lambda: time.sleep(1)
        """,
    "an async call": "import asyncio\nasync def f(): await asyncio.sleep(1)",
    "a call of a call": "async def f(): g()()",
    "a relative import of the same name": "from .time import sleep\nasync def f(): sleep(1)",
    "membership in a set": """
        def f(xs):
            seen = set()
            for x in xs:
                if x in seen: continue
        """,
    "membership outside of loops": "def f(x, xs: list[int]): return x in xs",
    "membership in a short list": "for x in xs: print(x in [1, 2])",
    "membership in a short named list": """
        def f(xs):
            small = [1, 2]
            for x in xs: print(x in small)
        """,
    "a list made anew on each turn": """
        def f(lines):
            for line in lines:
                parts = line.split()
                if "a" in parts: ...
        """,
    "a name that holds two kinds of things": """
        def f(xs, y):
            seen = []
            seen = y
            for x in xs: print(x in seen)
        """,
    "a comparison of another sort": "for x in xs: print(x == y)",
    "a number that grows": """
        def f(xs):
            total = 0
            for x in xs: total += x
        """,
    "a string that grows without a loop": "def f(a):\n    t = str(a)\n    t += a",
    "a string started anew on each turn": """
        def f(xs):
            for x in xs:
                text = ""
                text += x
        """,
    "another list's sum": """
        def f(xs):
            for x in xs: found = x + [1]
        """,
    "the end of a list": """
        def f(xs: List[int]):
            while xs: xs.pop()
        """,
    "popping from a dict": """
        def f(xs):
            table = {}
            for x in xs: table.pop(0)
        """,
    "a pattern that changes": "import re\nfor x in xs: re.compile(x)",
    "a query before the loop": "def f(db):\n    for row in db.execute('x'): print(row)",
    "execute of something else": "for x in xs: pool.execute(x)",
    "nested loops over different things": """
        for a in rows:
            for b in a: print(b)
        """,
    "nested loops over ranges": """
        for a in range(9):
            for b in range(9): print(a, b)
        """,
    "an iterable that is made anew": """
        def f(rows):
            for a in rows:
                rows = a.next
                for b in rows: print(b)
        """,
    "a walrus and a default in async code": """
        async def f(a=[], *, b: int = 0):
            if (n := len(a)) > b: return n
            total = 0
            total += (m := n)
            class C:
                x = 1
        """,
    "else branches of loops": """
        def f(xs):
            text = ""
            for x in xs: ...
            else: text += "a"
            while xs: ...
            else: text += "b"
        """,
    "decorated functions and annotated names": """
        import a.b, c as d
        @d.wrap
        def f(x: "list[int]", y: a.b.C) -> None:
            z: list[int]
            u = x.y()()
        """,
}


@pytest.mark.parametrize("name", SLOW)
def test_a_slow_pattern_is_found_where_it_stands(name: str) -> None:
    """Rule and line of each pattern are exact, and nothing else is said."""
    code, expected = SLOW[name]
    found = find_patterns("a.py", parse(dedent(code).encode()))
    assert [(item.rule, item.line) for item in found] == [expected]


@pytest.mark.parametrize("name", HARMLESS)
def test_harmless_code_is_left_alone(name: str) -> None:
    """What only looks similar is no finding."""
    assert find_patterns("a.py", parse(dedent(HARMLESS[name]).encode())) == []


def test_a_finding_names_its_function() -> None:
    """The symbol is the function around the pattern."""
    code = b"import time\nasync def wait():\n    time.sleep(1)\n"
    (found,) = find_patterns("pkg/a.py", parse(code))
    assert (found.file, found.symbol, found.severity) == ("pkg/a.py", "wait", "high")


def test_a_pattern_in_a_lambda_has_no_symbol() -> None:
    """A lambda has no name to show."""
    code = b"f = lambda xs: [x in [1, 2, 3, 4, 5] for x in xs]\n"
    (found,) = find_patterns("a.py", parse(code))
    assert found.symbol is None
