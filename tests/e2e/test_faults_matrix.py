"""The failure matrix: does every row name a test that there is, in the tier that it says?"""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
MATRIX = TESTS.parent / "docs/explanation/failure-matrix.md"
ROW = re.compile(r"^\|.*\| `(test_\w+)` \| (\w+) \|$", re.MULTILINE)
ROWS = ROW.findall(MATRIX.read_text())


@cache
def tiers() -> dict[str, str]:
    """Return the tier of every test by its name."""
    found: dict[str, str] = {}
    for path in TESTS.rglob("test_*.py"):
        module = ast.parse(path.read_text())
        marks = [one for one in module.body if isinstance(one, ast.Assign)]
        whole = any("pytest.mark.soak" in ast.unparse(one) for one in marks)
        for one in ast.walk(module):
            if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef):
                marked = "pytest.mark.soak" in map(ast.unparse, one.decorator_list)
                found[one.name] = "soak" if whole or marked else "check"
    return found


@pytest.mark.parametrize(("name", "tier"), sorted(set(ROWS)))
def test_a_row_of_the_matrix_names_a_test_of_its_tier(name: str, tier: str) -> None:
    """A row without a proof is no row."""
    assert tiers().get(name) == tier


def test_every_row_of_the_matrix_is_read() -> None:
    """None hides behind another form."""
    lines = [line for line in MATRIX.read_text().splitlines() if line.startswith("| ")]
    headers = [line for line in lines if line.endswith("| test | tier |")]
    assert len(ROWS) == len(lines) - len(headers)
